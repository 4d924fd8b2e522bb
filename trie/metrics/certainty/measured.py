"""Intervals of what a run measured: rates in steady state, means and percentiles of traces and requests."""

from __future__ import annotations

import numpy as np

from trie.metrics.certainty.blocks import Blocks
from trie.metrics.certainty.estimate import CONFIDENCE, Estimate, jackknife
from trie.metrics.certainty.student import t_quantile
from trie.metrics.columns import Floats
from trie.metrics.definitions.metric import STATISTICS
from trie.metrics.throughput import Points

PERCENTILES = ("p50", "p90")
LEAST = {part.key: part.least for part in STATISTICS}


def rate(points: Points, key: str, value: float, blocks: Blocks) -> Estimate | None:
    """A steady-state rate: `value`, with the interval that the rates of the blocks give."""
    added = np.diff(points.total[key], prepend=0.0)
    of_blocks = blocks.sums(points.at, added) / blocks.width_s
    return jackknife(value, _means_without(of_blocks))


def _means_without(of_blocks: Floats) -> Floats:
    without: Floats = (of_blocks.sum() - of_blocks) / (len(of_blocks) - 1)
    return without


def mean(values: Floats, at: Floats, blocks: Blocks) -> Estimate | None:
    """The mean of values that belong to instants; those that are NaN do not count."""
    measured = np.isfinite(values)
    if not measured.any():
        return None
    sums = blocks.sums(at[measured], values[measured])
    counts = blocks.sums(at[measured], np.ones(int(measured.sum())))
    left = counts.sum() - counts
    if (left == 0).any():
        return None
    return jackknife(float(values[measured].mean()), (sums.sum() - sums) / left)


def percentile(values: Floats, at: Floats, blocks: Blocks, name: str) -> Estimate | None:
    """A percentile, with the interval between the percentiles that its share may in truth be at (Woodruff's).

    None where the values are too few for the percentile, or for one of the bounds.
    """
    measured = np.isfinite(values)
    values, at = values[measured], at[measured]
    if len(values) < LEAST[name]:
        return None
    share = int(name[1:]) / 100
    value = float(np.quantile(values, share))
    below = blocks.sums(at, (values <= value).astype(np.float64))
    counts = blocks.sums(at, np.ones(len(values)))
    left = counts.sum() - counts
    if (left == 0).any():
        return None
    of_share = jackknife(share, (below.sum() - below) / left)
    if of_share is None or of_share.half_width is None or of_share.degrees_of_freedom is None:
        return None
    low, high = share - of_share.half_width, share + of_share.half_width
    if low <= 0.0 or high >= 1.0 - 1.0 / len(values):
        return None
    from_, to = (float(bound) for bound in np.quantile(values, (low, high)))
    freedom = of_share.degrees_of_freedom
    error = (to - from_) / 2 / t_quantile((1 + CONFIDENCE) / 2, freedom)
    return Estimate(value, from_, to, error, freedom)


def statistics(values: Floats, at: Floats, blocks: Blocks) -> dict[str, Estimate | None]:
    """The mean and the percentiles of one metric."""
    named = {name: percentile(values, at, blocks, name) for name in PERCENTILES}
    return {"mean": mean(values, at, blocks), **named}
