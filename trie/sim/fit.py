"""The parameters of a model from what was measured: least squares on the rows of runs, with intervals.

Theory of operation. Both schedulers are linear in their parameters. The time from a request's first chunk to its last
is the sum of the steps that it shared: of each the base, the others in the batch, and with `chunked` the contexts and
the prompt tokens that were computed in them. Who was there at which time follows from the rows. The time to the first
token of a request that met no other prompt is the overhead and what had to be computed of its own; with `chunked` it is
also half of the step that was under way, and what decode took of the request's own step.

Requests of one time share the load that they met, so that they say less than their number. The intervals are those of a
jackknife over blocks of time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SchedulerName = Literal["separate", "chunked"]

BLOCKS = 10  # of time, in each run, for the intervals
WITHIN = 2.26  # t-quantile of 95 % with BLOCKS - 1 degrees of freedom
PASSES = 3  # over which the lengths of steps are refined
OUTLIER = 10.0  # times the median error, above which an error counts less
LEAST = 20  # requests, below which a figure would be chance


@dataclass(frozen=True, slots=True)
class Observations:
    """The streamed requests of one run that ended well; instants are seconds since it began."""

    sent: Floats
    first: Floats
    last: Floats
    chunks: Floats
    prompt_tokens: Floats
    cached_tokens: Floats
    completion_tokens: Floats

    @property
    def computed_tokens(self) -> Floats:
        """Prompt tokens that the cache did not hold."""
        return self.prompt_tokens - self.cached_tokens

    def only(self, which: NDArray[np.bool_]) -> Observations:
        return Observations(*(getattr(self, name)[which] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A parameter with half of its 95 % interval."""

    value: float
    half: float


@dataclass(frozen=True, slots=True)
class Fit:
    """One scheduler's parameters, and how well they describe the requests that they come from."""

    scheduler: SchedulerName
    estimates: dict[str, Estimate]  # by the names of the settings
    decode_error: float  # median relative error of the time between first and last chunk
    ttft_error: float  # the same of the time to the first token, of requests that met no other prompt
    batches: tuple[float, float]  # the smallest and the largest batch that was measured, on average over a request
    requests: int


class Timeline:
    """Who was decoding when, in one run, and how much of prompts had been computed."""

    def __init__(self, run: Observations) -> None:
        order = np.argsort(np.r_[run.first, run.last], kind="stable")
        self.times = np.r_[run.first, run.last][order]
        ones = np.ones(len(run.first))
        context = run.prompt_tokens + run.completion_tokens / 2
        self.batch = np.cumsum(np.r_[ones, -ones][order])
        self.context = np.cumsum(np.r_[context, -context][order])
        ends = np.argsort(run.first, kind="stable")
        self._prefilled_at = run.first[ends]
        self._prefilled = np.cumsum(run.computed_tokens[ends])

    def average(self, values: Floats, weights: Floats, since: Floats, until: Floats) -> Floats:
        """Averages of what holds between events, weighted, over each of these spans."""
        spans = np.diff(self.times, append=self.times[-1])
        integrals = [np.r_[0.0, np.cumsum(of * spans)][:-1] for of in (values * weights, weights)]
        over = [np.interp(until, self.times, sums) - np.interp(since, self.times, sums) for sums in integrals]
        averages: Floats = np.divide(over[0], over[1], out=np.zeros(len(since)), where=over[1] > 0)
        return averages

    def prefilled(self, since: Floats, until: Floats) -> Floats:
        """Prompt tokens that were computed after `since` and by `until`."""
        sums = np.r_[0.0, self._prefilled]
        after, by = (np.searchsorted(self._prefilled_at, at, side="right") for at in (since, until))
        return np.asarray(sums[by] - sums[after], dtype=np.float64)

    def at(self, values: Floats, instants: Floats) -> Floats:
        """What held right before these instants."""
        places = np.searchsorted(self.times, instants, side="left") - 1
        return np.where(places >= 0, values[np.maximum(places, 0)], 0.0)


