"""Whether a run keeps its objectives: each number with its interval, and yes, no or unsure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Literal

import numpy as np

from trie.metrics.certainty import measured
from trie.metrics.certainty.blocks import Blocks, whole_run
from trie.metrics.certainty.estimate import CONFIDENCE, Estimate, jackknife
from trie.metrics.certainty.section import Certainty
from trie.metrics.certainty.student import t_quantile
from trie.metrics.columns import Floats, in_order
from trie.metrics.definitions.metric import Metric, Ratio, RunRows, Values
from trie.metrics.shown_numbers import CUT_OFF_SHARE
from trie.metrics.slo.expression import Objective
from trie.metrics.stop_rule import is_sample

Met = Literal["yes", "no", "unsure"]
Of = Literal["population", "run"]

NORMAL = 1e6  # degrees of freedom, with which t is the normal distribution


@dataclass(frozen=True, slots=True)
class Judged:
    """One objective of a run; None where a value or its interval is not known."""

    expression: str
    metric: str  # path in summary.json
    statistic: str
    limit: float  # in the unit of summary.json, as the value and its interval
    value: float | None
    low: float | None
    high: float | None
    met: Met
    tier: str = ""
    of: Of = "run"  # population: of the whole workload, so that a short run does not pass by its short traces


def _as_it_is(estimate: Estimate) -> Estimate:
    return estimate


@dataclass(frozen=True, slots=True)
class Run:
    """What objectives are judged by."""

    rows: RunRows
    certainty: Certainty | None
    per_trace: Mapping[str, Floats]  # by key; NaN where a trace did not complete
    per_request: Mapping[str, Floats]  # by key, of requests that ended well
    steady_state: Mapping[str, float | None]  # rates by key
    widen: Callable[[Estimate], Estimate] = _as_it_is

    @property
    def blocks(self) -> Blocks | None:
        """Blocks of the whole run; None for a run that is too short for an interval."""
        certainty = self.certainty
        if certainty is None or not certainty.blocks or certainty.window_s is None:
            return None
        since, until = certainty.window_s
        return whole_run(Blocks(since, until, certainty.blocks), self.rows.wall_time_s)

    @property
    def incomplete_share(self) -> float:
        """Of the traces, those that were cut off or failed."""
        completed = self.rows.sessions.completed
        return 1.0 - float(completed.mean()) if len(completed) else 0.0


def judge(run: Run, objectives: Sequence[Objective]) -> tuple[Judged, ...]:
    """Every objective."""
    return tuple(_judged(run, objective) for objective in objectives)


def _judged(run: Run, objective: Objective) -> Judged:
    estimate, of = _estimate(run, objective)
    estimate = None if estimate is None else run.widen(estimate)
    met = _met(run, objective, estimate, of)
    value, low, high = (None,) * 3 if estimate is None else (estimate.value, estimate.low, estimate.high)
    return Judged(
        objective.text,
        objective.metric.path,
        objective.statistic,
        objective.limit,
        value,
        low,
        high,
        met,
        objective.tier,
        of,
    )


def _met(run: Run, objective: Objective, estimate: Estimate | None, of: Of) -> Met:
    if estimate is None:
        nothing_well = not run.rows.columns.outcome("ok").any() and run.rows.columns.outcome("failed").any()
        return "no" if nothing_well else "unsure"
    if estimate.low is None or estimate.high is None:
        return "unsure"
    ends = {objective.meets(estimate.low), objective.meets(estimate.high)}
    if ends == {False}:
        return "no"
    if objective.level != "trace":
        return "yes" if ends == {True} else "unsure"
    doubtful = run.incomplete_share > CUT_OFF_SHARE if of == "run" else _contradicted(run, objective)
    return "yes" if ends == {True} and not doubtful else "unsure"


def _contradicted(run: Run, objective: Objective) -> bool:
    """Whether the traces that completed break a limit that all of the workload is estimated to keep.

    Those that completed are the short ones, so this is no matter of censoring: TTFT of an estimate knows nothing of
    the queue behind traces that begin together.
    """
    own = _of_run(run, objective)
    return own is not None and not objective.meets(own.value)


def _estimate(run: Run, objective: Objective) -> tuple[Estimate | None, Of]:
    """The estimate for the whole workload where there is one, else that of the run."""
    population = _of_population(run, objective)
    if population is not None and population.low is not None:
        return population, "population"
    return _of_run(run, objective), "run"


def _of_population(run: Run, objective: Objective) -> Estimate | None:
    if run.certainty is None or objective.level == "request" or not is_sample(run.certainty):
        return None
    estimates = getattr(run.certainty.population, objective.metric.key, None)
    if isinstance(estimates, Estimate):
        return estimates
    return estimates.get(objective.statistic) if isinstance(estimates, Mapping) else None


def _of_run(run: Run, objective: Objective) -> Estimate | None:
    metric = objective.metric
    if isinstance(metric.formula, Ratio):
        return _ratio(run, metric)
    if objective.level == "run":
        known = run.certainty.steady_state.get(metric.key) if run.certainty else None
        value = run.steady_state.get(metric.key)
        return known or (None if value is None else Estimate(value))
    return _statistic(run, objective)


def _statistic(run: Run, objective: Objective) -> Estimate | None:
    """A statistic over traces or requests; of a maximum what was seen is all there is to know."""
    assert isinstance(objective.metric.formula, Values)  # as every metric of traces and requests
    of_traces, columns = objective.level == "trace", run.rows.columns
    values = (run.per_trace if of_traces else run.per_request)[objective.metric.key]
    sent = columns["sent_s"]
    at = sent[columns.starts] if of_traces else sent[columns.outcome("ok")]
    if not np.isfinite(values).any():
        return None
    if objective.statistic == "max":
        most = float(np.nanmax(values))
        return Estimate(most, most, most)
    blocks = run.blocks
    if blocks is not None:
        estimate = (
            measured.mean(values, blocks.places(at))
            if objective.statistic == "mean"
            else measured.percentile(values, blocks.places(at), objective.statistic, in_order(values))
        )
        if estimate is not None:
            return estimate
    plain = np.nanmean(values) if objective.quantile is None else np.nanquantile(values, objective.quantile)
    return Estimate(float(plain))


def _ratio(run: Run, metric: Metric) -> Estimate | None:
    """A share of requests: the wider of Wilson's interval and that of blocks of time, since failures come together."""
    assert isinstance(metric.formula, Ratio)
    columns = run.rows.columns
    above, below = metric.formula.of(columns)
    whole = float(below.sum())
    if not whole > 0:
        return None
    value = float(above.sum()) / whole
    intervals = [estimate for estimate in _intervals(run, above, below, value, metric) if estimate.low is not None]
    if not intervals:
        return Estimate(value)
    return max(intervals, key=lambda estimate: estimate.half_width or 0.0)


def _intervals(run: Run, above: Floats, below: Floats, value: float, metric: Metric) -> Iterator[Estimate]:
    if metric.unit == "ratio":
        yield wilson(value, float(below.sum()))
    blocks = run.blocks
    if blocks is None:
        return
    at = run.rows.columns["end_s"]
    sums, wholes = blocks.sums(at, above), blocks.sums(at, below)
    left = wholes.sum() - wholes
    if (left > 0).all():
        estimate = jackknife(value, (sums.sum() - sums) / left)
        if estimate is not None and estimate.low is not None and isfinite(estimate.low):
            yield estimate


def wilson(share: float, count: float) -> Estimate:
    """The interval of a share of independent ones, by Wilson's formula, which holds near 0 and 1 as well."""
    z = t_quantile((1 + CONFIDENCE) / 2, NORMAL)
    scale = 1 + z * z / count
    middle = (share + z * z / (2 * count)) / scale
    half = z / scale * sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return Estimate(share, max(middle - half, 0.0), min(middle + half, 1.0))
