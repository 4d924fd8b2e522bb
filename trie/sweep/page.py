"""A sweep as a page: what there is of it, the headline, and a chapter of curves for each workload."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from trie.metrics.definitions import Number, headlines
from trie.metrics.shown_numbers import CUT_OFF_SHARE, MARK, MARKED, mark
from trie.report.html.document import (
    Block,
    Cell,
    Check,
    Column,
    Page,
    Section,
    Table,
    Tone,
    Value,
    Verdict,
)
from trie.report.number_format import fine
from trie.report.pareto import IN_TOTAL
from trie.storage.run_dir import REPORT, SUMMARY, whole
from trie.storage.sweep_dir import Cell as SweepCell
from trie.storage.sweep_dir import Status
from trie.sweep import plots
from trie.sweep.curves import KNEE, THROUGHPUTS, Curve, Point, best, curves, knee, throughput, with_forecast
from trie.sweep.hero import hero
from trie.sweep.multiples import multiples
from trie.sweep.objectives import limits_of, table_cell, word
from trie.sweep.table import FAILED_SHARE, Row, columns, outcomes, rows, shown, to_arrow

REASONS = 5  # in the verdict
ADVICE = {
    "invalid": "its numbers would mislead: see its own report",
    Status.unfinished.name: "the same command measures it again",
}
FIRST = ("traces_completed", FAILED_SHARE, "censoring_share")  # columns that stand first in the table of cells
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
    measured = [curve for curve in every if curve.measured]
    column = throughput(every)
    blocks: list[Block] = []
    if measured:
        blocks = [
            hero(measured, column),
            _matrix(every, column, directory),
            plots.overview(measured, column),
            Section("By workload", [multiples(measured)]),
        ]
    return Page(
        title=f"Sweep {directory.name}",
        subtitle=_subtitle(rows),
        blocks=[_verdict(rows), *blocks, Section("Cells", [cells_table(directory, rows)])],
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
    """How much of the sweep is there, and what is wrong with the rest, at most five reasons."""
    done = [row for row in rows if row["status"] == Status.done.name]
    invalid = [row for row in done if not row["valid"]]
    broken = [row for row in rows if row["status"] in (Status.failed.name, Status.damaged.name)]
    tone: Tone = "bad" if broken or invalid else "good" if len(done) == len(rows) else "warn"
    valid = f"{len(done) - len(invalid)} valid" + (f", {len(invalid)} invalid" if invalid else "")
    reasons = list(_reasons(rows))
    checks = reasons[:REASONS]
    if rest := reasons[REASONS:]:
        checks.append(Check("warning", f"{len(rest)} more reasons", "the table of cells has them all", ""))
    return Verdict(word=f"{len(done)} OF {len(rows)} CELLS DONE", tone=tone, detail=valid, checks=checks)


def _reasons(rows: Sequence[Row]) -> Iterator[Check]:
    """Why cells are missing or invalid, the commonest first; each reason once, with the cells that have it."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row["status"] != Status.done.name:
            groups.setdefault((row["status"], row["why"]), []).append(row)
        elif not row["valid"]:
            groups.setdefault(("invalid", row["why"].partition(":")[0]), []).append(row)
    for (status, reason), cells in sorted(groups.items(), key=lambda group: -len(group[1])):
        names = ", ".join(row["cell"] for row in cells[:REASONS]) + (" ..." if len(cells) > REASONS else "")
        some = f"{len(cells)} cells" if len(cells) > 1 else cells[0]["cell"]
        advice = ADVICE.get(status, "")
        level: Literal["error", "warning"] = "warning" if status == Status.unfinished.name else "error"
        detail = cells[0]["why"] if len(cells) == 1 else names
        yield Check(level, f"{some} {status}: {reason}", detail, advice)


