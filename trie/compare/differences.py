"""The differences of two sides, number by number, each with its interval and a word."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from trie.compare import population
from trie.compare.intervals import Interval, Intervals
from trie.compare.runs import Numbers
from trie.metrics.metric_names import Described, described
from trie.metrics.shown_numbers import too_few

RESAMPLES, SEED, CONFIDENCE = 1000, 0, 0.95

Verdict = Literal["better", "worse", "differs", "equivalent", "higher", "lower", "noise"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Of the intervals and the words."""

    resamples: int = RESAMPLES  # of versions that resampled; without effect
    seed: int = SEED  # the same
    confidence: float = CONFIDENCE
    margin: float | None = None  # share of the baseline within which two sides are called equivalent


@dataclass(frozen=True, slots=True)
class Difference:
    """One number on two sides; None where it was not measured, or where no interval can be given."""

    of: Described
    baseline: float | None
    candidate: float | None
    low: float | None = None  # the interval of the change, in the metric's unit
    high: float | None = None
    relative_low: float | None = None  # of the change as a share of the baseline
    relative_high: float | None = None
    detectable: float | None = field(default=None, kw_only=True)  # the change that is found in 4 of 5 comparisons
    relative_detectable: float | None = field(default=None, kw_only=True)
    repeated: bool = field(default=False, kw_only=True)  # how runs of one side differ is in the interval
    margin: float | None = field(default=None, kw_only=True)
    few: bool = field(
        default=False, kw_only=True
    )  # a percentile that too few values stand behind in one of the runs, and is not shown there

    @property
    def measured(self) -> bool:
        """In one of the two runs at least."""
        return self.few or self.baseline is not None or self.candidate is not None

    @property
    def change(self) -> float | None:
        if self.baseline is None or self.candidate is None:
            return None
        return self.candidate - self.baseline

    @property
    def relative(self) -> float | None:
        """The change as a share of the baseline; None for a baseline of 0."""
        return None if self.change is None or not self.baseline else self.change / abs(self.baseline)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The interval that the word rests on: of the relative change, where that is known."""
        if self.relative_low is not None and self.relative_high is not None:
            return self.relative_low, self.relative_high
        return None if self.low is None or self.high is None else (self.low, self.high)

    @property
    def verdict(self) -> Verdict | None:
        """What may be said; None without an interval.

        One run a side tells how much a number moves within a run, and nothing of how it moves from run to run: then
        it is higher or lower in this pair, and neither better nor worse.
        """
        if self.bounds is None:
            return None
        low, high = self.bounds
        if self.repeated and self.margin is not None and self.baseline and max(-low, high) <= self.margin:
            return "equivalent"
        if low <= 0 <= high:
            return "noise"
        if not self.repeated:
            return "higher" if low > 0 else "lower"
        return self.speaks_for or "differs"

    @property
    def speaks_for(self) -> Literal["better", "worse"] | None:
        """What a change beyond the noise would be for the candidate; None within it, and for a metric of no side."""
        if self.bounds is None or self.of.better is None:
            return None
        low, high = self.bounds
        if low <= 0 <= high:
            return None
        return "better" if (low > 0) == (self.of.better == "higher") else "worse"


def differences(numbers: tuple[Numbers, Numbers], intervals: Intervals, margin: float | None) -> list[Difference]:
    """Every number of either side, in the order of summary.json."""
    baseline, candidate = numbers
    return [
        Difference(
            population.described(key) or described(key),
            baseline.get(key),
            candidate.get(key),
            *_bounds(intervals.change.get(key)),
            *_bounds(intervals.relative.get(key)),
            detectable=_detectable(intervals.change.get(key)),
            relative_detectable=_detectable(intervals.relative.get(key)),
            repeated=intervals.repeated,
            margin=margin,
        )
        for key in dict.fromkeys([*baseline, *candidate])
    ]


def _bounds(interval: Interval | None) -> tuple[float | None, float | None]:
    return (None, None) if interval is None else (interval.low, interval.high)


def _detectable(interval: Interval | None) -> float | None:
    return None if interval is None else interval.detectable


def shown(differences: Iterable[Difference], numbers: tuple[Numbers, Numbers]) -> list[Difference]:
    """The differences as people read them: no percentile of a run in which too few values stand behind it."""
    few = [{number.key for number in too_few(values)} for values in numbers]
    return [_without_few(difference, *(difference.of.key in keys for keys in few)) for difference in differences]


def _without_few(difference: Difference, baseline: bool, candidate: bool) -> Difference:
    if not baseline and not candidate:
        return difference
    a, b = None if baseline else difference.baseline, None if candidate else difference.candidate
    return Difference(difference.of, a, b, few=True)
