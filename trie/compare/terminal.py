"""A comparison as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trie.compare.comparison import Comparison, Pair
from trie.compare.differences import Difference
from trie.compare.format import WORDS, cells, facts_of, headline_keys, notes, sections, setting_line
from trie.one_line import printable

STYLES = {"better": "green", "worse": "red"}
WIDE = 110  # columns from which a metric and its statistic stand side by side


def render(comparison: Comparison, console: Console, *, everything: bool = False) -> None:
    """Print a comparison; fits 80 columns, and holds no control sequences of anybody else's."""
    for label, path in comparison.inputs.items():
        role = "baseline" if label == "A" else "candidate"
        _line(console, f"{label}  {path}", f" ({role})")
    if "" in comparison.cells:
        for pair in comparison.pairs:
            console.print()
            _pair(console, pair, comparison, everything=everything)
    else:
        _cells(console, comparison)
    for line in comparison.alone:
        _line(console, f"passed over: {line}")
    _gates(console, comparison)


def _line(console: Console, line: str, more: str = "", style: str = "") -> None:
    text = printable(line + more).encode(console.encoding, "replace").decode(console.encoding)
    console.print(Text(text, style=style), soft_wrap=True)


def _pair(console: Console, pair: Pair, comparison: Comparison, *, everything: bool) -> None:
    for run in (*pair.baseline.runs, *pair.candidate.runs):
        _line(console, f"{run.label}  {facts_of(run)}")
    _conditions(console, pair)
    for title, rows in sections(pair, everything=everything):
        console.print()
        console.print(Text(title, style="bold"))
        named = [(difference.of.heading, difference.of.statistic, difference) for difference in rows]
        labels = pair.baseline.label, pair.candidate.label
        console.print(_table(named, labels, narrow=console.width < WIDE))
    _notes(console, pair, comparison)


def _notes(console: Console, pair: Pair, comparison: Comparison) -> None:
    for line in notes(pair, comparison.settings):
        _line(console, line)


def _conditions(console: Console, pair: Pair) -> None:
    for doubt in pair.doubts:
        _line(console, f"warning: {doubt.what}: {doubt.found}; {doubt.advice}", style="yellow")
    for word, settings in (("setting", pair.settings), ("also", pair.facts)):
        for setting in settings:
            _line(console, f"{word}: {setting_line(setting)}")


def _table(rows: Sequence[tuple[str, str, Difference]], labels: tuple[str, str], *, narrow: bool) -> Table:
    """Differences, each under a name and a second one; where there is little room the first has a line of its own."""
    table = Table(box=SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0), show_edge=False)
    for name in ("", *(() if narrow else ("",))):
        table.add_column(name, overflow="fold")
    for name in (*labels, "change", "interval"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    above = None
    for group, name, difference in rows:
        words = Text(WORDS[difference.verdict], style=_style(difference))
        if not narrow:
            table.add_row(printable(group) if group != above else "", printable(name), *cells(difference), words)
        elif not name:
            table.add_row(printable(group), *cells(difference), words)
        else:
            if group != above:
                table.add_row(printable(group))
            table.add_row(f"  {printable(name)}", *cells(difference), words)
        above = group
    return table


def _style(difference: Difference) -> str:
    """The colour of a word: for whom a change beyond the noise speaks."""
    if difference.verdict in ("noise", "equivalent"):
        return "dim"
    return STYLES.get(difference.speaks_for or "", "" if difference.verdict is None else "yellow")


def _cells(console: Console, comparison: Comparison) -> None:
    """The headline numbers, each with one row for each cell."""
    doubts = dict.fromkeys(
        (pair.candidate.label, doubt.what, doubt.found, doubt.advice)
        for pair in comparison.pairs
        for doubt in pair.doubts
        if doubt.what != "length"
    )
    for label, *words in doubts:
        _line(console, f"warning: {label}: {'; '.join(words)}", style="yellow")
    for setting in dict.fromkeys(setting_line(setting) for pair in comparison.pairs for setting in pair.settings):
        _line(console, f"setting: {setting}")
    rows = [row for key in headline_keys() for row in _rows(comparison.cells.items(), key)]
    if rows:
        console.print()
        console.print(_table(rows, ("baseline", "candidate"), narrow=console.width < WIDE))
        _notes(console, comparison.pairs[0], comparison)


def _rows(named_cells: Iterable[tuple[str, list[Pair]]], key: str) -> Iterator[tuple[str, str, Difference]]:
    for name, pairs in named_cells:
        for pair in pairs:
            for difference in pair.shown:
                if difference.of.key == key and difference.measured:
                    several = f" {pair.candidate.label}" if len(pairs) > 1 else ""
                    yield difference.of.titled, f"{name}{several}", difference


def _gates(console: Console, comparison: Comparison) -> None:
    if any(pair.gates for pair in comparison.pairs):
        console.print()
    for name, pairs in comparison.cells.items():
        for pair in pairs:
            for judged in pair.gates:
                word, style = ("FAILED", "bold red") if judged.failed else ("passed", "green")
                where = f"{name} {pair.candidate.label}".strip()
                _line(console, f"gate {word}: {judged.gate.text} ({where}: {judged.text})", style=style)
