"""What the end of the run cut off or a failure ended, and times that count it in."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from trie.metrics import censored
from trie.metrics.censored import Observed, kaplan_meier, with_waiting
from trie.metrics.columns import Bools, Columns
from trie.metrics.definitions.metric import (
    MS,
    PERCENT,
    RUN,
    Metric,
    Part,
    Ratio,
    RunRows,
    Several,
    Single,
    Sums,
    sums,
)
from trie.metrics.traces import traces

QUANTILES = {"p50": 0.5, "p90": 0.9}
PARTS = tuple(Part(name, name) for name in QUANTILES)


def _cut_off(columns: Columns) -> Sums:
    return _of_traces(columns, traces(columns).cancelled)


def _incomplete(columns: Columns) -> Sums:
    return _of_traces(columns, ~traces(columns).completed)


def _of_traces(columns: Columns, counted: Bools) -> Sums:
    """A share of the traces; each counts in its first row."""
    above = np.zeros(len(columns))
    above[columns.starts] = counted
    first = np.zeros(len(columns), dtype=np.bool_)
    first[columns.starts] = True
    return sums(above, np.ones(len(columns)), first)


def _incomplete_requests(columns: Columns) -> Sums:
    incomplete = (~columns.outcome("ok")).astype(np.float64)
    return sums(incomplete, np.ones(len(columns)), np.ones(len(columns), dtype=np.bool_))


def _progress(run: RunRows) -> float | None:
    progress = run.sessions.progress[run.sessions.cancelled]
    return float(progress.mean()) if len(progress) else None


def _kaplan_meier(
    observed: Callable[[RunRows], Observed], *, of_traces: bool = False, streaming: bool = False
) -> Several:
    """`of_traces`: those that were due and never began count too."""

    def estimates(run: RunRows) -> Mapping[str, float | None]:
        times = with_waiting(observed(run), run.waiting_s) if of_traces else observed(run)
        return dict(zip(QUANTILES, kaplan_meier(times, list(QUANTILES.values())), strict=True))

    return Several(estimates, streaming=streaming)


CENSORING_METRICS = (
    Metric(
        section=RUN,
        key="censoring.share",
        label="censored",
        unit="ratio",
        shown=PERCENT,
        better="lower",
        definition="traces cancelled at the deadline / traces started",
        formula=Ratio(_cut_off),
    ),
    Metric(
        section=RUN,
        key="censoring.incomplete_share",
        label="cut off or failed",
        unit="ratio",
        shown=PERCENT,
        better="lower",
        definition="traces that did not complete / traces started: the longer a trace, the sooner it is one of them",
        formula=Ratio(_incomplete),
    ),
    Metric(
        section=RUN,
        key="censoring.incomplete_requests_share",
        label="requests cut off or failed",
        unit="ratio",
        shown=PERCENT,
        better="lower",
        definition="requests that did not end well / requests started",
        formula=Ratio(_incomplete_requests),
    ),
    Metric(
        section=RUN,
        key="censoring.progress",
        label="progress of the censored",
        unit="ratio",
        shown=PERCENT,
        better=None,
        definition="mean share of their requests that had ended",
        formula=Single(_progress),
    ),
    Metric(
        section=RUN,
        key="censoring.latency_km_{part}_s",
        label="latency with censored traces",
        unit="s",
        better="lower",
        definition=(
            "Kaplan-Meier p50 and p90 of trace latency: cancelled traces count as lasting at least until the end "
            "of the run, failed ones until their failure; none where so many were cut off that the share was "
            "never reached"
        ),
        formula=_kaplan_meier(lambda run: censored.trace_latency(run.sessions, run.until_s)),
        parts=PARTS,
    ),
    Metric(
        section=RUN,
        key="censoring.ttft_km_{part}_s",
        label="TTFT with censored traces",
        unit="s",
        better="lower",
        definition=(
            "the same of TTFT: every trace whose first token came counts, whatever became of the trace; a first "
            "request without one waited at least until it was cut off or failed"
        ),
        formula=_kaplan_meier(lambda run: censored.trace_ttft(run.columns), streaming=True),
        parts=PARTS,
    ),
    Metric(
        section=RUN,
        key="censoring.ttfat_km_{part}_s",
        label="TTFAT with censored traces",
        unit="s",
        better="lower",
        definition=(
            "the same of TTFAT: a trace whose final request got no first token lasted at least until the end of the "
            "run or its failure"
        ),
        formula=_kaplan_meier(
            lambda run: censored.trace_ttfat(run.columns, run.sessions, run.until_s),
            streaming=True,
        ),
        parts=PARTS,
    ),
    Metric(
        section=RUN,
        key="censoring.request_ttft_km_{part}_s",
        label="request TTFT with censored requests",
        unit="s",
        shown=MS,
        better="lower",
        definition="the same of every request that was sent: without a first token it waited at least until its end",
        formula=_kaplan_meier(lambda run: censored.request_ttft(run.columns), streaming=True),
        parts=PARTS,
    ),
    Metric(
        section=RUN,
        key="censoring.request_latency_km_{part}_s",
        label="request latency with censored requests",
        unit="s",
        shown=MS,
        better="lower",
        definition="the same of the latency of every request that was sent",
        formula=_kaplan_meier(lambda run: censored.request_latency(run.columns)),
        parts=PARTS,
    ),
)
