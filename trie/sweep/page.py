"""A sweep as a page: what there is of it, the headline, and a chapter of curves for each workload."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from trie.metrics.definitions import Number, headlines
from trie.metrics.shown_numbers import CUT_OFF_SHARE, MARK, MARKED, mark
from trie.report.html.document import (
    Block,
    Card,
    Cards,
    Cell,
    Check,
    Column,
    Note,
    Page,
    Section,
    Table,
    Tone,
    Value,
    Verdict,
    anchor,
)
from trie.report.number_format import fine, percent
from trie.storage.run_dir import REPORT, SUMMARY, whole
from trie.storage.sweep_dir import Cell as SweepCell
from trie.storage.sweep_dir import Status
from trie.sweep import plots
from trie.sweep.curves import IN_TOTAL, KNEE, THROUGHPUTS, Curve, Point, best, curves, knee, throughput, with_forecast
from trie.sweep.table import Row, columns, outcomes, rows, shown, to_arrow

PARQUET, CSV, PAGE = "sweep.parquet", "sweep.csv", "sweep.html"
TONES: dict[str, Tone] = {Status.done.name: "good", Status.unfinished.name: "warn"}
ABOUT = (
    f"The knee is the least concurrency that reaches {KNEE:.0%} of the best throughput of its curve. Where cells were "
    "repeated, figures are means, and ± is half of the range. docs/metrics.md defines every metric; sweep.parquet and "
    f"sweep.csv hold them all, a row a cell. {MARK} {MARKED}: more than {CUT_OFF_SHARE:.0%} were cut off or failed. A "
    "percentile of too few values is a dash."
)


def write(directory: Path, cells: Sequence[SweepCell], forecast: Sequence[SweepCell] = ()) -> list[Row]:
    """Write the report anew from what the cells tell; returns its table.

    The curves of a forecast's cells are laid behind those of the page.

    Raises:
        TrieError: when the files can't be written; never for what is wrong with a cell.
    """
    table = rows(cells)
    _write_parquet(directory / PARQUET, table)
    _write_csv(directory / CSV, table)
    page(directory, table, rows(forecast) if forecast else ()).write(directory / PAGE)
    return table


def page(directory: Path, rows: Sequence[Row], forecast: Sequence[Row] = ()) -> Page:
    """The page of a sweep, from its table; links lead to the cells' own pages where they have one."""
    rows = shown(rows)
    every = with_forecast(curves(rows), shown(forecast)) if forecast else curves(rows)
    column = throughput(every)
    headline: list[Block] = []
    if any(curve.measured for curve in every):
        headline = [_cards(every, column), _matrix(every, column, directory), plots.overview(every, column)]
    chapters = [_chapter(curve, column) for curve in every if curve.measured]
    return Page(
        title=f"Sweep {directory.name}",
        subtitle=_subtitle(rows),
        blocks=[_verdict(rows), *headline, *chapters, Section("Cells", [_cells(directory, rows)])],
        footer=ABOUT,
    )


VIRTUAL = ", in virtual time: no server was measured"


def _subtitle(rows: Sequence[Row]) -> str:
    """What was swept, of which models, when."""
    names = ", ".join(dict.fromkeys(row["workload"] for row in rows))
    models = ", ".join(dict.fromkeys(row["model"] for row in rows if row["model"]))
    begun = sorted(row["started"] for row in rows if row["started"])
    models += VIRTUAL if any(row["clock"] == "virtual" for row in rows) else ""
    when = f"; {begun[0][:16].replace('T', ' ')} to {begun[-1][:16].replace('T', ' ')} UTC" if begun else ""
    return f"{names} on {models}{when}" if models else names


def _verdict(rows: Sequence[Row]) -> Verdict:
    """How much of the sweep is there, and what is wrong with the rest."""
    done = [row for row in rows if row["status"] == Status.done.name]
    broken = [row for row in rows if row["status"] in (Status.failed.name, Status.damaged.name)]
    invalid = [row for row in done if not row["valid"]]
    checks = [Check("error", row["cell"], f"{row['status']}: {row['why']}", "") for row in broken]
    checks += [
        Check("error", row["cell"], f"invalid: {row['why']}", "its numbers would mislead: see its own report")
        for row in invalid
    ]
    checks += [
        Check("warning", row["cell"], f"{row['status']}: {row['why']}", "the same command measures it again")
        for row in rows
        if row["status"] == Status.unfinished.name
    ]
    tone: Tone = "bad" if broken or invalid else "good" if len(done) == len(rows) else "warn"
    valid = f"{len(done) - len(invalid)} valid" + (f", {len(invalid)} invalid" if invalid else "")
    return Verdict(word=f"{len(done)} OF {len(rows)} CELLS DONE", tone=tone, detail=valid, checks=checks)


def _cards(curves: Sequence[Curve], column: str) -> Cards:
    """For each curve where its knee is and what it gives there."""
    return Cards([card for curve in curves if curve.measured for card in _cards_of(curve, column)])


def _cards_of(curve: Curve, column: str) -> Sequence[Card]:
    at, top = knee(curve, column), best(curve, column)
    if top is None:
        return [Card(curve.label, None, detail="no throughput measured")]
    point = at or top
    label = (
        f"{curve.label}, knee {at.concurrency}"
        if at
        else f"{curve.label}, no knee up to {curve.points[-1].concurrency}"
    )
    return [Card(label, point.mean(column), plots.unit_of(column), _to_a_user(point, " to a user, "))]


