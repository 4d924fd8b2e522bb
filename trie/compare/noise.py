"""How far a number of a run, or the difference of two, may be off: from what its traces and requests contributed.

Theory of operation. Requests of one time share the load that they met, and requests of one trace are of one kind:
neither are independent, so that a resampling of either alone is too sure. Contributions are therefore added up in two
ways, over parts of the run's time and over sessions in the order of their starts. Of each, the slowest movements are
taken: the first few cosines over the run (equal-weighted cosine transform; Lazarus, Lewis, Stock and Watson, 2018).
Noise that moves more slowly than a few traces last is in them, where sums over short blocks would miss it. Each cosine
gives one square, and their mean has as many degrees of freedom as there are cosines. Variance in time and over
sessions are added and what both hold, that of sessions as if they were independent, is taken off once (clustering in
two ways; Cameron, Gelbach and Miller, 2011).

It can't hold what a run does not show: noise that is the same for all of a run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

import numpy as np

from trie.compare.units import Contributions
from trie.metrics.certainty.student import t_quantile
from trie.metrics.columns import Floats

LEAST_CYCLES = 5.0  # mean traces one after the other, below which there is no interval
LEAST, MOST = 2, 20  # cosines
POWER = 0.8  # share of the comparisons in which a difference that can be seen is found


@dataclass(frozen=True, slots=True)
class Noise:
    """The variance of a number, and how well that is known."""

    variance: float
    freedom: float

    @property
    def error(self) -> float:
        """The standard error."""
        return sqrt(self.variance)

    def half_width(self, confidence: float) -> float:
        """Half of the interval."""
        return t_quantile((1 + confidence) / 2, self.freedom) * self.error

    def detectable(self, confidence: float) -> float:
        """The difference that such an interval leaves 0 out for in 4 of 5 cases."""
        return self.half_width(confidence) + t_quantile(POWER, self.freedom) * self.error


def cosines(cycles: float, memory: float) -> int | None:
    """How many a run of so many cycles has, for noise with such a memory; None where it is too short."""
    return None if cycles < LEAST_CYCLES else min(max(int(cycles / memory), LEAST), MOST)


def noise(in_time: Floats, of_sessions: Floats, count: int) -> Noise:
    """Of the number that the contributions are to; `count` cosines."""
    time, sessions = _slow(in_time, count), _slow(of_sessions, count)
    alone = float((of_sessions**2).sum())
    return Noise(max(time, sessions, alone, time + sessions - alone), count)


def _slow(sums: Floats, count: int) -> float:
    """The variance of the total, from the slowest movements of its parts."""
    places = (np.arange(len(sums)) + 0.5) / len(sums)
    waves = np.cos(np.pi * np.outer(np.arange(1, count + 1), places))
    return float((2.0 * (waves @ sums) ** 2).mean())


def apart(first: Noise, second: Noise) -> Noise:
    """Of a sum or a difference of two independent numbers, by Welch and Satterthwaite."""
    return together([first, second])


def together(parts: Iterable[Noise]) -> Noise:
    """Of a sum of independent numbers."""
    noises = list(parts)
    variance = sum(part.variance for part in noises)
    if variance == 0:
        return Noise(0.0, min(part.freedom for part in noises))
    return Noise(variance, variance**2 / sum(part.variance**2 / part.freedom for part in noises))


def scaled(part: Noise, factor: float) -> Noise:
    """Of the number times a factor."""
    return Noise(part.variance * factor**2, part.freedom)


def paired(baseline: Contributions, candidate: Contributions, weights: tuple[float, float], count: int) -> Noise:
    """Of a weighted sum over two runs that replayed the same traces in the same order.

    What both have of the workload, at the same time and in the same session, falls out of it.
    """
    of_a, of_b = weights
    sessions = np.zeros(max(len(baseline.of_sessions), len(candidate.of_sessions)))
    sessions[: len(baseline.of_sessions)] += of_a * baseline.of_sessions
    sessions[: len(candidate.of_sessions)] += of_b * candidate.of_sessions
    return noise(of_a * baseline.in_time + of_b * candidate.in_time, sessions, count)
