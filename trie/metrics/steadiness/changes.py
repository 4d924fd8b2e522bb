"""How much a series changes, and how sure that is: a line and a step through values that depend on their neighbours.

Theory of operation. Load is common to neighbouring blocks, so their values are alike and a plain regression is far too
sure of itself. The residuals of the fit are taken for a process in which each value keeps a share `rho` of the one
before. `rho` is estimated from them, with the correction that a short series needs, and the coefficient's standard
error follows. A step may be at any block, and the best place is taken: its t is the largest of many, so its limit is
higher. docs/steadiness.md has the rates at which steady runs pass these limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from trie.metrics.columns import Floats

LINE_T, STEP_T = 4.0, 6.0  # beyond which a change is no chance
MOST_RHO = 0.9
SEGMENT = 0.1  # least share of the blocks on either side of a step
FEWEST = 12  # blocks that are looked at for a step


@dataclass(frozen=True, slots=True)
class Fit:
    """One coefficient beside a mean."""

    change: float  # of the line from the first to the last block, or of the step, in the unit of the values
    t: float  # how many standard errors that is
    rest: float  # sum of squares of the residuals


@dataclass(frozen=True, slots=True)
class Step(Fit):
    at: int  # the first block behind it


def line(values: Floats) -> Fit:
    """A straight line through the values; NaN is left out."""
    measured = np.flatnonzero(np.isfinite(values)).astype(np.float64)
    slope, t, rest = _regress(measured, values[np.isfinite(values)])
    return Fit(slope * (len(values) - 1), t, rest)


def step(values: Floats) -> Step | None:
    """Two levels with the best place between them; None where there are too few values."""
    measured = np.flatnonzero(np.isfinite(values))
    count = len(measured)
    if count < FEWEST:
        return None
    y = values[measured]
    least = max(2, int(len(values) * SEGMENT))
    sizes = np.arange(least, count - least + 1)
    sums = np.cumsum(y)
    differences = (sums[-1] - sums[sizes - 1]) / (count - sizes) - sums[sizes - 1] / sizes
    best = int(np.argmax(sizes * (count - sizes) * differences**2))
    at = int(sizes[best])
    change, t, rest = _regress((np.arange(count) >= at).astype(np.float64), y)
    return Step(change, t, rest, int(measured[at]))


def _regress(x: Floats, y: Floats) -> tuple[float, float, float]:
    """The coefficient of y on x, its t, and the sum of squares that is left."""
    x = x - x.mean()
    weight = float((x * x).sum())
    coefficient = float((x * y).sum()) / weight
    residuals = y - y.mean() - coefficient * x
    rest = float((residuals * residuals).sum())
    count = len(y)
    rho = _autocorrelation(residuals)
    alike = rho ** np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    hidden = max(1.0 - 2.0 * rho / ((1.0 - rho) * count), 0.3)  # what the mean takes of the residuals' variance
    variance = rest / (count - 2) / hidden * float(x @ alike @ x) / weight**2
    return coefficient, coefficient / sqrt(max(variance, 1e-300)), rest


def _autocorrelation(residuals: Floats) -> float:
    """The share that a residual keeps of the one before: not below 0, and corrected for two fitted parameters."""
    total = float((residuals * residuals).sum())
    rho = float((residuals[1:] * residuals[:-1]).sum()) / total if total > 0 else 0.0
    return min(max(rho + (1.0 + 4.0 * rho) / len(residuals), 0.0), MOST_RHO)
