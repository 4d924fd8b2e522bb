"""What a run counted, and metrics with one number for a run or a few."""

from __future__ import annotations

from math import isfinite

import numpy as np

from trie.metrics.columns import Columns, Floats
from trie.metrics.definitions.metric import (
    PERCENT,
    RUN,
    Headline,
    Metric,
    Part,
    Ratio,
    RunRows,
    Several,
    Single,
    Sums,
    sums,
)

SPANS = ("prefill", "decode", "retries", "tool_wait", "client")  # of the time of a trace


def _trace_per_s(run: RunRows) -> float | None:
    return run.per_s(float(run.sessions.completed.sum()))


def _failed(columns: Columns) -> Sums:
    failed = columns.outcome("failed")
    return sums(failed.astype(np.float64), np.ones(len(columns)), failed | columns.outcome("ok"))


def _active_traces(run: RunRows) -> float | None:
    return run.per_s(float(np.nansum(run.until_s - run.sessions.began_s)))


def _in_flight_requests(run: RunRows) -> float | None:
    return run.per_s(run.columns.summed(lambda block: float(np.nansum(block["end_s"] - block["sent_s"]))))


def _budget(run: RunRows) -> dict[str, float | None] | None:
    """Where the time of completed traces went; without first tokens, prefill and decode are one."""
    sessions = run.sessions
    seen = sessions.completed & sessions.whole
    if not seen.any():
        return None
    spans = run.columns.each(_spans)
    totals = {key: float(spans[seen, at].sum()) for at, key in enumerate(SPANS)}
    whole = float((sessions.last_s - sessions.began_s)[seen].sum())
    return {key: total / whole if isfinite(total) and whole > 0 else None for key, total in totals.items()}


def _spans(columns: Columns) -> Floats:
    """A row for each trace, with the seconds of each kind."""
    sent, end, first = columns["sent_s"], columns["end_s"], columns["first_token_s"]
    attempt = columns["attempt_sent_s"]
    before = np.r_[np.nan, end[:-1]]
    before[columns.starts] = columns["queued_s"][columns.starts]
    spans = (first - attempt, end - first, attempt - sent, columns["queued_s"] - before, sent - columns["queued_s"])
    return np.stack([columns.per_session(span) for span in spans], axis=1)


COUNTS = (
    Metric(
        section=RUN,
        key="traces",
        label="traces",
        unit="traces",
        better=None,
        definition="traces by what became of them",
        parts=(
            Part("completed", "completed", "the final request ended well"),
            Part("failed", "failed", "a request failed", better="lower"),
            Part("cancelled", "cancelled", "neither, when the run ended"),
        ),
        headline=Headline(sweep=("completed",)),
    ),
    Metric(
        section=RUN,
        key="requests",
        label="requests",
        unit="requests",
        better=None,
        definition="requests by what became of them",
        parts=(
            Part("ok", "ok", "ended well"),
            Part("failed", "failed", "failed for good", better="lower"),
            Part("cancelled", "cancelled", "in flight when the run ended"),
        ),
    ),
    Metric(
        section=RUN,
        key="errors",
        label="errors",
        unit="requests",
        better="lower",
        definition="failed requests by the kind of their error",
        parts=(),
        any_part=True,
    ),
)

RUN_METRICS = (
    Metric(
        section=RUN,
        key="wall_time_s",
        label="wall time",
        unit="s",
        better=None,
        definition="from the first admission to the end of the run",
        formula=Single(lambda run: run.wall_time_s),
        reference=True,
    ),
    Metric(
        section=RUN,
        key="trace_per_s",
        label="trace/s",
        unit="1/s",
        better="higher",
        definition="completed traces / wall time",
        formula=Single(_trace_per_s),
        reference=True,
    ),
    Metric(
        section=RUN,
        key="requests_failed_share",
        label="requests failed",
        unit="ratio",
        shown=PERCENT,
        better="lower",
        definition="requests that failed / requests that ended well or failed; cancelled ones are in neither",
        formula=Ratio(_failed),
        headline=Headline(first=("",), place=6, name="Failed requests", sweep=("",)),
    ),
    Metric(
        section=RUN,
        key="retries",
        label="retries",
        unit="attempts",
        better="lower",
        definition="attempts that were made again, over all requests",
        formula=Single(lambda run: int(np.maximum(run.columns["attempts"] - 1, 0).sum())),
    ),
    Metric(
        section=RUN,
        key="rate_limited",
        label="rate-limited attempts",
        unit="attempts",
        better="lower",
        definition="attempts answered with HTTP 429",
        formula=Single(lambda run: int(run.columns["rate_limited"].sum())),
    ),
    Metric(
        section=RUN,
        key="concurrency.active_traces",
        label="active traces",
        unit="traces",
        better=None,
        definition="time-weighted mean",
        formula=Single(_active_traces),
    ),
    Metric(
        section=RUN,
        key="concurrency.in_flight_requests",
        label="in-flight requests",
        unit="requests",
        better=None,
        definition="time-weighted mean",
        formula=Single(_in_flight_requests),
    ),
    Metric(
        section=RUN,
        key="budget",
        label="time budget",
        unit="ratio",
        shown=PERCENT,
        better=None,
        definition="share of completed traces' time, by what it went into",
        formula=Several(_budget),
        parts=(
            Part("prefill", "prefill", "send to first token"),
            Part("decode", "decode", "first token to end"),
            Part("retries", "retries", "failed attempts"),
            Part("tool_wait", "tool wait", "end of a request to when the next one is due"),
            Part("client", "client", "due to send"),
        ),
    ),
)
