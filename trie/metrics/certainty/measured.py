"""Intervals of what a run measured: rates in steady state, means and percentiles of traces and requests."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import add

import numpy as np

from trie.metrics.certainty.blocks import Blocks, Places
from trie.metrics.certainty.estimate import CONFIDENCE, Estimate, jackknife
from trie.metrics.certainty.student import t_quantile
from trie.metrics.columns import Floats, quantiles
from trie.metrics.definitions.metric import STATISTICS
from trie.metrics.throughput import Points

PERCENTILES = ("p50", "p90")
LEAST = {part.key: part.least for part in STATISTICS}


def rates(points: Points, values: Mapping[str, float | None], blocks: Blocks) -> dict[str, Estimate | None]:
    """Steady-state rates: their values, with the intervals that the rates of the blocks give."""

    def sums(at: Floats, tokens_of: Mapping[str, Floats]) -> Floats:
        return np.array([blocks.sums(at, tokens_of[key]) for key in values])

    totals = reduce(add, points.of_added(sums))
    return {
        key: None if value is None else jackknife(value, _means_without(total / blocks.width_s))
        for (key, value), total in zip(values.items(), totals, strict=True)
    }


def _means_without(of_blocks: Floats) -> Floats:
    without: Floats = (of_blocks.sum() - of_blocks) / (len(of_blocks) - 1)
    return without


def mean(values: Floats, places: Places) -> Estimate | None:
    """The mean of values that belong to blocks; those that are NaN do not count."""
    measured = np.isfinite(values)
    if not measured.any():
        return None
    sums, counts = places.sums(values), places.counts(measured)
    left = counts.sum() - counts
    if (left == 0).any():
        return None
    return jackknife(float(values[measured].mean()), (sums.sum() - sums) / left)


def percentile(values: Floats, places: Places, name: str, ordered: Floats) -> Estimate | None:
    """A percentile, with the interval between the percentiles that its share may in truth be at (Woodruff's).

    None where the values are too few for the percentile, or for one of the bounds. `ordered` are those that were
    measured, in order.
    """
    if len(ordered) < LEAST[name]:
        return None
    share = int(name[1:]) / 100
    value = float(quantiles(ordered, [share])[0])
    below, counts = places.counts(values <= value), places.counts(np.isfinite(values))
    left = counts.sum() - counts
    if (left == 0).any():
        return None
    of_share = jackknife(share, (below.sum() - below) / left)
    if of_share is None or of_share.half_width is None or of_share.degrees_of_freedom is None:
        return None
    low, high = share - of_share.half_width, share + of_share.half_width
    if low <= 0.0 or high >= 1.0 - 1.0 / len(ordered):
        return None
    from_, to = quantiles(ordered, (low, high)).tolist()
    freedom = of_share.degrees_of_freedom
    error = (to - from_) / 2 / t_quantile((1 + CONFIDENCE) / 2, freedom)
    return Estimate(value, from_, to, error, freedom)


def statistics(values: Floats, places: Places, ordered: Floats) -> dict[str, Estimate | None]:
    """The mean and the percentiles of one metric."""
    named = {name: percentile(values, places, name, ordered) for name in PERCENTILES}
    return {"mean": mean(values, places), **named}
