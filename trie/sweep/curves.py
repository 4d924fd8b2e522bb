"""A sweep's rows as curves over concurrency: repeats as spread, the knee, and the Pareto front."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean

from trie.errors import ReportError
from trie.metrics.definitions import Number
from trie.metrics.shown_numbers import mark
from trie.metrics.slo.evaluate import Met
from trie.report.number_format import short
from trie.report.pareto import IN_TOTAL, PER_GPU, unbeaten
from trie.storage.sweep_dir import Status
from trie.sweep.objectives import of_repeats, range_text
from trie.sweep.table import Row, outcomes

KNEE = 0.95  # of the best throughput, which the knee reaches first
THROUGHPUTS = (PER_GPU, IN_TOTAL)  # of which reports show one


@dataclass(frozen=True, slots=True)
class Spread:
    """A metric over the repeats of a cell."""

    mean: float
    low: float
    high: float
    repeats: int

    def text(self, scale: float = 1.0) -> str:
        """The mean in three digits, and where there are repeats half of their range in as many decimals."""
        size = abs(self.high * scale)
        digits = 0 if size >= 100 or not size else 1 if size >= 10 else 2 if size >= 1 else 3
        half = f" ±{short((self.high - self.low) / 2 * scale, digits)}" if self.repeats > 1 else ""
        return short(self.mean * scale, digits) + half

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Spread | None:
        """Over the values that were measured; None when none was."""
        measured = [value for value in values if value is not None]
        return cls(fmean(measured), min(measured), max(measured), len(measured)) if measured else None


@dataclass(frozen=True)
class Point:
    """One concurrency of one curve: its rows, of which those that are done give its numbers."""

    concurrency: int
    rows: Sequence[Row]

    @cached_property
    def done(self) -> list[Row]:
        return [row for row in self.rows if row["status"] == Status.done.name]

    @property
    def valid(self) -> bool:
        """Whether no verdict says that these numbers would mislead."""
        return all(row["valid"] for row in self.done)

    @property
    def slo_met(self) -> Met | None:
        """Whether it keeps its limits; None where it has none."""
        return of_repeats(self.done)

    def spread(self, column: str) -> Spread | None:
        """A column of the table over the repeats."""
        return Spread.of(row[column] for row in self.done)

    def interval(self, column: str) -> tuple[float, float] | None:
        """The range of the repeats; of one cell the interval that it states, where it states one."""
        spread = self.spread(column)
        if spread is None or spread.repeats > 1:
            return None if spread is None else (spread.low, spread.high)
        [row] = [row for row in self.done if row[column] is not None]
        low, high = row.get(f"{column}_low"), row.get(f"{column}_high")
        return None if low is None or high is None else (low, high)

    def any_mean(self, column: str) -> float | None:
        """The mean, of too few values too: for a point that says so."""
        spread = Spread.of(_any(row, column) for row in self.done)
        return None if spread is None else spread.mean

    def count(self, number: Number) -> int:
        """The least number of values that a number of its cells is of."""
        counts = [part.column for part in number.metric.numbers() if part.counts]
        return int(min((row[column] or 0 for row in self.done for column in counts), default=0))

    @property
    def traces(self) -> int:
        """Completed traces of all its cells."""
        return int(sum(row["traces_completed"] or 0 for row in self.done))

    def mark(self, number: Number) -> str:
        """What stands behind a figure of this point: times of the short ones alone are marked."""
        return next((sign for row in self.done if (sign := mark(number.metric, outcomes(row)))), "")

    def mean(self, column: str) -> float | None:
        """The mean of a column over the repeats."""
        spread = self.spread(column)
        return None if spread is None else spread.mean


@dataclass(frozen=True)
class Curve:
    """A workload, with the same settings but for the concurrency."""

    workload: str
    variant: str
    points: Sequence[Point]  # by concurrency
    forecast: Sequence[Point] = ()  # of the same workload in virtual time, where one is laid behind it

    @property
    def label(self) -> str:
        return f"{self.workload}, {self.variant}" if self.variant else self.workload

    @property
    def measured(self) -> list[Point]:
        return [point for point in self.points if point.done]

    @property
    def slo_range(self) -> str:
        """Up to which load the limits are met, in words; empty where no cell has any."""
        answers = [(point.concurrency, point.slo_met) for point in self.measured]
        return range_text(answers) if any(met for _, met in answers) else ""


def _any(row: Row, column: str) -> float | None:
    value: float | None = row[column]
    return row.get("few", {}).get(column) if value is None else value


def curves(rows: Sequence[Row]) -> list[Curve]:
    """The curves of a sweep, in the order of its rows."""
    points: dict[tuple[str, str], dict[int, list[Row]]] = {}
    for row in rows:
        if row["concurrency"] is not None:
            here = points.setdefault((row["workload"], row["variant"]), {})
            here.setdefault(row["concurrency"], []).append(row)
    return [
        Curve(workload, variant, [Point(number, of_curve[number]) for number in sorted(of_curve)])
        for (workload, variant), of_curve in points.items()
    ]


def with_forecast(measured: Sequence[Curve], forecast: Sequence[Row]) -> list[Curve]:
    """The curves with those of a forecast behind them: of the same variant, or the workload's only one.

    Raises:
        ReportError: for a workload that the forecast does not have, or has in several variants.
    """
    behind = curves(forecast)
    return [replace(curve, forecast=_same(curve, behind).measured) for curve in measured]


def _same(curve: Curve, others: Sequence[Curve]) -> Curve:
    """The curve of the same workload among others."""
    of_workload = [other for other in others if other.workload == curve.workload]
    exact = [other for other in of_workload if other.variant == curve.variant]
    if len(exact or of_workload) == 1:
        return (exact or of_workload)[0]
    variants = ", ".join(other.variant for other in of_workload) or "none"
    raise ReportError(f"--forecast: one curve of {curve.label} is needed, found {variants}")


def throughput(curves: Iterable[Curve]) -> str:
    """The column of the headline throughput: per GPU where every measured cell tells how many there are."""
    rows = [row for curve in curves for point in curve.points for row in point.done]
    return PER_GPU if rows and all(row[PER_GPU] is not None for row in rows) else IN_TOTAL


def _measured(curve: Curve, column: str) -> list[tuple[float, Point]]:
    """The means of a column along a curve, where there are any that no verdict warns of."""
    return [(value, point) for point in curve.measured if point.valid and (value := point.mean(column)) is not None]


def best(curve: Curve, column: str) -> Point | None:
    """The point with the highest mean, the lowest concurrency where several have it; None where none was measured."""
    return max(_measured(curve, column), key=lambda item: item[0], default=(0.0, None))[1]


def knee(curve: Curve, column: str) -> Point | None:
    """The least concurrency with KNEE of the best throughput: beyond it, more load buys latency alone.

    None where that is the highest concurrency that was measured, since throughput may rise on beyond it, and where
    fewer than three were measured.
    """
    measured = _measured(curve, column)
    if len(measured) < 3:
        return None
    most = max(value for value, _ in measured)
    first = next(point for value, point in measured if value >= KNEE * most)
    return None if first is measured[-1][1] else first


def pareto(curve: Curve, up: str, other: str, *, lower: bool) -> list[Point]:
    """The points that none beats in both: more of `up`, and more of `other`, or less of it where `lower`.

    In the order of `up`, the highest first. An invalid point is on no front, nor is a percentile of too few values.
    """
    sign = -1.0 if lower else 1.0
    measured = [
        (rise, sign * across, point)
        for point in curve.measured
        if point.valid and (rise := point.mean(up)) is not None and (across := point.mean(other)) is not None
    ]
    return unbeaten(measured)
