"""The objectives and the goodput of a run, out of its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from trie.metrics.definitions.metric import RunRows
from trie.metrics.slo.evaluate import Judged, Run, judge
from trie.metrics.slo.expression import Objective
from trie.metrics.throughput import Rates
from trie.metrics.traces import traces
from trie.metrics.values import per_request, per_trace

if TYPE_CHECKING:
    from trie.metrics.evaluate_run import EvaluatedRun


def judged_run(run: EvaluatedRun, objectives: Sequence[Objective]) -> tuple[Judged, ...]:
    """Any objectives of a run that has ended, whatever it was measured for."""
    columns, summary, stream = run.columns, run.summary, run.manifest.settings.stream
    sessions = traces(columns)
    return judge(
        Run(
            RunRows(columns, sessions, summary.wall_time_s),
            summary.certainty,
            per_trace(columns, sessions, stream=stream),
            per_request(columns, stream=stream),
            steady_state(summary.workload),
        ),
        objectives,
    )


def steady_state(workload: Mapping[str, Rates]) -> dict[str, float | None]:
    """The rates of steady state by key."""
    return {key: rates.steady_state for key, rates in workload.items()}
