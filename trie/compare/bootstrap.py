"""The bootstrap over traces: statistics of resampled runs, all resamples at once.

A resample draws traces with replacement. What it draws is kept as a weight for each trace (how often it was drawn), and
a statistic of a resample is the weighted statistic of the run, so that nothing is ever copied: the mean and the
percentiles of values that belong to traces, and ratios of sums over traces.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trie.metrics.columns import Floats

Ints = NDArray[np.int64]
BLOCKS = 128  # of neighbouring values, in which a percentile is looked for first


def draw(rng: np.random.Generator, strata: Ints, resamples: int) -> Floats:
    """How often each trace is drawn in each resample.

    Args:
        rng: where the draws come from.
        strata: for each trace the number of its stratum; each stratum keeps its size in every resample.
        resamples: how many.

    Returns:
        Weights, resamples x traces: whole numbers, as floats for the sake of matrix products.
    """
    weights = np.zeros((resamples, len(strata)))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        weights[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=resamples)
    return weights


def of_sample(values: Floats, owner: Ints, weights: Floats, quantiles: Sequence[float]) -> Floats:
    """Mean and percentiles of values in every resample; percentiles interpolate linearly, as numpy's default.

    Args:
        values: what was measured, without NaN; at least one.
        owner: for each value the trace that it belongs to, a column of `weights`.
        weights: of `draw`.
        quantiles: shares between 0 and 1.

    Returns:
        Resamples x (1 + quantiles): the mean first; NaN in a resample that drew none of the values.
    """
    order = np.argsort(values, kind="stable")
    laid_out = _LaidOut(values[order], owner[order], weights)
    some = np.maximum(laid_out.total, 1)
    sums = weights @ np.bincount(owner, weights=values, minlength=weights.shape[1])
    found = np.column_stack([sums / some, *(laid_out.at((some - 1) * quantile) for quantile in quantiles)])
    found[laid_out.total == 0] = np.nan
    return found


class _LaidOut:
    """Sorted values, each repeated by its weight, in every resample: nothing of which is ever made.

    The weights of whole blocks of neighbours come from one matrix product; a place is looked for among the blocks
    first, and then in one of them.
    """

    def __init__(self, values: Floats, owner: Ints, weights: Floats) -> None:
        self._values, self._owner, self._weights = values, owner, weights
        blocks = min(BLOCKS, len(values))
        self._edges = np.linspace(0, len(values), blocks + 1).astype(np.int64)
        block = np.repeat(np.arange(blocks), np.diff(self._edges))
        counts = np.bincount(owner * blocks + block, minlength=weights.shape[1] * blocks)
        self._up_to = weights @ counts.reshape(-1, blocks).cumsum(axis=1)  # weight of all values up to a block's end
        self.total: Floats = self._up_to[:, -1]

    def at(self, place: Floats) -> Floats:
        """The value at a place of each resample, counted from 0; a fraction lies between neighbours."""
        below = np.floor(place)
        low, high = (self._values[self._index(np.minimum(below + step, self.total - 1))] for step in (0, 1))
        found: Floats = low + (place - below) * (high - low)
        return found

    def _index(self, place: Floats) -> Ints:
        """In each resample the first value up to which the weights exceed `place`; that of the first, for none."""
        block = np.minimum((self._up_to <= place[:, None]).sum(axis=1), len(self._edges) - 2)
        rows = np.arange(len(place))
        before = np.where(block > 0, self._up_to[rows, block - 1], 0.0)
        longest = int(np.diff(self._edges).max())
        columns = np.minimum(self._edges[block][:, None] + np.arange(longest), len(self._values) - 1)
        inside = self._weights[rows[:, None], self._owner[columns]].cumsum(axis=1)
        step = (before[:, None] + inside <= place[:, None]).sum(axis=1)
        index: Ints = np.minimum(self._edges[block] + step, len(self._values) - 1)
        return index


def of_ratio(above: Floats, below: Floats, weights: Floats) -> Floats:
    """The ratio of two sums over traces in every resample; NaN where the lower sum is not above 0."""
    whole = weights @ below
    found: Floats = np.divide(weights @ above, whole, out=np.full(len(weights), np.nan), where=whole > 0)
    return found


def interval(resampled: Floats, confidence: float) -> tuple[float, float] | None:
    """The central interval of the resampled values (percentile method); None when one of them is unknown."""
    if not len(resampled) or not np.isfinite(resampled).all():
        return None
    low, high = np.quantile(resampled, ((1 - confidence) / 2, (1 + confidence) / 2))
    return float(low), float(high)