def _to_a_user(point: Point, numbers: Sequence[Number]) -> str:
    """Decode speed and TTFAT, where either was measured, and of how many traces."""
    means = [(number, point.mean(number.column)) for number in numbers]
    figures = [
        f"{fine(number.shown(mean))}{point.mark(number)} {number.display.unit}"
        f"{'' if number.column == plots.DECODE else f' {number.metric.name}'}"
        for number, mean in means
    ]
    measured = any(mean is not None for _, mean in means)
    return ", ".join([*(figures if measured else []), f"n {point.traces:,}"])


def _matrix(curves: Sequence[Curve], column: str, directory: Path) -> Table:
    """Workloads by concurrencies: throughput, and below it what one user sees."""
    declared = columns()
    below = [declared[name] for name in (plots.DECODE, plots.TTFAT)]
    numbers = sorted({point.concurrency for curve in curves for point in curve.points})
    return Table(
        caption=f"Steady completion {plots.unit_of(column)} by workload and concurrency",
        columns=[Column("Workload"), *(Column(str(number)) for number in numbers)],
        rows=[
            [
                Cell(curve.label, note=_knee(curve, column)),
                *(_cell(curve, number, column, directory, below) for number in numbers),
            ]
            for curve in curves
        ],
        note=f"Below each: {', '.join(number.titled for number in below)}, n completed traces. Green: the best valid "
        "cell of a row.",
    )


def _cell(curve: Curve, number: int, column: str, directory: Path, below: Sequence[Number]) -> Value:
    point = next((point for point in curve.points if point.concurrency == number), None)
    spread = point.spread(column) if point is not None else None
    if point is None or spread is None:
        return Cell(None, text=_missing(point), tone="bad" if point is not None else "plain")
    tone: Tone = "good" if point is best(curve, column) else "plain"
    return Cell(
        spread.mean,
        href=_link(directory, point.done[0]) if spread.repeats == 1 else None,
        tone=tone if point.valid else "bad",
        note=_to_a_user(point, below) + (f", SLO {word(point.slo_met)}" if curve.slo_range else ""),
        text=spread.text() + ("" if point.valid else " invalid"),
    )


def _missing(point: Point | None) -> str:
    """What stands where there is no number."""
    return "-" if point is None else "/".join(dict.fromkeys(row["status"] for row in point.rows))


def _knee(curve: Curve, column: str) -> str | None:
    """Where more load buys waiting alone, and up to where the limits are met."""
    at = knee(curve, column)
    parts = [f"knee {at.concurrency}" if at else "", curve.slo_range and f"SLO {curve.slo_range}"]
    return "; ".join(filter(None, parts)) or None


def cells_table(directory: Path, rows: Sequence[Row]) -> Table:
    """Every cell: whether it is to be believed first, its headline figures, and the reasons last."""
    figures = [
        number
        for number in headlines("sweep")
        if number.column not in (*THROUGHPUTS, *FIRST) or number.column in (IN_TOTAL, throughput(curves(rows)))
    ]
    first = [columns()[name] for name in FIRST]
    heads = ["Workload", "Concurrency", "Repeat"]
    limits = limits_of(rows)
    return Table(
        caption="All cells",
        columns=[
            Column("Cell"),
            Column("Valid"),
            *([Column("SLO", help=limits)] if limits else []),
            Column("n", help="completed traces"),
            *(_column(number) for number in first[1:]),
            *map(Column, heads),
            *(_column(number) for number in figures),
            Column("Status"),
            Column("Why"),
        ],
        rows=[
            [
                Cell(row["cell"], href=_link(directory, row)),
                "" if row["valid"] is None else "yes" if row["valid"] else Cell("no", tone="bad"),
                *([table_cell(row["slo_met"], row["slo_why"])] if limits else []),
                *_figures(row, first),
                f"{row['workload']}, {row['variant']}" if row["variant"] else row["workload"],
                row["concurrency"],
                row["repeat"],
                *_figures(row, figures),
                Cell(row["status"], tone=TONES.get(row["status"], "bad")),
                row["why"] or "",
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
