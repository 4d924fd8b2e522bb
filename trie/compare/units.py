"""A run cut into its traces: what each contributed to every number, so that runs can be resampled by traces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trie.metrics.columns import Bools, Columns, Floats
from trie.metrics.declarations import PER_TRACE, WINDOWS
from trie.metrics.summary import request_values
from trie.metrics.throughput import LAST_S, WARM_UP
from trie.metrics.traces import Traces, ceiling_tokens, eligible_tokens, traces

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
    for key, values in request_values(columns, stream=stream).items():
        samples[f"per_request.{key}"] = _sample(values, session)
    rates = dict(_rates(columns, sessions, wall_time_s, manifest["config"].get("num_gpus")))
    trace_id = columns["trace_id"][columns.starts].astype(np.int64)
    return Units(trace_id, samples, {**rates, **_shares(columns, sessions)})


def _sample(values: Floats, session: NDArray[np.int64] | None = None) -> Sample:
    known = np.flatnonzero(np.isfinite(values))
    return Sample(values[known], known if session is None else session[known])


def _rates(columns: Columns, sessions: Traces, wall_time_s: float, gpus: int | None) -> Iterator[tuple[str, Ratio]]:
    """Throughput as renewal theory has it: tokens over the time for which sessions held a slot, times slots held.

    A slot takes one session after the other, so that a resample of sessions is another filling of the same slots: a
    sum of tokens alone would vary with how many sessions were drawn, not with how fast they were.
    """
    until = np.where(sessions.cancelled, wall_time_s, sessions.last_s)
    done = np.flatnonzero(columns.outcome("ok"))
    order = done[np.argsort(columns["end_s"][done], kind="stable")]
    if not len(order) or wall_time_s <= 0:
        return
    at = columns["end_s"][order]
    tokens = {
        "total_prompt_tok_s": columns["new_prompt_tokens"] + columns["cached_prompt_tokens"],
        "cached_prompt_tok_s": columns["cached_prompt_tokens"],
        "uncached_prompt_tok_s": columns["new_prompt_tokens"],
        "completion_tok_s": columns["requested_completion_tokens"],
    }
    for window in WINDOWS:
        first, begin, end = _window(window, at, wall_time_s)
        if end <= begin or (window.endswith("per_gpu") and not gpus):
            continue
        held = _held(sessions.began_s, until, begin, end)
        counted = np.zeros(len(columns), np.bool_)
        counted[order[first:]] = True
        factor = float(held.sum()) / (end - begin) / (gpus if gpus and window.endswith("per_gpu") else 1)
        for key, each in tokens.items():
            yield f"workload.{key}.{window}", Ratio(_summed(columns, each, counted), held, factor)
    held = _held(sessions.began_s, until, 0.0, wall_time_s)
    yield "trace_per_s", Ratio(sessions.completed.astype(np.float64), held, float(held.sum()) / wall_time_s)


def _window(window: str, at: Floats, wall_time_s: float) -> tuple[int, float, float]:
    """The first request that counts, and the instants between which the others ended; as trie.metrics.throughput."""
    if window == "overall":
        return 0, 0.0, wall_time_s
    since = float(at[-1]) - LAST_S if window == "last_30s" else float(at[-1]) * WARM_UP
    first = int(np.searchsorted(at, since, side="left"))
    return first + 1, float(at[first]), float(at[-1])


def _held(began: Floats, until: Floats, begin: float, end: float) -> Floats:
    """Seconds for which each session held its slot between two instants."""
    held: Floats = np.maximum(np.minimum(until, end) - np.maximum(began, begin), 0.0)
    return held


def _summed(columns: Columns, values: Floats, mask: Bools) -> Floats:
    return columns.per_session(np.where(mask, values, 0.0))


def _shares(columns: Columns, sessions: Traces) -> dict[str, Ratio]:
    """The run's metrics that are shares or ratios of tokens."""
    ok = columns.outcome("ok")
    prompt, completion = columns["usage_prompt_tokens"], columns["usage_completion_tokens"]
    requested, cached = columns["requested_completion_tokens"], columns.cached_tokens
    accounted = columns["new_prompt_tokens"] + columns["cached_prompt_tokens"]
    known = ok & ~np.isnan(cached) & ~np.isnan(prompt)
    first = known & (columns["turn"] == 0)
    eligible = eligible_tokens(columns)
    usable = known & ~np.isnan(eligible)
    counted, completed = ok & ~np.isnan(prompt), ok & ~np.isnan(completion)
    one = np.ones(len(columns))
    short = np.maximum(requested - completion, 0.0)

    def ratio(above: Floats, below: Floats, mask: Bools, factor: float = 1.0) -> Ratio:
        return Ratio(_summed(columns, above, mask), _summed(columns, below, mask), factor)

    return {
        "cache.hit_rate_pct": ratio(cached, prompt, known, 100.0),
        "cache.eligible_ceiling_pct": ratio(ceiling_tokens(columns), eligible, usable, 100.0),
        "cache.turn0_hit_share": ratio((cached > 0).astype(np.float64), one, first),
        "drift.prompt_ratio": ratio(prompt - accounted, accounted, counted),
        "drift.completion_short_ratio": ratio(short, requested, completed),
        "censoring.share": Ratio(sessions.cancelled.astype(np.float64), np.ones(len(sessions.cancelled))),
    }
