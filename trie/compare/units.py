"""A run cut into its traces: what each contributed to every number, so that runs can be resampled by traces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trie.metrics.columns import Columns, Floats
from trie.metrics.declarations import PER_TRACE, WINDOWS
from trie.metrics.shares import shares
from trie.metrics.summary import per_request
from trie.metrics.throughput import LAST_S, Points
from trie.metrics.traces import Traces, traces

if TYPE_CHECKING:
    import pyarrow as pa


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


def units(rows: pa.Table, manifest: Mapping[str, Any], *, wall_time_s: float) -> Units:
    """A run's sessions; rows as `trie.records` has them, in any order."""
    columns = Columns(rows)
    stream = bool(manifest["config"]["stream"])
    sessions = traces(columns, stream=stream)
    session = np.repeat(np.arange(len(columns.starts)), np.diff(np.r_[columns.starts, len(columns)]))
    samples = {f"per_trace.{metric.key}": _sample(getattr(sessions, metric.key)) for metric in PER_TRACE}
    of_requests = session[columns.outcome("ok")]
    for key, values in per_request(columns, stream=stream).items():
        samples[f"per_request.{key}"] = _sample(values, of_requests)
    rates = dict(_rates(columns, sessions, wall_time_s, manifest["config"].get("num_gpus")))
    trace_id = columns["trace_id"][columns.starts].astype(np.int64)
    sums = {
        key: Ratio(columns.per_session(above), columns.per_session(below))
        for key, (above, below) in shares(columns).items()
    }
    cut = sessions.cancelled.astype(np.float64)
    return Units(trace_id, samples, {**rates, **sums, "censoring.share": Ratio(cut, np.ones(len(cut)))})


def _sample(values: Floats, session: NDArray[np.int64] | None = None) -> Sample:
    known = np.flatnonzero(np.isfinite(values))
    return Sample(values[known], known if session is None else session[known])


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
    for window in WINDOWS:
        first, begin, end = _window(window, points, wall_time_s)
        if end <= begin or (window.endswith("per_gpu") and not gpus):
            continue
        held = _held(sessions.began_s, until, begin, end)
        factor = float(held.sum()) / (end - begin) / (gpus if gpus and window.endswith("per_gpu") else 1)
        for key, total in points.total.items():
            counted = np.zeros(len(columns))
            counted[order[first:]] = np.diff(total, prepend=0.0)[first:]
            yield f"workload.{key}.{window}", Ratio(columns.per_session(counted), held, factor)
    held = _held(sessions.began_s, until, 0.0, wall_time_s)
    yield "trace_per_s", Ratio(sessions.completed.astype(np.float64), held, float(held.sum()) / wall_time_s)


def _window(window: str, points: Points, wall_time_s: float) -> tuple[int, float, float]:
    """The first request that counts, and the instants between which it and those after it ended."""
    if window == "overall":
        return 0, 0.0, wall_time_s
    last = float(points.at[-1])
    first = points.first_since(last - LAST_S if window == "last_30s" else points.steady_since)
    return first + 1, float(points.at[first]), last


def _held(began: Floats, until: Floats, begin: float, end: float) -> Floats:
    """Seconds for which each session held its slot between two instants."""
    held: Floats = np.maximum(np.minimum(until, end) - np.maximum(began, begin), 0.0)
    return held
