"""A comparison as a page: one HTML file without a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from trie.compare.comparison import Comparison, Pair
from trie.compare.config_diff import Setting
from trie.compare.differences import Difference
from trie.compare.differences import Verdict as Word
from trie.compare.format import (
    WORDS,
    change_of,
    facts_of,
    headline_keys,
    interval_of,
    notes,
    number,
    sections,
    value_of,
)
from trie.compare.plots import Row, curves, forest, over_load
from trie.report.html.document import (
    Block,
    Card,
    Cards,
    Cell,
    Check,
    Column,
    Facts,
    Note,
    Page,
    Section,
    Table,
    Tone,
    Verdict,
)

TONES: dict[str | None, Tone] = {"better": "good", "worse": "bad", "differs": "warn", None: "plain"}
KINDS: tuple[Word, ...] = ("better", "worse", "differs", "higher", "lower", "equivalent", "noise")


def write(comparison: Comparison, path: Path) -> None:
    """Write the page, whole or not at all.

    Raises:
        ReportError: when it can't be written.
    """
    page(comparison).write(path)


def page(comparison: Comparison) -> Page:
    """The page of a comparison."""
    labels = [*comparison.inputs]
    blocks: list[Block] = [verdict(comparison), _inputs(comparison)]
    if "" in comparison.cells:
        several = len(comparison.pairs) > 1
        for pair in comparison.pairs:
            blocks += _pair(pair, f"{pair.candidate.label}: " if several else "")
    else:
        blocks += _sweep(comparison)
    blocks += map(Note, notes(comparison.pairs[0], comparison.settings))
    return Page(
        title=f"{' and '.join(labels[1:])} compared with {labels[0]}",
        subtitle=", ".join(path.name or str(path) for path in comparison.inputs.values()),
        blocks=blocks,
        footer="trie compare. docs/compare.md says how the intervals are made.",
    )


def verdict(comparison: Comparison) -> Verdict:
    """Passed or failed where there are gates, else how many numbers moved; doubts and gates as its checks."""
    gates = [gate for pair in comparison.pairs for gate in pair.gates]
    verdicts = [difference.verdict for pair in comparison.pairs for difference in pair.shown]
    counts = {kind: verdicts.count(kind) for kind in KINDS}
    moved = ", ".join(f"{counts[kind]} {WORDS[kind]}" for kind in KINDS if counts[kind])
    doubtful = any(pair.doubts for pair in comparison.pairs)
    word, tone = "COMPARED", TONES["differs" if doubtful else None]
    if gates:
        word, tone = ("FAILED", TONES["worse"]) if comparison.failed else ("PASSED", TONES["better"])
    return Verdict(
        word=word, tone=tone, detail=f"{moved} of {len(verdicts)} numbers" if moved else "", checks=_checks(comparison)
    )


def _checks(comparison: Comparison) -> list[Check]:
    checks: dict[Check, None] = {}
    for name, pairs in comparison.cells.items():
        for pair in pairs:
            where = f"{name} {pair.candidate.label}".strip()
            for gate in pair.gates:
                judged = f"gate {gate.gate.text}", f"{where}: {gate.text}"
                checks[Check("error", *judged) if gate.failed else Check("ok", *judged)] = None
            for doubt in pair.doubts:
                checks[Check("warning", doubt.what, f"{where}: {doubt.found}", doubt.advice)] = None
    for line in comparison.alone:
        checks[Check("warning", "passed over", line)] = None
    return list(checks)


def _inputs(comparison: Comparison) -> Block:
    """What was compared: paths of sweeps, and of runs what they were."""
    if "" not in comparison.cells:
        return Facts({label: str(path) for label, path in comparison.inputs.items()})
    pairs = comparison.pairs
    sides = [pairs[0].baseline, *(pair.candidate for pair in pairs)]
    runs = [run for side in sides for run in side.runs]
    columns = [Column(name) for name in ("Run", "Directory", "What it is")]
    return Table(caption="Runs", columns=columns, rows=[[run.label, str(run.path), facts_of(run)] for run in runs])


def _pair(pair: Pair, prefix: str) -> Iterator[Block]:
    """The sections of one candidate beside the baseline."""
    by_key = {difference.of.key: difference for difference in pair.shown if difference.measured}
    heads = [by_key[key] for key in headline_keys() if key in by_key]
    key = pair.candidate.label.lower()
    yield Section(f"{prefix}Headlines", [Cards([_card(difference) for difference in heads]), forest(heads, key)])
    distributions = list(curves(pair, key))
    if distributions:
        yield Section(f"{prefix}Distributions", distributions)
    yield Section(
        f"{prefix}What differs beside",
        [_settings("Settings", pair, pair.settings), _settings("Circumstances", pair, pair.facts)],
        intro="A setting of the config that differs may be what was meant to differ; a circumstance may explain more "
        "than it should.",
    )
    for title, rows in sections(pair, everything=True):
        yield Section(f"{prefix}{title}", [_table(title, rows, pair)], folded=title == "The run")


def _card(difference: Difference) -> Card:
    baseline, candidate = map(difference.of.shown, (difference.baseline, difference.candidate))
    noise = f" ({interval_of(difference)})" if difference.low is not None else ""
    detail = f"{change_of(difference)}{noise} from {number(baseline)}"
    word = f"{WORDS[difference.verdict]}: " if difference.verdict else ""
    value = None if candidate is None else number(candidate)
    tone = TONES[difference.speaks_for]
    return Card(difference.of.name, value, difference.of.shown_unit, word + detail, tone)


def _settings(title: str, pair: Pair, settings: Sequence[Setting]) -> Block:
    if not settings:
        return Note(f"{title}: none differs.")
    rows = [[setting.key, value_of(setting.baseline), value_of(setting.candidate)] for setting in settings]
    columns = [Column("Key"), Column(pair.baseline.label), Column(pair.candidate.label)]
    return Table(caption=title, columns=columns, rows=rows)


def _table(title: str, rows: Iterable[Difference], pair: Pair) -> Table:
    return Table(
        caption=title,
        columns=[Column("Metric"), *_columns(pair.baseline.label, pair.candidate.label)],
        rows=[[_named(difference), *_cells(difference)] for difference in rows],
    )


def _columns(baseline: str, candidate: str) -> list[Column]:
    return [
        Column(baseline),
        Column(candidate),
        Column("Change"),
        Column("Interval", help="of the change"),
        Column("Better", help="which direction is better"),
        Column("Verdict", help="within noise: the interval holds 0"),
    ]


def _named(difference: Difference) -> Cell:
    description = difference.of
    definition = description.number.definition if description.number else None
    return Cell(f"{description.heading} {description.statistic}".strip(), help=definition)


def _cells(difference: Difference) -> list[Cell | str | None]:
    values = map(difference.of.shown, (difference.baseline, difference.candidate))
    change = difference.of.shown(difference.change) if difference.relative is None else difference.relative
    tone = TONES["differs" if difference.verdict == "differs" else difference.speaks_for]
    return [
        *(Cell(value, text=number(value)) for value in values),
        Cell(change, text=change_of(difference)),
        interval_of(difference),
        difference.of.better or "",
        Cell(WORDS[difference.verdict], tone=tone),
    ]


def _sweep(comparison: Comparison) -> Iterator[Block]:
    """The headline numbers over the load and cell by cell, then each cell whole."""
    headlines = {key: rows for key in headline_keys() if (rows := list(_rows(comparison, key)))}
    yield Section("Curves", [over_load(key, rows) for key, rows in headlines.items()])
    yield Section("Headline numbers", [_cell_table(rows) for rows in headlines.values()])
    for name, pairs in comparison.cells.items():
        for pair in pairs:
            title = f"{name} {pair.candidate.label}" if len(pairs) > 1 else name
            tables: list[Block] = [_settings("Settings", pair, pair.settings)]
            tables += [_table(group, rows, pair) for group, rows in sections(pair, everything=True)]
            yield Section(title, tables, folded=True)


def _rows(comparison: Comparison, key: str) -> Iterator[Row]:
    for name, pairs in comparison.cells.items():
        for pair in pairs:
            for difference in pair.shown:
                if difference.of.key == key and difference.measured:
                    yield name, pair, difference


def _cell_table(rows: Sequence[Row]) -> Table:
    several = len({pair.candidate.label for _, pair, _ in rows}) > 1
    names = [f"{name} {pair.candidate.label}" if several else name for name, pair, _ in rows]
    baseline, candidate = rows[0][1].baseline.label, "candidate" if several else rows[0][1].candidate.label
    return Table(
        caption=rows[0][2].of.titled,
        columns=[Column("Cell"), *_columns(baseline, candidate)],
        rows=[[name, *_cells(difference)] for name, (_, _, difference) in zip(names, rows, strict=True)],
    )
