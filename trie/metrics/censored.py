"""Times with those that were cut off: how long each unit took, or at least took, and whether it was seen to its end.

What the end of the run cut off and what failed lasted at least until then. Leaving it out keeps the short ones;
`kaplan_meier` counts it in. Times of which nothing is known are NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trie.metrics.columns import Bools, Columns, Floats
from trie.metrics.traces import Traces


@dataclass(frozen=True, slots=True)
class Observed:
    """One entry for each trace or request."""

    time_s: Floats
    seen: Bools  # to its end; the others took at least so long


def trace_latency(sessions: Traces, until_s: Floats) -> Observed:
    """From the first send to the end of a completed trace; `until_s` is when each trace left its slot."""
    return Observed(until_s - sessions.sent_s, sessions.completed)


def trace_ttft(columns: Columns) -> Observed:
    """That of each trace's first request, whatever became of the trace."""
    whole = columns["turn"][columns.starts] == 0
    first = request_ttft(columns)
    waited = columns["sent_s"][columns.starts] - columns.due_or_sent
    return Observed((first.time_s[columns.starts] + waited)[whole], first.seen[columns.starts][whole])


def trace_ttfat(columns: Columns, sessions: Traces, until_s: Floats) -> Observed:
    """From the first send to the first token of the final request, whatever became of that."""
    first = np.where(columns["is_final"] > 0, columns["first_token_s"], np.nan)[columns.ends]
    seen = np.isfinite(first)
    at_least = np.where(sessions.completed, np.nan, until_s)  # one that completed without a first token tells nothing
    return Observed(np.where(seen, first, at_least) - sessions.sent_s, seen)


def request_ttft(columns: Columns) -> Observed:
    """Of all requests that were sent; one that ended well without a first token tells nothing."""
    first = columns["first_token_s"]
    seen = np.isfinite(first)
    at_least = np.where(columns.outcome("ok"), np.nan, columns["end_s"])
    return Observed(np.where(seen, first, at_least) - columns["sent_s"], seen)


def request_latency(columns: Columns) -> Observed:
    """Of all requests that were sent."""
    return Observed(columns["end_s"] - columns["sent_s"], columns.outcome("ok"))


def survival(observed: Observed) -> tuple[Floats, Floats]:
    """Kaplan-Meier: times in order and, after each, the share not yet at its end."""
    ends, surviving = _at_ends(observed)
    times = np.sort(observed.time_s[np.isfinite(observed.time_s)])
    return times, np.r_[1.0, surviving][np.searchsorted(ends, times, side="right")]


def kaplan_meier(observed: Observed, quantiles: Sequence[float]) -> list[float | None]:
    """For each quantile the time by which such a share has come to its end.

    None when so many were cut off that the share was never reached.
    """
    ends, surviving = _at_ends(observed)
    reached = [np.flatnonzero(surviving <= 1.0 - quantile + 1e-12)[:1] for quantile in quantiles]
    return [float(ends[first[0]]) if len(first) else None for first in reached]


def _at_ends(observed: Observed) -> tuple[Floats, Floats]:
    """The instants of ends in order, and after each the share not yet at its end.

    At equal times ends come before cut-offs: those were still at risk. Sorts of times alone, since a run may have
    millions.
    """
    measured = np.isfinite(observed.time_s)
    ends = np.sort(observed.time_s[measured & observed.seen])
    cuts = np.sort(observed.time_s[measured & ~observed.seen])
    at_risk = np.arange(len(ends), 0, -1) + len(cuts) - np.searchsorted(cuts, ends, side="left")
    return ends, np.cumprod(1.0 - 1.0 / at_risk, dtype=np.float64)


def with_waiting(observed: Observed, waiting_s: Floats) -> Observed:
    """The same with traces of an open load that never began: they were due so long before the end of the run."""
    time_s, seen = np.r_[observed.time_s, waiting_s], np.r_[observed.seen, np.zeros(len(waiting_s), dtype=np.bool_)]
    return Observed(time_s, seen)
