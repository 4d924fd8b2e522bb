"""An estimate with its interval, out of what each block of time contributes."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, sqrt

import numpy as np

from trie.metrics.certainty.student import t_quantile
from trie.metrics.columns import Floats

CONFIDENCE = 0.95
LEAST_BLOCKS = 4  # that an interval takes


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its interval; without one (None) where the run is too short for it."""

    value: float
    low: float | None = None
    high: float | None = None
    standard_error: float | None = None
    degrees_of_freedom: float | None = None

    @property
    def half_width(self) -> float | None:
        """Half the interval, as `±` shows it; None without one."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


def without_interval(estimate: Estimate | None) -> Estimate | None:
    """The value alone."""
    return None if estimate is None else Estimate(estimate.value)


def interval(value: float, standard_error: float, degrees_of_freedom: float) -> Estimate:
    """A value with the interval that is symmetric around it."""
    half = t_quantile((1 + CONFIDENCE) / 2, degrees_of_freedom) * standard_error
    return Estimate(value, value - half, value + half, standard_error, degrees_of_freedom)


def jackknife(value: float, without: Floats) -> Estimate | None:
    """An estimate from all blocks, and those that leave each block out; None where any of them can't be made.

    What one block has in common with the next makes the interval too narrow. So the same is done with blocks of twice
    the length, and so on while four of them are left, and the widest interval is taken.
    """
    blocks = len(without)
    if not isfinite(value) or blocks < LEAST_BLOCKS:
        return Estimate(value) if isfinite(value) else None
    contributions = (without.mean() - without) * (blocks - 1) / blocks
    if not np.isfinite(contributions).all():
        return None
    intervals = [interval(value, *_error(contributions, count)) for count in groupings(blocks)]
    return max(intervals, key=lambda estimate: estimate.half_width or 0.0)


def groupings(blocks: int) -> list[int]:
    """Numbers of ever longer blocks: halved, rounding up, while four are left."""
    counts = [blocks]
    while (half := -(-counts[-1] // 2)) >= LEAST_BLOCKS and half < counts[-1]:
        counts.append(half)
    return counts


def _error(contributions: Floats, count: int) -> tuple[float, int]:
    """The standard error of a sum of contributions that come in so many groups, and its degrees of freedom."""
    bounds = np.linspace(0, len(contributions), count + 1).round().astype(np.intp)
    groups = np.add.reduceat(contributions, bounds[:-1])
    squares = float(((groups - groups.mean()) ** 2).sum())
    return sqrt(count / (count - 1) * squares), count - 1


def at_least_as_wide(estimate: Estimate | None, other: Estimate | None) -> Estimate | None:
    """An estimate whose interval is as wide as that of another one, in relation to the values; or its own, if wider."""
    if estimate is None or other is None or estimate.half_width is None or other.half_width is None:
        return estimate
    if other.value == 0.0 or other.standard_error is None or other.degrees_of_freedom is None:
        return estimate
    scale = abs(estimate.value / other.value)
    if scale * other.half_width <= estimate.half_width:
        return estimate
    return interval(estimate.value, scale * other.standard_error, other.degrees_of_freedom)


def difference(first: Estimate, second: Estimate) -> Estimate | None:
    """`second - first` of two runs that are independent, by Welch and Satterthwaite; None without both intervals."""
    parts = [(e.standard_error, e.degrees_of_freedom) for e in (first, second)]
    variances = [(error**2, freedom) for error, freedom in parts if error is not None and freedom is not None]
    if len(variances) < 2:
        return None
    total = sum(variance for variance, _ in variances)
    if total == 0.0:
        return interval(second.value - first.value, 0.0, min(freedom for _, freedom in variances))
    freedom = total**2 / sum(variance**2 / freedom for variance, freedom in variances)
    return interval(second.value - first.value, sqrt(total), freedom)
