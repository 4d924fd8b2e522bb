"""`trie ls` as a table, and a finished cell of a sweep as one line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trie.one_line import printable
from trie.report.number_format import MISSING
from trie.report.run_list import INVALID, VALID, Listed, columns, notes, text_of

STYLES = {VALID: "green", INVALID: "red"}
ROOMY, NARROWEST = 110, 10  # columns from which each number has so many, as its name needs
WIDE = 150  # columns from which a directory stands in the row of its numbers


def show_list(entries: Sequence[Listed], folder: Path, console: Console) -> None:
    """Print runs and sweeps, newest first."""
    wide = console.width >= WIDE
    table = Table(box=SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("started (UTC)", no_wrap=not wide)
    table.add_column("verdict")
    table.add_column("workload", overflow="fold")
    for name in ("", *(f"{number.name} ({number.unit})" for number in columns())):
        table.add_column(name, justify="right", min_width=NARROWEST if name and console.width >= ROOMY else None)
    if wide:
        table.add_column("directory", overflow="fold")
    for entry in entries:
        place = printable(_place(entry, folder))
        table.add_row(
            _when(entry),
            Text(entry.verdict, style=STYLES.get(entry.verdict, "yellow")),
            printable(entry.workload),
            entry.load,
            *entry.texts,
            *([place] if wide else []),
        )
    console.print(table)
    if not wide:
        for entry in entries:
            console.print(Text(f"{_when(entry)}  {printable(_place(entry, folder))}"), soft_wrap=True)
    for note in notes(entries):
        console.print(Text(note, style="yellow"))


def _when(entry: Listed) -> str:
    return entry.started[:19].replace("T", " ") or MISSING


def _place(entry: Listed, folder: Path) -> str:
    return str(folder) if entry.path == folder else str(entry.path.relative_to(folder))


def line(entry: Listed) -> str:
    """A run in one line: its directory, its verdict, its numbers."""
    figures = (f"{number.name} {text_of(number)} {number.number.display.unit}" for number in entry.numbers)
    return printable(f"{entry.path.name}  {entry.verdict:<7}  {', '.join(figures)}")