def _to_a_user(point: Point, between: str) -> str | None:
    """Decode speed and TTFAT, where either was measured."""
    means = [(columns()[column], point.mean(column)) for column in (plots.DECODE, plots.TTFAT)]
    if all(mean is None for _, mean in means):
        return None
    decode, ttfat = (f"{fine(number.shown(mean))}{point.mark(number)} {number.display.unit}" for number, mean in means)
    return f"{decode}{between}{columns()[plots.TTFAT].metric.name} {ttfat}"


def _matrix(curves: Sequence[Curve], column: str, directory: Path) -> Table:
    """Workloads by concurrencies: throughput, and below it what one user sees."""
    below = ", ".join(columns()[name].titled for name in (plots.DECODE, plots.TTFAT))
    numbers = sorted({point.concurrency for curve in curves for point in curve.points})
    return Table(
        caption=f"Steady completion {plots.unit_of(column)} by workload and concurrency",
        columns=[Column("Workload"), *(Column(str(number)) for number in numbers)],
        rows=[
            [
                Cell(curve.label, href=f"#{anchor(curve.label)}" if curve.measured else None),
                *(_cell(curve, number, column, directory) for number in numbers),
            ]
            for curve in curves
        ],
        note=f"Below each: {below}. Green: the best of a row.",
    )


def _cell(curve: Curve, number: int, column: str, directory: Path) -> Value:
    point = next((point for point in curve.points if point.concurrency == number), None)
    spread = point.spread(column) if point is not None else None
    if point is None or spread is None:
        return Cell(None, text=_missing(point), tone="bad" if point is not None else "plain")
    tone: Tone = "good" if point is best(curve, column) else "plain"
    return Cell(
        spread.mean,
        href=_link(directory, point.done[0]) if spread.repeats == 1 else None,
        tone=tone if point.valid else "bad",
        note=_to_a_user(point, ", "),
        text=spread.text() + ("" if point.valid else " invalid"),
    )


def _missing(point: Point | None) -> str:
    """What stands where there is no number."""
    return "-" if point is None else "/".join(dict.fromkeys(row["status"] for row in point.rows))


def _chapter(curve: Curve, column: str) -> Section:
    """All curves of one workload."""
    return Section(curve.label, [_knee_note(curve, column), *plots.of_curve(curve, column, anchor(curve.label))])


def _knee_note(curve: Curve, column: str) -> Note:
    at, top = knee(curve, column), best(curve, column)
    if at is None or top is None:
        return Note("No knee: it takes three concurrencies, and a throughput that has stopped to rise before the last.")
    reached, most = at.mean(column) or 0.0, top.mean(column) or 1.0
    return Note(
        f"Knee at concurrency {at.concurrency}: {fine(reached)} {plots.unit_of(column)}, {percent(reached / most)} of "
        f"the best, which is at {top.concurrency}. More load than that buys waiting."
    )


def _cells(directory: Path, rows: Sequence[Row]) -> Table:
    """Every cell with its status and its headline figures."""
    headline = [
        number
        for number in headlines("sweep")
        if number.column not in THROUGHPUTS or number.column in (IN_TOTAL, throughput(curves(rows)))
    ]
    heads = [
        Column("Cell"),
        Column("Workload"),
        Column("Concurrency"),
        Column("Repeat"),
        Column("Status"),
        Column("Valid"),
    ]
    return Table(
        caption="All cells",
        columns=[*heads, *(_column(number) for number in headline)],
        rows=[
            [
                Cell(row["cell"], href=_link(directory, row)),
                f"{row['workload']}, {row['variant']}" if row["variant"] else row["workload"],
                row["concurrency"],
                row["repeat"],
                Cell(row["status"], tone=TONES.get(row["status"], "bad"), note=row["why"] or None),
                "" if row["valid"] is None else "yes" if row["valid"] else Cell("no", tone="bad"),
                *_figures(row, headline),
            ]
            for row in rows
        ],
    )


def _figures(row: Row, headline: Sequence[Number]) -> Iterator[Value]:
    """The headline figures of a cell; those with a mark speak for its short traces alone."""
    values = outcomes(row)
    for number in headline:
        value = number.shown(row[number.column])
        sign = mark(number.metric, values) if value is not None else ""
        yield Cell(value, text=f"{fine(value)}{sign}") if sign else value


def _column(number: Number) -> Column:
    """The head of a metric's column."""
    unit = ", ".join(filter(None, (number.display.unit, number.statistic)))
    return Column(number.metric.name, unit, help=number.definition)


def _link(directory: Path, row: Row) -> str | None:
    """The cell's own page, else its numbers, relative to the sweep's page."""
    for name in (REPORT, SUMMARY):
        if (directory / row["cell"] / name).exists():
            return f"{row['cell']}/{name}"
    return None


def _write_parquet(target: Path, table: Sequence[Row]) -> None:
    import pyarrow.parquet as pq  # not for those who look at a plan

    with whole(target) as aside:
        pq.write_table(to_arrow(table), aside, compression="zstd")


def _write_csv(target: Path, table: Sequence[Row]) -> None:
    """What was not measured is an empty field."""
    with whole(target) as aside, aside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
