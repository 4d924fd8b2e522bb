"""A sweep as Markdown, for comments on changes and for the summaries of CI steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from trie.report.markdown import literal, starless, table
from trie.report.number_format import MISSING
from trie.report.run_list import Listed, columns, listed, notes
from trie.storage.sweep_dir import Status
from trie.sweep.objectives import limits_of, word
from trie.sweep.table import Row


def sweep_markdown(directory: Path, rows: Sequence[Row]) -> str:
    """A row for each cell, and what is wrong with those that gave no numbers or misleading ones."""
    return "\n".join(_lines(directory, rows)) + "\n"


def _lines(directory: Path, rows: Sequence[Row]) -> Iterator[str]:
    done = sum(row["status"] == Status.done.name for row in rows)
    yield from (f"### Sweep {literal(directory.name)}: {done} of {len(rows)} cells done", "")
    limits = limits_of(rows)
    heads = ["", "verdict", *(["SLO"] if limits else []), *(f"{number.name} ({number.unit})" for number in columns())]
    entries = [_entry(directory, row) for row in rows]
    yield from table(
        heads,
        (
            [literal(row["cell"]), _verdict(row), *([_slo(row)] if limits else []), *map(starless, entry.texts)]
            for row, entry in zip(rows, entries, strict=True)
        ),
    )
    for note in notes(entries):
        yield from ("", starless(note))
    if limits:
        yield from ("", f"SLO: {literal(limits)}")
    yield ""
    for row in rows:
        if row["why"]:
            yield f"- {literal(row['cell'])}, {_verdict(row)}: {literal(row['why'])}"


def _verdict(row: Row) -> str:
    if row["status"] != Status.done.name:
        return str(row["status"])
    return "VALID" if row["valid"] else "INVALID"


def _slo(row: Row) -> str:
    """In a word; of a cell that is not done there is nothing to say."""
    return word(row["slo_met"]) if row["status"] == Status.done.name else MISSING


def _entry(directory: Path, row: Row) -> Listed:
    path = directory / row["cell"]
    return listed(path) if row["status"] == Status.done.name else Listed(path, row["status"], "")
