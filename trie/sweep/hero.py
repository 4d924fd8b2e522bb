"""The first plot of a sweep: throughput against what one user gets, of all workloads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trie.metrics.definitions import Number
from trie.report.html.plot import Plot
from trie.report.pareto import Curve as Drawn
from trie.report.pareto import Measured, in_turn, pareto_plot, told_apart
from trie.sweep.curves import Curve, Point
from trie.sweep.objectives import limits_of, word
from trie.sweep.table import INTERVALS, columns


def hero(curves: Sequence[Curve], column: str) -> Plot:
    """A curve for each workload, a point for each of its cells."""
    numbers = columns()
    limits = limits_of(row for curve in curves for point in curve.measured for row in point.done)
    drawn = [
        Drawn(curve.label, [_measured(point, numbers, limits) for point in curve.measured], *in_turn(at))
        for at, curve in enumerate(curves)
    ]
    return pareto_plot(drawn, column, limits=limits)


def _measured(point: Point, numbers: dict[str, Number], limits: str) -> Measured:
    rates = {name.rpartition("_")[0] for name in INTERVALS}
    invalid = dict.fromkeys(row["why"].partition("; ")[0] for row in point.done if not row["valid"])
    few = {column for row in point.done for column in row.get("few", ())}
    return Measured(
        concurrency=point.concurrency,
        traces=point.traces,
        values={column: point.any_mean(column) for column in numbers},
        few={column: point.count(numbers[column]) for column in few},
        intervals={rate: interval for rate in rates if (interval := point.interval(rate)) is not None},
        invalid=", ".join(invalid),
        slo=word(point.slo_met) if limits else "",
    )


def by_workload(curves: Sequence[Curve]) -> dict[str, dict[str, Any]]:
    """The channels color, strokeDash and shape of the workloads, the same in all plots of the page."""
    return told_apart([(curve.label, *in_turn(at)) for at, curve in enumerate(curves)], "workload")
