"""The objectives and the goodput of a run, out of its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from trie.metrics.certainty.section import Certainty
from trie.metrics.columns import Columns
from trie.metrics.definitions.metric import RunRows
from trie.metrics.slo.evaluate import Judged, Run, judge
from trie.metrics.slo.expression import Objective
from trie.metrics.throughput import Points, Rates, rates
from trie.metrics.traces import traces
from trie.metrics.values import per_request, per_trace

if TYPE_CHECKING:
    from trie.metrics.evaluate_run import EvaluatedRun


def judged_run(run: EvaluatedRun, objectives: Sequence[Objective]) -> tuple[Judged, ...]:
    """Any objectives of a run that has ended, whatever it was measured for."""
    summary = run.summary
    facts = run_of(run.columns, summary.certainty, summary.wall_time_s, stream=run.manifest.settings.stream)
    return judge(facts, objectives)


def run_of(columns: Columns, certainty: Certainty | None, wall_time_s: float, *, stream: bool) -> Run:
    """What objectives are judged by, of a run that may be going on still."""
    sessions = traces(columns)
    workload = rates(Points.of(columns), wall_time_s=wall_time_s, num_gpus=None)
    return Run(
        RunRows(columns, sessions, wall_time_s),
        certainty,
        per_trace(columns, sessions, stream=stream),
        per_request(columns, stream=stream),
        steady_state(workload),
    )


def steady_state(workload: Mapping[str, Rates]) -> dict[str, float | None]:
    """The rates of steady state by key."""
    return {key: rates.steady_state for key, rates in workload.items()}
