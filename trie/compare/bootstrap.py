"""The bootstrap over traces: statistics of resampled runs, all resamples at once.

A resample draws traces with replacement. What it draws is kept as a weight for each trace (how often it was drawn), and
a statistic of a resample is the weighted statistic of the run, so that nothing is ever copied: the mean and the
percentiles of values that belong to traces, and ratios of sums over traces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from trie.metrics.columns import Floats

Ints = NDArray[np.int64]
CELLS = 2_000_000  # of a block of resamples x values: 16 MB


def draw(rng: np.random.Generator, strata: Ints, resamples: int) -> Ints:
    """How often each trace is drawn in each resample.

    Args:
        rng: where the draws come from.
        strata: for each trace the number of its stratum; each stratum keeps its size in every resample.
        resamples: how many.

    Returns:
        Weights, resamples x traces.
    """
    weights = np.zeros((resamples, len(strata)), np.int64)
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        weights[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=resamples)
    return weights


def of_sample(values: Floats, owner: Ints, weights: Ints, quantiles: Sequence[float]) -> Floats:
    """Mean and percentiles of values in every resample; percentiles interpolate linearly, as numpy's default.

    Args:
        values: what was measured, without NaN.
        owner: for each value the trace that it belongs to, a column of `weights`.
        weights: of `draw`.
        quantiles: shares between 0 and 1.

    Returns:
        Resamples x (1 + quantiles): the mean first; NaN in a resample that drew none of the values.
    """
    order = np.argsort(values, kind="stable")
    values, owner = values[order], owner[order]
    found = np.full((len(weights), 1 + len(quantiles)), np.nan)
    for block in _blocks(len(weights), len(values)):
        counts = weights[block][:, owner]
        total = counts.sum(axis=1)
        some = np.maximum(total, 1)
        found[block, 0] = counts @ values / some
        cumulative = np.cumsum(counts, axis=1)
        for at, quantile in enumerate(quantiles, start=1):
            found[block, at] = _quantile(values, cumulative, (some - 1) * quantile)
        found[block][total == 0] = np.nan
    return found


def _blocks(rows: int, columns: int) -> Iterator[slice]:
    step = max(CELLS // max(columns, 1), 1)
    return (slice(first, first + step) for first in range(0, rows, step))


def _quantile(values: Floats, cumulative: Ints, place: Floats) -> Floats:
    """The value at a place (from 0, a fraction lies between neighbours) of each row's values laid out by weight."""
    below = np.floor(place).astype(np.int64)
    low, high = (values[_index(cumulative, below + step)] for step in (0, 1))
    share = place - below
    return low + share * np.where(share > 0, high - low, 0.0)


def _index(cumulative: Ints, place: Ints) -> Ints:
    """In each row the first column whose cumulative weight exceeds `place`, in one search over rows laid end to end."""
    rows, columns = cumulative.shape
    apart = np.arange(rows) * (int(cumulative[:, -1].max()) + 2)
    found = np.searchsorted((cumulative + apart[:, None]).ravel(), place + apart, side="right")
    index: Ints = np.minimum(found - np.arange(rows) * columns, columns - 1)
    return index


def of_ratio(above: Floats, below: Floats, weights: Ints) -> Floats:
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
