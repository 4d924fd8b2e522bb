"""A sweep's report on disk, beside its cells: sweep.parquet, sweep.csv and sweep.html, each whole or not at all."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from trie.rundir import whole
from trie.sweep.page import page
from trie.sweep.table import Row, rows, to_arrow
from trie.sweepdir import Cell

PARQUET, CSV, PAGE = "sweep.parquet", "sweep.csv", "sweep.html"


def write(directory: Path, cells: Sequence[Cell]) -> list[Row]:
    """Write the report anew from what the cells tell; returns its table.

    Raises:
        TrieError: when the files can't be written; never for what is wrong with a cell.
    """
    found = rows(cells)
    _write_parquet(directory / PARQUET, found)
    _write_csv(directory / CSV, found)
    page(directory, found).write(directory / PAGE)
    return found


def _write_parquet(target: Path, found: Sequence[Row]) -> None:
    import pyarrow.parquet as pq  # noqa: PLC0415 - not for those who look at a plan

    with whole(target) as aside:
        pq.write_table(to_arrow(found), aside, compression="zstd")


def _write_csv(target: Path, found: Sequence[Row]) -> None:
    """What was not measured is an empty field."""
    with whole(target) as aside, aside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
