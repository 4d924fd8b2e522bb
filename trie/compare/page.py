"""A comparison as a page: one HTML file without a network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from trie.compare.comparison import Comparison, Pair
from trie.compare.config_diff import Setting
from trie.compare.differences import Difference
from trie.compare.format import (
    WORDS,
    change_of,
    facts_of,
    headline_keys,
    interval_of,
    notes,
    number,
    sections,
    title_of_number,
    value_of,
)
from trie.compare.names import by_name, names_of, title_of
from trie.compare.plots import Names, Row, distributions, forest, hero, over_load, over_time, word_of
from trie.report.html.document import (
    Block,
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
QUIET = ("within noise", "equivalent", "no interval")


def write(comparison: Comparison, path: Path) -> None:
    """Write the page, whole or not at all.

    Raises:
        ReportError: when it can't be written.
    """
    page(comparison).write(path)


def page(comparison: Comparison) -> Page:
    """The page of a comparison."""
    names = names_of(comparison)
    of_runs = "" in comparison.cells
    return Page(
        title=title_of(comparison, names),
        subtitle=f"{', '.join([*names.values()][1:])} against {next(iter(names.values()))}",
        blocks=[
            verdict(comparison, names),
            *(_runs(comparison, names) if of_runs else _sweep(comparison, names)),
            *map(Note, notes(comparison.pairs[0], comparison.settings)),
        ],
        footer="trie compare. docs/compare.md says how the intervals are made.",
    )


def verdict(comparison: Comparison, names: Names) -> Verdict:
    """Passed or failed where there are gates, else which headlines moved; doubts and gates as its checks."""
    gates = [gate for pair in comparison.pairs for gate in pair.gates]
    doubtful = any(pair.doubts for pair in comparison.pairs)
    word, tone = "COMPARED", TONES["differs" if doubtful else None]
    if gates:
        word, tone = ("FAILED", TONES["worse"]) if comparison.failed else ("PASSED", TONES["better"])
    return Verdict(word=word, tone=tone, detail=_moved(comparison, names), checks=_checks(comparison, names))


def _moved(comparison: Comparison, names: Names) -> str:
    """How many headlines of each candidate moved, and how: "3 of 8 headlines worse, 2 without an interval"."""
    sentences = []
    labels = dict.fromkeys(pair.candidate.label for pair in comparison.pairs)
    for label in labels:
        heads = [row for pair in comparison.pairs if pair.candidate.label == label for row in _heads(pair)]
        words = Counter(word_of(row) for row in heads if row.verdict is not None)
        counts = [f"{words[word]} {word}" for word in words if word not in QUIET]
        moved = f" of {len(heads)} headlines ".join(", ".join(counts).split(" ", 1))
        unknown = sum(row.verdict is None for row in heads)
        moved += f", {unknown} without an interval" if unknown else ""
        none = f"none of {len(heads)} headlines {'moved beyond noise' if words else 'has an interval'}"
        of = f"{names[label]}: " if len(labels) > 1 else ""
        sentences.append(f"{of}{moved if counts else none}")
    return "; ".join(sentences)


def _heads(pair: Pair) -> list[Difference]:
    by_key = {difference.of.key: difference for difference in pair.shown if difference.measured}
    return [by_key[key] for key in headline_keys() if key in by_key]


def _checks(comparison: Comparison, names: Names) -> list[Check]:
    checks: dict[Check, None] = {}
    for name, pairs in comparison.cells.items():
        for pair in pairs:
            where = f"{name} {names[pair.candidate.label]}".strip()
            for gate in pair.gates:
                judged = f"gate {gate.gate.text}", f"{where}: {gate.text}"
                checks[Check("error", *judged) if gate.failed else Check("ok", *judged)] = None
            for doubt in pair.doubts:
                what, found = (by_name(text, pair, names) for text in (doubt.what, doubt.found))
                checks[Check("warning", what, f"{name}: {found}" if name else found, doubt.advice)] = None
    for line in comparison.alone:
        checks[Check("warning", "passed over", line)] = None
    return list(checks)


def _runs(comparison: Comparison, names: Names) -> Iterator[Block]:
    """Changes of all candidates, all runs over each other, one table of headlines, and what differs beside."""
    pairs = comparison.pairs
    sides = [pairs[0].baseline, *(pair.candidate for pair in pairs)]
    runs = [(names[side.label], side) for side in sides]
    yield forest([(pair, _heads(pair)) for pair in pairs], names)
    yield _merged("Headlines", [_heads(pair) for pair in pairs], pairs, names)
    yield Section(
        "All runs", [over_time(runs), *distributions(runs), *([hero(comparison, names)] if len(runs) > 2 else [])]
    )
    rows = [[names[run.label], str(run.path), facts_of(run)] for side in sides for run in side.runs]
    yield Section(
        "Other differences",
        [
            Table(caption="Runs", columns=[Column(name) for name in ("Run", "Directory", "What it is")], rows=rows),
            _settings("Settings", [(pair, pair.settings) for pair in pairs], names),
            _settings("Circumstances", [(pair, pair.facts) for pair in pairs], names),
        ],
        intro="A setting of the config that differs may be what was meant to differ; a circumstance may explain more "
        "than it should.",
    )
    of_pairs = [dict(sections(pair, everything=True)) for pair in pairs]
    for title in dict.fromkeys(title for of_pair in of_pairs for title in of_pair):
        table = _merged(title, [of_pair.get(title, []) for of_pair in of_pairs], pairs, names)
        yield Section(title, [table], folded=True, printed=title != "The run")


def _settings(title: str, of_pairs: Sequence[tuple[Pair, Sequence[Setting]]], names: Names) -> Block:
    """Each key that differs, with its value in every run."""
    keys = dict.fromkeys(setting.key for _, settings in of_pairs for setting in settings)
    if not keys:
        return Note(f"{title}: none differs.")
    by_key = [{setting.key: setting for setting in settings} for _, settings in of_pairs]
    rows = [[key, _baseline(key, by_key), *(_candidate(key, settings, by_key) for settings in by_key)] for key in keys]
    labels = [of_pairs[0][0].baseline.label, *(pair.candidate.label for pair, _ in of_pairs)]
    return Table(caption=title, columns=[Column("Key"), *(Column(names[label]) for label in labels)], rows=rows)


def _baseline(key: str, by_key: Sequence[Mapping[str, Setting]]) -> str:
    return next(value_of(settings[key].baseline) for settings in by_key if key in settings)


def _candidate(key: str, settings: Mapping[str, Setting], by_key: Sequence[Mapping[str, Setting]]) -> str:
    """Where a candidate does not differ it has what the baseline has."""
    return value_of(settings[key].candidate) if key in settings else _baseline(key, by_key)


def _merged(title: str, of_pairs: Sequence[Sequence[Difference]], pairs: Sequence[Pair], names: Names) -> Table:
    """One table of all candidates; with one alone the direction that is better stands beside its verdict."""
    if len(pairs) == 1:
        return _table(title, of_pairs[0], pairs[0], names)
    rows_of = [{difference.of.key: difference for difference in rows} for rows in of_pairs]
    first = {key: row for rows in reversed(rows_of) for key, row in rows.items()}
    heads = [
        Column("Metric"),
        Column("Better", help="which direction is better"),
        Column(names[pairs[0].baseline.label]),
    ]
    for pair in pairs:
        heads += [Column(names[pair.candidate.label]), Column("Change"), Column("Interval"), Column("Verdict")]
    rows = [
        [
            _named(row),
            row.of.better or "",
            _figure(row, row.baseline),
            *(
                cell
                for of_pair in rows_of
                for cell in (_change(of_pair[key]) if key in of_pair else [None, None, "", ""])
            ),
        ]
        for key, row in first.items()
    ]
    return Table(caption=title, columns=heads, rows=rows)


def _figure(difference: Difference, value: float | None) -> Cell:
    shown = difference.of.shown(value)
    return Cell(shown, text=number(shown))


def _change(difference: Difference | None) -> list[Cell | str]:
    """The candidate's value, the change, its interval, the verdict; of a number that it does not have nothing."""
    if difference is None:
        return [Cell(None), Cell(None), "", ""]
    change = difference.of.shown(difference.change) if difference.relative is None else difference.relative
    tone = TONES["differs" if difference.verdict == "differs" else difference.speaks_for]
    return [
        _figure(difference, difference.candidate),
        Cell(change, text=change_of(difference)),
        interval_of(difference),
        Cell(WORDS[difference.verdict], tone=tone),
    ]


