"""What the sessions of a run contributed to each of its numbers, and when.

A number that is a mean, a percentile or a ratio of sums is, near its value, a sum of contributions: what each trace or
request adds to it or takes from it. Their sum is 0. How much the number may be off is how much such sums vary from one
time of the run to another, and from one session to another (`trie.compare.noise`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trie.metrics.columns import Bools, Columns, Floats
from trie.metrics.definitions import PER_REQUEST, PER_TRACE, WINDOWS, WORKLOAD
from trie.metrics.evaluate_run import EvaluatedRun
from trie.metrics.throughput import LAST_S, Points
from trie.metrics.traces import Traces, traces
from trie.metrics.values import per_request, per_trace, ratios

Ints = NDArray[np.int64]
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
BEYOND = 3  # values beyond a percentile, below which its interval is wrong too often
FEWEST = 10  # traces that contribute, below which an interval would say little
LOAD_MEMORY, SUM_MEMORY = 5.0, 1.5  # in mean traces: of times of single traces and requests, and of sums over sessions
PARTS = 64  # of a run's time, in which contributions are added up
OF_FIRST_REQUEST = (f"{PER_TRACE.key}.ttft_s",)  # metrics of a trace that its first request alone decides


@dataclass(frozen=True, slots=True)
class Contributions:
    """A number, and the sums of what was contributed to it in each part of the run's time and by each session."""

    value: float
    in_time: Floats  # PARTS
    of_sessions: Floats
    pairs: bool = True  # False for a percentile: in a pair it moves by the gaps between single values, not by a density
    memory: float = LOAD_MEMORY  # how many mean traces the slowest noise that counts lasts


@dataclass(frozen=True, slots=True)
class Sample:
    """Values whose mean and percentiles are metrics."""

    values: Floats
    session: Ints  # that each value is of
    at: Floats  # when each was measured, as a share of the run
    burst: Bools  # those of the requests with which all slots begin at once

    def contributions(self, trace_id: Ints) -> Iterator[tuple[str, Contributions]]:
        """The mean, and the percentiles with enough values beyond them; `trace_id` is that of each session."""
        count, sessions = len(self.values), len(trace_id)
        if len(np.unique(trace_id[self.session])) < FEWEST:
            return
        part = np.minimum((self.at * PARTS).astype(np.int64), PARTS - 1)
        mean = float(self.values.mean())
        statistics = [("mean", mean, (self.values - mean) / count)]
        for name, quantile in QUANTILES.items():
            if count * (1 - quantile) >= BEYOND - 1e-9:
                statistics.append((name, *_percentile(self.values, quantile)))
        for name, value, each in statistics:
            each = self._without_burst(each)  # noqa: PLW2901 - the same contributions
            sums = _sums(part, each, PARTS), _sums(self.session, each, sessions)
            yield name, Contributions(value, *sums, pairs=name == "mean")

    def _without_burst(self, each: Floats) -> Floats:
        """Contributions apart from how far the burst's differ from the others: every run has it, so it is no noise."""
        if not self.burst.any() or self.burst.all():
            return each
        means = np.where(self.burst, each[self.burst].mean(), each[~self.burst].mean())
        apart: Floats = each - means
        return apart


@dataclass(frozen=True, slots=True)
class Ratio:
    """A metric that is a ratio of sums over sessions, times a factor that is the run's own."""

    above: Floats
    below: Floats
    factor: float = 1.0

    def contributions(self, trace_id: Ints) -> Contributions | None:
        """None below `FEWEST` traces. Sums are of whole sessions, whose order is the only time that they have."""
        whole = float(self.below.sum())
        if len(np.unique(trace_id[self.below > 0])) < FEWEST:
            return None
        value = self.factor * float(self.above.sum()) / whole
        each = (self.factor * self.above - value * self.below) / whole
        return Contributions(value, np.zeros(PARTS), each, memory=SUM_MEMORY)


@dataclass(frozen=True)
class Units:
    """What the sessions of a run contributed, by the keys of summary.json."""

    trace_id: Ints  # for each session the trace that it replayed
    slots: int  # sessions at a time
    cycles: float  # of the run, each as long as a session lasts on average
    samples: Mapping[str, Sample]  # by section and metric: per_trace.ttft_s
    ratios: Mapping[str, Ratio]  # by whole key: workload.completion_tok_s.steady_state

    @cached_property
    def contributions(self) -> dict[str, Contributions]:
        """By whole key; without those of too few traces."""
        numbers = {
            f"{path}.{name}": contributions
            for path, sample in self.samples.items()
            for name, contributions in sample.contributions(self.trace_id)
        }
        for key, ratio in self.ratios.items():
            if (contributions := ratio.contributions(self.trace_id)) is not None:
                numbers[key] = contributions
        return numbers


