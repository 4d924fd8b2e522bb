"""Times with those that were cut off: how long each unit took, or at least took, and whether it was seen to its end.

What the end of the run cut off and what failed lasted at least until then. Leaving it out keeps the short ones;
`kaplan_meier` counts it in. Times of which nothing is known are NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from trie.metrics.columns import Bools, Columns, Floats, in_order
from trie.metrics.traces import Traces

PART = 2**20  # times that are worked on at once


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
    return _of_blocks(columns, _trace_ttft)


def _trace_ttft(columns: Columns) -> Observed:
    whole = columns["turn"][columns.starts] == 0
    first = _request_ttft(columns)
    waited = columns["sent_s"][columns.starts] - columns.due_or_sent
    return Observed((first.time_s[columns.starts] + waited)[whole], first.seen[columns.starts][whole])


def trace_ttfat(columns: Columns, sessions: Traces, until_s: Floats) -> Observed:
    """From the first send to the first token of the final request, whatever became of that."""
    first = np.where(columns["is_final"][columns.ends] > 0, columns["first_token_s"][columns.ends], np.nan)
    seen = np.isfinite(first)
    at_least = np.where(sessions.completed, np.nan, until_s)  # one that completed without a first token tells nothing
    return Observed(np.where(seen, first, at_least) - sessions.sent_s, seen)


def request_ttft(columns: Columns) -> Observed:
    """Of all requests that were sent; one that ended well without a first token tells nothing."""
    return _of_blocks(columns, _request_ttft)


def _request_ttft(columns: Columns) -> Observed:
    first = columns["first_token_s"]
    seen = np.isfinite(first)
    at_least = np.where(columns.outcome("ok"), np.nan, columns["end_s"])
    return Observed(np.where(seen, first, at_least) - columns["sent_s"], seen)


def request_latency(columns: Columns) -> Observed:
    """Of all requests that were sent."""
    return _of_blocks(columns, lambda block: Observed(block["end_s"] - block["sent_s"], block.outcome("ok")))


def _of_blocks(columns: Columns, observe: Callable[[Columns], Observed]) -> Observed:
    if columns.small:
        return observe(columns)
    parts = list(columns.of_blocks(observe))
    return Observed(np.concatenate([part.time_s for part in parts]), np.concatenate([part.seen for part in parts]))


def survival(observed: Observed) -> tuple[Floats, Floats]:
    """Kaplan-Meier: times in order and, after each, the share not yet at its end."""
    parts = [(np.empty(0), np.empty(0)), *_at_ends(observed)]
    ends, surviving = (np.concatenate(column) for column in zip(*parts, strict=True))
    times = in_order(observed.time_s)
    return times, np.r_[1.0, surviving][np.searchsorted(ends, times, side="right")]


def kaplan_meier(observed: Observed, quantiles: Sequence[float]) -> list[float | None]:
    """For each quantile the time by which such a share has come to its end.

    None when so many were cut off that the share was never reached.
    """
    times: list[float | None] = [None] * len(quantiles)
    for ends, surviving in _at_ends(observed):
        for place, quantile in enumerate(quantiles):
            reached = np.flatnonzero(surviving <= 1.0 - quantile + 1e-12)[:1]
            if times[place] is None and len(reached):
                times[place] = float(ends[reached[0]])
    return times


def _at_ends(observed: Observed) -> Iterator[tuple[Floats, Floats]]:
    """The instants of ends in order, and after each the share not yet at its end; in parts, since they may be millions.

    At equal times ends come before cut-offs: those were still at risk.
    """
    ends, cuts = in_order(observed.time_s[observed.seen]), in_order(observed.time_s[~observed.seen])
    share = 1.0
    for begin in range(0, len(ends), PART):
        part = ends[begin : begin + PART]
        at_risk = np.arange(len(ends) - begin, len(ends) - begin - len(part), -1) + len(cuts)
        left = at_risk - np.searchsorted(cuts, part, side="left")
        surviving = np.cumprod(np.r_[share, 1.0 - 1.0 / left], dtype=np.float64)[1:]
        share = float(surviving[-1])
        yield part, surviving


def with_waiting(observed: Observed, waiting_s: Floats) -> Observed:
    """The same with traces of an open load that never began: they were due so long before the end of the run."""
    time_s, seen = np.r_[observed.time_s, waiting_s], np.r_[observed.seen, np.zeros(len(waiting_s), dtype=np.bool_)]
    return Observed(time_s, seen)
