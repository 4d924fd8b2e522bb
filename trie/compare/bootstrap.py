"""The bootstrap over traces: statistics of resampled runs, all resamples at once.

A resample draws traces with replacement. What it draws is kept as a weight for each trace (how often it was drawn), and
a statistic of a resample is the weighted statistic of the run, so that nothing is ever copied: the mean and the
percentiles of values that belong to traces, and ratios of sums over traces.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trie.metrics.columns import Columns, Floats
from trie.metrics.definitions import PER_REQUEST, PER_TRACE, WINDOWS, WORKLOAD
from trie.metrics.evaluate_run import EvaluatedRun
from trie.metrics.throughput import LAST_S, Points
from trie.metrics.traces import Traces, traces
from trie.metrics.values import per_request, per_trace, ratios

Ints = NDArray[np.int64]
BLOCKS = 128  # of neighbouring values, in which a percentile is looked for first


@dataclass(frozen=True, slots=True)
class Sample:
    """Values whose mean and percentiles are metrics; `session` says whose each is."""

    values: Floats
    session: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Ratio:
    """A metric that is a ratio of sums over sessions, times a factor that is the run's own."""

    above: Floats
    below: Floats
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Units:
    """What the sessions of a run contributed, by the keys of summary.json."""

    trace_id: NDArray[np.int64]  # for each session the trace it replayed
    samples: Mapping[str, Sample]  # by section and metric: per_trace.ttft_s
    ratios: Mapping[str, Ratio]  # by whole key: workload.completion_tok_s.steady_state


def units(run: EvaluatedRun) -> Units:
    """A run's sessions."""
    columns, settings = run.columns, run.manifest.settings
    sessions = traces(columns)
    samples = {
        f"{PER_TRACE.key}.{key}": _sample(values)
        for key, values in per_trace(columns, sessions, stream=settings.stream).items()
    }
    of_requests = columns.trace_of[columns.outcome("ok")]
    for key, values in per_request(columns, stream=settings.stream).items():
        samples[f"{PER_REQUEST.key}.{key}"] = _sample(values, of_requests)
    rates = dict(_rates(columns, sessions, run.summary.wall_time_s, settings.num_gpus))
    trace_id = columns["trace_id"][columns.starts].astype(np.int64)
    sums = {
        path: Ratio(columns.with_subagents(above), columns.with_subagents(below))
        for path, (above, below) in ratios(columns, stream=settings.stream).items()
    }
    return Units(trace_id, samples, {**rates, **sums})


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
    statistics = np.column_stack([sums / some, *(laid_out.at((some - 1) * quantile) for quantile in quantiles)])
    statistics[laid_out.total == 0] = np.nan
    return statistics


def of_ratio(above: Floats, below: Floats, weights: Floats) -> Floats:
    """The ratio of two sums over traces in every resample; NaN where the lower sum is not above 0."""
    whole = weights @ below
    ratio: Floats = np.divide(weights @ above, whole, out=np.full(len(weights), np.nan), where=whole > 0)
    return ratio


def interval(resampled: Floats, confidence: float) -> tuple[float, float] | None:
    """The central interval of the resampled values (percentile method); None when one of them is unknown."""
    if not len(resampled) or not np.isfinite(resampled).all():
        return None
    low, high = np.quantile(resampled, ((1 - confidence) / 2, (1 + confidence) / 2))
    return float(low), float(high)


def _sample(values: Floats, session: NDArray[np.int64] | None = None) -> Sample:
    measured = np.flatnonzero(np.isfinite(values))
    return Sample(values[measured], measured if session is None else session[measured])


def _rates(columns: Columns, sessions: Traces, wall_time_s: float, gpus: int | None) -> Iterator[tuple[str, Ratio]]:
    """Throughput as renewal theory has it: tokens over the time for which sessions held a slot, times slots held.

    A slot takes one session after the other, so that a resample of sessions is another filling of the same slots: a
    sum of tokens alone would vary with how many sessions were drawn, not with how fast they were.
    """
    until = np.where(sessions.cancelled, wall_time_s, sessions.last_s)
    points = Points.of(columns)
    if not len(points.at) or wall_time_s <= 0:
        return
    done = np.flatnonzero(columns.outcome("ok"))
    order = done[np.argsort(columns["end_s"][done], kind="stable")]  # of the points' requests
    for window in (part.key for part in WINDOWS):
        first, begin, end = _window(window, points, wall_time_s)
        if end <= begin or (window.endswith("per_gpu") and not gpus):
            continue
        held = _held(sessions.began_s, until, begin, end)
        factor = float(held.sum()) / (end - begin) / (gpus if gpus and window.endswith("per_gpu") else 1)
        for key, total in points.total.items():
            counted = np.zeros(len(columns))
            counted[order[first:]] = np.diff(total, prepend=0.0)[first:]
            yield f"{WORKLOAD.key}.{key}.{window}", Ratio(columns.with_subagents(counted), held, factor)
    held = _held(sessions.began_s, until, 0.0, wall_time_s)
    yield "trace_per_s", Ratio(sessions.completed.astype(np.float64), held, float(held.sum()) / wall_time_s)


def _window(window: str, points: Points, wall_time_s: float) -> tuple[int, float, float]:
    """The first request that counts, and the instants between which it and those after it ended."""
    if window == "overall":
        return 0, 0.0, wall_time_s
    first, begin, end = points.window(points.until - LAST_S if window == "last_30s" else points.steady_since)
    return first + 1, begin, end


def _held(began: Floats, until: Floats, begin: float, end: float) -> Floats:
    """Seconds for which each session held its slot between two instants."""
    held: Floats = np.maximum(np.minimum(until, end) - np.maximum(began, begin), 0.0)
    return held


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
        between: Floats = low + (place - below) * (high - low)
        return between

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
