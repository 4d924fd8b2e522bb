"""A sweep as Markdown, for comments on changes and for the summaries of CI steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from trie.metrics.shown_numbers import MARK
from trie.report.list_table import NOTE
from trie.report.markdown import literal, starless, table
from trie.report.number_format import MISSING
from trie.report.run_list import columns, listed, name_of
from trie.storage.sweep_dir import Status
from trie.sweep.table import Row


def sweep_markdown(directory: Path, rows: Sequence[Row]) -> str:
    """A row for each cell, and what is wrong with those that gave no numbers or misleading ones."""
    return "\n".join(_lines(directory, rows)) + "\n"


def _lines(directory: Path, rows: Sequence[Row]) -> Iterator[str]:
    done = sum(row["status"] == Status.done.name for row in rows)
    yield from (f"### Sweep {literal(directory.name)}: {done} of {len(rows)} cells done", "")
    heads = ["", "verdict", *(f"{name_of(number)} ({number.display.unit})" for number in columns())]
    figures = [[_verdict(row), *_figures(directory, row)] for row in rows]
    yield from table(heads, ([literal(row["cell"]), *cells] for row, cells in zip(rows, figures, strict=True)))
    if any(MARK in text for cells in figures for text in cells):
        yield from ("", starless(NOTE))
    yield ""
    for row in rows:
        if row["why"]:
            yield f"- {literal(row['cell'])}, {_verdict(row)}: {literal(row['why'])}"


def _verdict(row: Row) -> str:
    if row["status"] != Status.done.name:
        return str(row["status"])
    return "VALID" if row["valid"] else "INVALID"


def _figures(directory: Path, row: Row) -> list[str]:
    if row["status"] != Status.done.name:
        return [MISSING] * len(columns())
    entry = listed(directory / row["cell"])
    return [starless(entry.text(number)) for number in columns()]
