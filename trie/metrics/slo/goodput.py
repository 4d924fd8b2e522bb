"""Goodput: how much of the load was served within the limits that each trace and each request can be held to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trie.metrics.columns import Bools, Columns, Floats
from trie.metrics.definitions.metric import RunRows, Values
from trie.metrics.slo.expression import Objective


@dataclass(frozen=True, slots=True)
class Goodput:
    """Traces and requests that kept every limit of their level; None where the SLO has no limit of that level.

    A share is of those whose outcome is known: they ended, or the run cut them off after they had broken a limit.
    """

    traces_per_s: float | None = None
    traces_per_s_per_gpu: float | None = None
    share: float | None = None
    requests_per_s: float | None = None
    requests_per_s_per_gpu: float | None = None
    requests_share: float | None = None


@dataclass(frozen=True, slots=True)
class _Units:
    """Traces or requests: which ended well, which failed, and for how many seconds the others were seen."""

    columns: Columns
    ended: Bools
    failed: Bools
    lasted_s: Floats

    def good_and_known(self, objectives: Sequence[Objective]) -> tuple[int, int]:
        """How many kept every limit, and of how many it is known whether they did."""
        good, known = self.ended.copy(), self.ended | self.failed
        for objective in objectives:
            values = _values(self.columns, objective)
            unmeasured = self.ended & np.isnan(values) & ~self._without_value(objective)
            good &= ~unmeasured & (_keeps(values, objective) | self._without_value(objective))
            known = (known & ~unmeasured) | self._broke(values, objective)
        return int(good.sum()), int(known.sum())

    def _without_value(self, objective: Objective) -> Bools:
        """Answers of one token have no time per token, and keep every limit on it."""
        if objective.metric.key != "tpot_s":
            return np.zeros(len(self.ended), dtype=np.bool_)
        return self.ended & (self.columns.completion_tokens <= 1)

    def _broke(self, values: Floats, objective: Objective) -> Bools:
        """Which of those that did not end had broken the limit of a time before they were cut off."""
        if objective.metric.unit != "s" or not objective.upper or objective.metric.key == "tpot_s":
            return np.zeros(len(self.ended), dtype=np.bool_)
        time_s = np.where(np.isfinite(values) & (objective.metric.key == "ttft_s"), values, self.lasted_s)
        return np.asarray(~self.ended & (time_s >= objective.limit), dtype=np.bool_)


def goodput(run: RunRows, objectives: Sequence[Objective], num_gpus: int | None) -> Goodput:
    """The goodput of a run under the objectives of one tier."""
    columns, sessions = run.columns, run.sessions
    of_traces = _Units(columns, sessions.completed, sessions.failed, run.wall_time_s - sessions.sent_s)
    of_requests = _Units(
        columns, columns.outcome("ok"), columns.outcome("failed"), columns["end_s"] - columns["sent_s"]
    )
    traces = _rate(run, of_traces, [item for item in objectives if item.level == "trace"], num_gpus)
    requests = _rate(run, of_requests, [item for item in objectives if item.level == "request"], num_gpus)
    return Goodput(*traces, *requests)


def _rate(
    run: RunRows, units: _Units, objectives: Sequence[Objective], num_gpus: int | None
) -> tuple[float | None, float | None, float | None]:
    """Good ones per second, per second and GPU, and their share; Nones without an objective."""
    if not objectives:
        return None, None, None
    good, known = units.good_and_known(objectives)
    per_s = run.per_s(good)
    per_gpu = per_s / num_gpus if per_s is not None and num_gpus else None
    return per_s, per_gpu, good / known if known else None


def _values(columns: Columns, objective: Objective) -> Floats:
    """One value for each trace or request, whatever became of it; NaN: not measured."""
    formula = objective.metric.formula
    assert isinstance(formula, Values)  # as every metric of traces and requests
    return formula.of(columns)


def _keeps(values: Floats, objective: Objective) -> Bools:
    kept = values < objective.limit if objective.upper else values > objective.limit
    return np.asarray(kept, dtype=np.bool_)
