"""An estimate with its interval, out of what each block of time contributes."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, sqrt

from trie.metrics.certainty.student import t_quantile
from trie.metrics.columns import Floats

CONFIDENCE = 0.95


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
    """An estimate from all blocks, and those that leave each block out; None where any of them can't be made."""
    blocks = len(without)
    if not isfinite(value) or blocks < 2:
        return Estimate(value) if isfinite(value) else None
    squares = float(((without - without.mean()) ** 2).sum())
    if not isfinite(squares):
        return None
    return interval(value, sqrt((blocks - 1) / blocks * squares), blocks - 1)


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
