"""The page of an A/B comparison."""

from __future__ import annotations

from collections.abc import Iterator
from math import expm1
from pathlib import Path

from trie.decide.ab.result import Finding, Result
from trie.decide.ab.words import sentence
from trie.report.html.document import Cell, Check, Column, Page, Table, Tone, Value, Verdict

PAGE = "ab.html"
TONES: dict[str, Tone] = {"better": "good", "equivalent": "good", "worse": "bad", "unsure": "warn"}


def write_page(result: Result) -> Path:
    """Write ab.html into the comparison's folder.

    Raises:
        ReportError: when it can't be written.
    """
    path = result.directory / PAGE
    page_of(result).write(path)
    return path


def page_of(result: Result) -> Page:
    """The page: the answer, the numbers with their intervals, every pair, and where the blocks' own pages are."""
    rule = result.plan.rule
    return Page(
        title="A/B: " + sentence(result),
        subtitle=f"{len(result.pairs)} pairs of blocks of {result.plan.block_s:g} s, at most {rule.most}; margin "
        f"{rule.margin:.1%}; {rule.confidence:.0%} over all looks",
        blocks=[
            Verdict(
                word=result.decision.upper(),
                tone="bad" if result.doubts else TONES[result.decision],
                checks=list(_checks(result)),
            ),
            Table(caption="B from A", columns=_COLUMNS, rows=[_row(finding, result) for finding in result.findings]),
            _pairs(result),
        ],
        footer="trie ab; docs/decisions.md says how the intervals are made and when a comparison ends.",
    )


def _checks(result: Result) -> Iterator[Check]:
    yield from (Check("warning", "a pair was measured again", doubt) for doubt in result.dropped)
    for pair in result.pairs:
        yield from (Check("error", "a block can't be believed", doubt) for doubt in pair.doubts)
        yield from (Check("warning", "a block was not steady", change) for change in pair.unsteady)


_COLUMNS = [Column("Number"), Column("difference", "%"), Column("from", "%"), Column("to", "%"), Column("B is")]


def _row(finding: Finding, result: Result) -> list[Value]:
    interval = finding.interval
    ends = (None,) * 3 if interval is None else (interval.value, interval.low, interval.high)
    shown = [None if end is None else Cell(100 * end, text=f"{100 * end:+.2f}") for end in ends]
    decided = finding.of.key == result.plan.metric
    return [
        Cell(finding.of.label, note="decided on" if decided else None),
        *shown,
        Cell(finding.decision, tone=TONES[finding.decision]),
    ]


def _pairs(result: Result) -> Table:
    """Every pair, with a link to its two blocks."""
    columns = [Column("Pair"), Column("order"), *(Column(finding.of.label, "%") for finding in result.findings)]
    rows: list[list[Value]] = []
    for pair in result.pairs:
        differences = [None if value is None else 100 * expm1(value) for value in pair.differences.values()]
        order = "A B" if pair.first == "a" else "B A"
        cells = [None if value is None else Cell(value, text=f"{value:+.2f}") for value in differences]
        rows.append([Cell(f"{pair.number}"), order, *cells])
    return Table(caption="Pairs: B from A", columns=columns, rows=rows)