def fit(runs: Sequence[Observations], scheduler: SchedulerName) -> Fit:
    """The parameters of one scheduler.

    Raises:
        ValueError: for what these runs can't tell, in words for people.
    """
    timelines = [Timeline(run) for run in runs]
    decode = np.concatenate([_blocks(run, offset) for offset, run in enumerate(runs)])
    whole = _parameters(runs, timelines, scheduler, np.ones(len(decode), dtype=np.bool_))
    kept = [decode != block for block in np.unique(decode)]
    jackknife = [_parameters(runs, timelines, scheduler, which).values for which in kept]
    count = len(jackknife)
    estimates = {}
    for name, value in whole.values.items():
        left_out = np.array([values[name] for values in jackknife])
        half = WITHIN * float(np.sqrt((count - 1) / count * ((left_out - left_out.mean()) ** 2).sum()))
        estimates[name] = Estimate(value, half)
    return Fit(scheduler, estimates, whole.decode_error, whole.ttft_error, whole.batches, len(decode))


def _blocks(run: Observations, offset: int) -> NDArray[np.int64]:
    """The block of time in which each request was sent, a number of its own for each run."""
    spread = run.sent / max(float(run.sent.max()), 1e-9) * BLOCKS
    return (np.minimum(spread, BLOCKS - 1).astype(np.int64) + offset * BLOCKS).astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Solved:
    values: dict[str, float]
    decode_error: float
    ttft_error: float
    batches: tuple[float, float]


def _parameters(
    runs: Sequence[Observations], timelines: Sequence[Timeline], scheduler: SchedulerName, which: NDArray[np.bool_]
) -> _Solved:
    """Decode first, and with it prefill, whose steps are decode's too."""
    chunked = scheduler == "chunked"
    step = _steps(runs, timelines, which, chunked=chunked)
    prefill_s, overhead_s, ttft_error = _prefill(runs, timelines, which, step, chunked=chunked)
    values = {
        "prefill_tok_s": 1.0 / max(prefill_s, 1e-12),
        "decode_base_s": step.base_s,
        "decode_per_request_s": step.per_request_s,
        "request_overhead_s": overhead_s,
    }
    if chunked:
        values["decode_per_context_token_s"] = step.per_context_s
    return _Solved(values, step.error, ttft_error, step.batches)


@dataclass(frozen=True, slots=True)
class _Step:
    base_s: float
    per_request_s: float
    per_context_s: float
    error: float = 0.0
    batches: tuple[float, float] = (1.0, 1.0)

    def seconds(self, batch: Floats, context: Floats) -> Floats:
        """Of steps without prompts."""
        return np.maximum(self.base_s + self.per_request_s * (batch - 1) + self.per_context_s * context, 1e-9)


def _steps(
    runs: Sequence[Observations], timelines: Sequence[Timeline], which: NDArray[np.bool_], *, chunked: bool
) -> _Step:
    """The time of a step from those between first and last chunk; with chunks, of the prompts in them as well."""
    step = _Step(1.0, 0.0, 0.0)
    for _ in range(PASSES):
        parts = [_features(run, timeline, step, chunked=chunked) for run, timeline in zip(runs, timelines, strict=True)]
        steps, batch, context, prompts, seconds = (np.concatenate(column) for column in zip(*parts, strict=True))
        several = which & (steps >= 1) & (seconds > 0)
        if int(several.sum()) < LEAST:
            raise ValueError(f"{int(several.sum())} answers of several chunks: {LEAST} are needed")
        features = [steps, steps * (batch - 1), *([steps * context, prompts] if chunked else [])]
        columns = np.column_stack(features)[several]
        solved = _positive(columns, seconds[several])
        error = float(np.median(np.abs(columns @ solved - seconds[several]) / seconds[several]))
        low, high = np.percentile(batch[several], (1, 99))
        context_s = float(solved[2]) if chunked else 0.0
        step = _Step(float(solved[0]), float(solved[1]), context_s, error, (float(low), float(high)))
    if step.batches[1] - step.batches[0] < 0.5:
        raise ValueError(
            f"batches were between {step.batches[0]:.1f} and {step.batches[1]:.1f} requests: what a further request "
            "costs can't be told from them; add runs at other concurrencies"
        )
    return step


