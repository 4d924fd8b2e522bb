"""When to stop an A/B comparison, and what can then be said. Pure.

Each pair of blocks gives one relative difference of each metric. Their mean has a t interval. A comparison that looks
at its interval again and again, and stops when it likes what it sees, is wrong more often than stated. So there are few
looks, each further away than the last, and the interval of each is as wide as makes all of them together right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, expm1, log1p, sqrt
from statistics import stdev
from typing import Literal

from trie.metrics.certainty.student import t_quantile

Decision = Literal["better", "worse", "equivalent", "unsure"]

FIRST_LOOK = 3  # pairs
GROWTH = 1.5  # from look to look
CONFIDENCE = 0.95


def looks(most: int) -> Iterator[int]:
    """The numbers of pairs at which to look, the last one `most`."""
    at = FIRST_LOOK
    while at < most:
        yield at
        at = max(at + 1, ceil(at * GROWTH))
    yield most


@dataclass(frozen=True, slots=True)
class Interval:
    """The relative difference of B from A, as a ratio: 0.03 is 3 % more."""

    value: float
    low: float
    high: float
    pairs: int


@dataclass(frozen=True, slots=True)
class Rule:
    """How an A/B comparison ends."""

    margin: float  # a smaller relative difference does not matter
    most: int  # pairs
    confidence: float = CONFIDENCE

    @property
    def _level(self) -> float:
        """Of the interval of one look: the errors of all looks add up to what is stated, at most."""
        return 1.0 - (1.0 - self.confidence) / len(list(looks(self.most)))

    def interval(self, differences: Sequence[float]) -> Interval | None:
        """Of the relative difference, from the logarithms of the ratio B / A of each pair; None for fewer than 2."""
        count = len(differences)
        if count < 2:
            return None
        mean, half = sum(differences) / count, self._half(count, stdev(differences))
        return Interval(expm1(mean), expm1(mean - half), expm1(mean + half), count)

    def decide(self, interval: Interval | None, *, higher_is_better: bool) -> Decision:
        """What an interval says of B."""
        if interval is None:
            return "unsure"
        if -self.margin <= interval.low and interval.high <= self.margin:
            return "equivalent"
        if interval.low <= 0 <= interval.high:
            return "unsure"
        return "better" if (interval.low > 0) == higher_is_better else "worse"

    def needs(self, effect: float, deviation: float) -> int | None:
        """The look at which a difference of `effect` is sure, or sure to be within the margin; None: at no look.

        Args:
            effect: the relative difference, 0 for none.
            deviation: the standard deviation of the logarithms of the pairs' ratios.
        """
        size = abs(log1p(effect))
        room = max(size, log1p(self.margin) - size)  # to one side at least it is decided with so much room
        return next((count for count in looks(self.most) if self._half(count, deviation) < room), None)

    def needs_more(self, differences: Sequence[float]) -> int | None:
        """How many more pairs it takes, should the rest be as these are; None: more than there may be."""
        if len(differences) < 2:
            return None
        mean = sum(differences) / len(differences)
        at = self.needs(expm1(mean), stdev(differences))
        return None if at is None else max(at - len(differences), 1)

    def _half(self, count: int, deviation: float) -> float:
        return t_quantile((1.0 + self._level) / 2.0, count - 1) * deviation / sqrt(count)
