"""The warm-up of a stationary start: its requests are rows, and in no other number."""

from __future__ import annotations

from trie.metrics.definitions.metric import RUN, Metric, RunRows, Single


def _requests(run: RunRows) -> float | None:
    return run.columns.warm_up_requests or None


def _failed(run: RunRows) -> float | None:
    columns = run.columns
    if not columns.warm_up_requests:
        return None
    return float(columns.with_warm_up.outcome("failed").sum() - columns.outcome("failed").sum())


def _seconds(run: RunRows) -> float | None:
    columns = run.columns
    return -float(columns.with_warm_up["queued_s"].min()) if columns.warm_up_requests else None


def _inside(run: RunRows) -> float | None:
    return float((~run.sessions.whole).sum()) if run.columns.warm_up_requests else None


WARM_UP_METRICS = (
    Metric(
        section=RUN,
        key="warm_up.requests",
        label="requests of the warm-up",
        unit="requests",
        better=None,
        definition="requests that were due before the run began, with start=stationary; they are in no other number",
        formula=Single(_requests),
    ),
    Metric(
        section=RUN,
        key="warm_up.failed",
        label="failed requests of the warm-up",
        unit="requests",
        better="lower",
        definition="those of them that failed",
        formula=Single(_failed),
    ),
    Metric(
        section=RUN,
        key="warm_up.seconds",
        label="time of the warm-up",
        unit="s",
        better=None,
        definition="from its first request until each slot had its first token and the run began",
        formula=Single(_seconds),
    ),
    Metric(
        section=RUN,
        key="warm_up.traces_inside",
        label="traces begun before the run",
        unit="traces",
        better=None,
        definition=(
            "sessions that began in the warm-up, inside their traces, and went on in the run: their requests count, "
            "and no metric of whole traces has them"
        ),
        formula=Single(_inside),
    ),
)
