"""How much a series changes, and how sure that is: a line, a bend and a step through values that hang together.

Theory of operation. Load is common to neighbouring blocks, so their values are alike and a plain regression is far too
sure of itself. The residuals of the fit are taken for a process in which each value keeps a share `rho` of the one
before. `rho` is estimated from them, with the correction that a short series needs, and the coefficient's standard
error follows. A step may be at any block, and the best place is taken: its t is the largest of many, so its limit is
higher. docs/steadiness.md has the rates at which steady runs pass these limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from trie.metrics.columns import Floats

LINE_T, PLACED_T = 4.0, 6.5  # beyond which a line, and a step or a bend, is no chance
MOST_RHO = 0.9
SEGMENT = 0.1  # least share of the blocks on either side of a step or a bend
FEWEST = 12  # blocks that are looked at for them


@dataclass(frozen=True, slots=True)
class Fit:
    """A shape that was fitted to a series."""

    change: float  # from the first block to the last, in the unit of the values
    t: float  # how many standard errors that is
    rest: float  # sum of squares of the residuals
    at: int = 0  # of a step or a bend: the first block behind it

    @property
    def sure(self) -> bool:
        return abs(self.t) > (PLACED_T if self.at else LINE_T)


def line(values: Floats) -> Fit:
    """A straight line; NaN is left out, as everywhere here."""
    places, y = _measured(values)
    return _regress(places, y)


def step(values: Floats) -> Fit | None:
    """Two levels, with the best place between them; None where there are too few values."""
    places, y = _measured(values)
    return _best([(at, (places >= at).astype(np.float64)) for at in _ways(places, len(values))], y)


def bend(values: Floats) -> Fit | None:
    """A level that begins or ceases to slope, with the best place; None where there are too few values."""
    places, y = _measured(values)
    ways = _ways(places, len(values))
    return _best([(at, end(places, at)) for at in ways for end in (np.maximum, np.minimum)], y)


def _measured(values: Floats) -> tuple[Floats, Floats]:
    """The numbers of the blocks that have a value, and these."""
    there = np.isfinite(values)
    return np.flatnonzero(there).astype(np.float64), values[there]


def _ways(places: Floats, count: int) -> list[int]:
    """Where the blocks may be cut in two parts that both say something."""
    least = max(2, int(count * SEGMENT))
    return [int(at) for at in places[least : len(places) - least + 1]] if len(places) >= FEWEST else []


def _best(shapes: Sequence[tuple[int, Floats]], y: Floats) -> Fit | None:
    """The shape that leaves least."""
    if not shapes:
        return None
    centred = np.array([shape - shape.mean() for _, shape in shapes])
    explained = (centred @ y) ** 2 / (centred**2).sum(axis=1)
    at, shape = shapes[int(np.argmax(explained))]
    return _regress(shape, y, at)


def _regress(x: Floats, y: Floats, at: int = 0) -> Fit:
    """The regression of y on a shape."""
    height = float(x.max() - x.min())
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
    return Fit(coefficient * height, coefficient / sqrt(max(variance, 1e-300)), rest, at)


def _autocorrelation(residuals: Floats) -> float:
    """The share that a residual keeps of the one before: not below 0, and corrected for two fitted parameters."""
    total = float((residuals * residuals).sum())
    rho = float((residuals[1:] * residuals[:-1]).sum()) / total if total > 0 else 0.0
    return min(max(rho + (1.0 + 4.0 * rho) / len(residuals), 0.0), MOST_RHO)