def _features(
    run: Observations, timeline: Timeline, step: _Step, *, chunked: bool
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """For each request: its steps, the batch and the contexts on average over them, prompt tokens in them, seconds.

    Beside prefill, a request waits for the end of a step of others before its first: half of one on average.
    """
    weights = 1.0 / step.seconds(timeline.batch, timeline.context)  # steps a second
    batch, context = (
        timeline.average(values, weights, run.first, run.last) for values in (timeline.batch, timeline.context)
    )
    prompts = timeline.prefilled(run.first, run.last)
    waits = 0.0 if chunked else np.where(timeline.at(timeline.batch, run.first) > 0, 0.5, 0.0)
    steps = np.where(run.chunks > 1, run.chunks - 1 + waits, 0.0)
    return steps, np.maximum(batch, 1.0), context, prompts, run.last - run.first


def _prefill(
    runs: Sequence[Observations],
    timelines: Sequence[Timeline],
    which: NDArray[np.bool_],
    step: _Step,
    *,
    chunked: bool,
) -> tuple[float, float, float]:
    """Seconds of a prompt token and of the overhead, and the error, from the TTFT of those that met no other prompt."""
    seconds, tokens, alone = [], [], []
    for run, timeline in zip(runs, timelines, strict=True):
        taken = run.first - run.sent
        if chunked:  # half of the step under way on average, and decode's part of the request's own step
            batch, context = (timeline.at(values, run.sent) for values in (timeline.batch, timeline.context))
            own = np.where(batch > 0, 1.5, 1.0) * step.seconds(batch, context)
            taken = taken - own
        seconds.append(taken)
        tokens.append(run.computed_tokens)
        alone.append(_alone(run))
    clear = np.concatenate(alone) & which
    if int(clear.sum()) < LEAST:
        raise ValueError(
            f"{int(clear.sum())} requests met no other prompt before their first token: {LEAST} are needed to tell "
            "what a prompt costs; add a run at a lower concurrency"
        )
    computed, time_s = np.concatenate(tokens)[clear], np.concatenate(seconds)[clear]
    if computed.max() < 2 * max(computed.min(), 1.0):
        raise ValueError("the prompts that were computed were all of one length: what a token costs can't be told")
    columns = np.column_stack([computed, np.ones(len(computed))])
    slope, intercept = _positive(columns, time_s)
    ttft = np.concatenate([run.first - run.sent for run in runs])[clear]
    error = float(np.median(np.abs(columns @ (slope, intercept) - time_s) / ttft))
    return float(slope), float(intercept), error


def _alone(run: Observations) -> NDArray[np.bool_]:
    """Which requests waited for their first token while no other did."""
    order = np.argsort(run.sent, kind="stable")
    sent, first = run.sent[order], run.first[order]
    earlier = np.r_[-np.inf, np.maximum.accumulate(first)[:-1]]
    later = np.r_[sent[1:], np.inf]
    alone = np.empty(len(sent), dtype=np.bool_)
    alone[order] = (earlier <= sent) & (later >= first)
    return alone


def _positive(columns: Floats, values: Floats) -> Floats:
    """Least squares of errors relative to what is expected, with no parameter below 0.

    Relative to what was measured they would count long times less, and the mean would come out too low.
    """
    free = list(range(columns.shape[1]))
    while True:
        solved = _relative(columns[:, free], values)
        if (solved >= 0).all():
            break
        del free[int(np.argmin(solved * np.abs(columns[:, free]).mean(axis=0)))]
    out = np.zeros(columns.shape[1])
    out[free] = solved
    return out


def _relative(columns: Floats, values: Floats, passes: int = 5) -> Floats:
    scale = np.full(len(values), max(float(values.mean()), 1e-12))
    weights = np.ones(len(values))
    for _ in range(passes):
        factors = weights / scale
        solved = np.linalg.lstsq(columns * factors[:, None], values * factors, rcond=None)[0]
        expected = columns @ solved
        scale = np.maximum(expected, 0.1 * max(float(np.median(expected)), 1e-12))
        errors = np.abs(values - expected) / scale
        weights = np.sqrt(np.minimum(1.0, OUTLIER * np.median(errors) / np.maximum(errors, 1e-300)))
    return np.asarray(solved, dtype=np.float64)