def units(run: EvaluatedRun) -> Units:
    """A run's sessions."""
    columns, settings = run.columns, run.manifest.settings
    sessions = traces(columns)
    wall_time_s, slots = run.summary.wall_time_s, settings.concurrency.value
    begins = np.arange(len(columns.starts)) < slots
    samples = {}
    for key, values in per_trace(columns, sessions, stream=settings.stream).items():
        path = f"{PER_TRACE.key}.{key}"
        burst = begins if path in OF_FIRST_REQUEST else np.zeros(len(begins), np.bool_)
        samples[path] = _sample(values, np.arange(len(begins)), _share(sessions.last_s, wall_time_s), burst)
    ok = columns.outcome("ok")
    first = begins[columns.trace_of] & (columns["turn"] == 0)
    of_requests = columns.trace_of[ok], _share(columns["end_s"][ok], wall_time_s), first[ok]
    for key, values in per_request(columns, stream=settings.stream).items():
        samples[f"{PER_REQUEST.key}.{key}"] = _sample(values, *of_requests)
    rates = dict(_rates(columns, sessions, wall_time_s, settings.num_gpus))
    sums = {
        path: Ratio(columns.with_subagents(above), columns.with_subagents(below))
        for path, (above, below) in ratios(columns, stream=settings.stream)
    }
    held_s = float((np.where(sessions.cancelled, wall_time_s, sessions.last_s) - sessions.began_s).sum())
    cycles = wall_time_s * len(begins) / held_s if held_s > 0 else 0.0
    return Units(columns["trace_id"][columns.starts].astype(np.int64), slots, cycles, samples, {**rates, **sums})


def _sums(place: Ints, each: Floats, places: int) -> Floats:
    return np.bincount(place, each, minlength=places).astype(np.float64)


def _share(at: Floats, wall_time_s: float) -> Floats:
    """Instants as shares of the run."""
    return np.clip(np.nan_to_num(at) / wall_time_s, 0.0, 1.0) if wall_time_s > 0 else np.zeros(len(at))


def _sample(values: Floats, session: Ints, at: Floats, burst: Bools) -> Sample:
    measured = np.isfinite(values)
    return Sample(values[measured], session[measured], at[measured], burst[measured])


def _percentile(values: Floats, quantile: float) -> tuple[float, Floats]:
    """A percentile, and what each value contributes to it: (quantile - at or below it) / (density there).

    The density is that between percentiles on both sides, the closer to it the more values there are.
    """
    count = len(values)
    step = min((quantile * (1 - quantile)) ** 0.5 * count ** (-1 / 3), 0.9 * quantile, 0.9 * (1 - quantile))
    value, low, high = (float(bound) for bound in np.quantile(values, (quantile, quantile - step, quantile + step)))
    return value, (quantile - (values <= value)) * ((high - low) / (2 * step) / count)


def _rates(columns: Columns, sessions: Traces, wall_time_s: float, gpus: int | None) -> Iterator[tuple[str, Ratio]]:
    """Throughput as renewal theory has it: tokens over the time for which sessions held a slot, times slots held.

    A slot takes one session after the other: a sum of tokens alone would vary with how many sessions there were, not
    with how fast they were.
    """
    until = np.where(sessions.cancelled, wall_time_s, sessions.last_s)
    points = Points.of(columns)
    if not len(points.at) or wall_time_s <= 0:
        return
    rows, totals = points.rows, points.total
    for window in (part.key for part in WINDOWS):
        first, begin, end = _window(window, points, wall_time_s)
        if end <= begin or (window.endswith("per_gpu") and not gpus):
            continue
        held = _held(sessions.began_s, until, begin, end)
        factor = float(held.sum()) / (end - begin) / (gpus if gpus and window.endswith("per_gpu") else 1)
        for key, total in totals.items():
            counted = np.zeros(len(columns))
            counted[rows[first:]] = np.diff(total, prepend=0.0)[first:]
            yield f"{WORKLOAD.key}.{key}.{window}", Ratio(columns.with_subagents(counted), held, factor)
    held = _held(sessions.began_s, until, 0.0, wall_time_s)
    completed = sessions.completed.astype(np.float64)
    yield "trace_per_s", Ratio(completed, held, float(held.sum()) / wall_time_s)


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