def _table(title: str, rows: Iterable[Difference], pair: Pair, names: Names) -> Table:
    heads = _columns(names[pair.baseline.label], names[pair.candidate.label])
    cells = [[_named(difference), *_cells(difference)] for difference in rows]
    return Table(caption=title, columns=[Column("Metric"), *heads], rows=cells)


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
    whole = ", whole workload" if title_of_number(difference) != description.titled else ""
    return Cell(f"{description.heading} {description.statistic}".strip() + whole, help=definition)


def _cells(difference: Difference) -> list[Cell | str]:
    *change, word = _change(difference)
    return [_figure(difference, difference.baseline), *change, difference.of.better or "", word]


def _sweep(comparison: Comparison, names: Names) -> Iterator[Block]:
    """All cells over each other, the headline numbers over the load and cell by cell, then each cell whole."""
    headlines = {key: rows for key in headline_keys() if (rows := list(_rows(comparison, key)))}
    yield hero(comparison, names)
    yield Facts({names[label]: str(path) for label, path in comparison.inputs.items()})
    yield Section("Curves", [over_load(key, rows, names) for key, rows in headlines.items()])
    yield Section("Headline numbers", [_cell_table(rows, names) for rows in headlines.values()], folded=True)
    for name, pairs in comparison.cells.items():
        for pair in pairs:
            title = f"{name} {names[pair.candidate.label]}" if len(pairs) > 1 else name
            tables: list[Block] = [_settings("Settings", [(pair, pair.settings)], names)]
            tables += [_table(group, rows, pair, names) for group, rows in sections(pair, everything=True)]
            yield Section(title, tables, folded=True, printed=False)


def _rows(comparison: Comparison, key: str) -> Iterator[Row]:
    for name, pairs in comparison.cells.items():
        for pair in pairs:
            for difference in pair.shown:
                if difference.of.key == key and difference.measured:
                    yield name, pair, difference


def _cell_table(rows: Sequence[Row], names: Names) -> Table:
    several = len({pair.candidate.label for _, pair, _ in rows}) > 1
    cells = [f"{name} {names[pair.candidate.label]}" if several else name for name, pair, _ in rows]
    candidate = "candidate" if several else names[rows[0][1].candidate.label]
    return Table(
        caption=title_of_number(rows[0][2]),
        columns=[Column("Cell"), *_columns(names[rows[0][1].baseline.label], candidate)],
        rows=[[name, *_cells(difference)] for name, (_, _, difference) in zip(cells, rows, strict=True)],
    )
