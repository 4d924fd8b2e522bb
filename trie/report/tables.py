"""The tables of a run's page: statistics of traces and requests, rates, outcomes, errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from trie.metrics.columns import Columns
from trie.metrics.definitions import (
    PER_REQUEST,
    PER_TRACE,
    STATISTICS,
    WINDOWS,
    WORKLOAD,
    Metric,
    declared,
)
from trie.metrics.definitions import (
    Section as MetricSection,
)
from trie.metrics.metric_names import numbers
from trie.metrics.shown_numbers import mark, shown
from trie.metrics.summary import Summary
from trie.report.html.document import Block, Cell, Column, Table
from trie.report.labels import EXPECTED, marked_note
from trie.report.number_format import short

FIRST = ("p50", "p90", "p99", "mean", "n")  # the columns of statistics; the reader unfolds the others
ERRORS = 20  # kinds in the table
FEW = "A percentile of too few values (n) is a dash."
CANCELLED = "Cancelled: in flight when the run ended, which no failure rate includes."


def tables(summary: Summary) -> Iterator[Block]:
    values = shown(numbers(summary.to_json()))
    yield _statistics(PER_TRACE, values)
    yield _workload(summary, values)
    yield _statistics(PER_REQUEST, values)


def _statistics(section: MetricSection, values: Mapping[str, float | None]) -> Table:
    order = sorted(STATISTICS, key=lambda part: FIRST.index(part.key) if part.key in FIRST else len(FIRST))
    rows = []
    for metric in declared(section):
        by_part = {number.part: number.shown(values.get(number.key)) for number in metric.numbers()}
        figures = [by_part.get(statistic) for statistic in order]
        rows.append([_named(metric, mark(metric, values)), metric.display.unit, *figures])
    return Table(
        caption=section.title,
        columns=[
            Column("Metric"),
            Column("Unit"),
            *(Column(statistic.label, more=not statistic.brief) for statistic in order),
        ],
        rows=rows,
        note=" ".join(filter(None, (f"Over {section.over}. {FEW}", marked_note(section, values)))),
    )


def _named(metric: Metric, mark: str = "") -> Cell:
    return Cell(f"{metric.name} {mark}".rstrip(), help=metric.definition)


def _workload(summary: Summary, values: Mapping[str, float | None]) -> Table:
    done, rate = summary.traces["completed"], summary.trace_per_s
    rows = [
        [_named(metric), metric.display.unit, *(number.shown(values.get(number.key)) for number in metric.numbers())]
        for metric in declared(WORKLOAD)
    ]
    windows = [Column(window.label, help=window.definition) for window in WINDOWS]
    expected = ", ".join(metric.label for metric in declared(WORKLOAD) if metric.expected)
    completed = f"{done:,} of {sum(summary.traces.values()):,} traces completed, {short(rate, 3)} trace/s."
    note = f"{completed} Of {expected}: {EXPECTED}."
    columns = [Column("Metric"), Column("Unit"), *windows]
    return Table(caption=WORKLOAD.title, columns=columns, rows=rows, note=note)


def outcomes_table(summary: Summary) -> Table:
    traces, requests = summary.traces, summary.requests
    kinds = (("completed", "ok"), ("failed", "failed"), ("cancelled", "cancelled"))
    rows = [
        [trace, traces[trace], _share(traces, trace), requests[request], _share(requests, request)]
        for trace, request in kinds
    ]
    columns = [Column("Outcome"), Column("Traces"), Column("Share", "%"), Column("Requests"), Column("Share", "%")]
    return Table(caption="Outcomes", columns=columns, rows=rows, wide=False, note=CANCELLED)


def _share(counts: Mapping[str, int], outcome: str) -> float | None:
    whole = sum(counts.values())
    return 100.0 * counts[outcome] / whole if whole else None


def errors_tables(columns: Columns) -> Iterator[Table]:
    """Failed requests by kind, with what the server said; none, no table."""
    errors = columns.errors()
    if not errors:
        return
    heads = [Column("Error"), Column("HTTP status"), Column("Requests"), Column("First at", "s"), Column("For example")]
    rows = [
        [
            row["error_kind"] or "unknown",
            "" if row["http_status"] is None else str(row["http_status"]),
            row["count"],
            row["first_s"],
            row["example"] or "",
        ]
        for row in errors[:ERRORS]
    ]
    left = len(errors) - len(rows)
    yield Table(
        caption="Errors", columns=heads, rows=rows, note=f"{left} more kinds are in the rows." if left else None
    )
