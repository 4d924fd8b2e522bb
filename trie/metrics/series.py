"""A run over time, in bins: what was done in each, and how much was going on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import reduce
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from trie.metrics.columns import Columns, Floats
from trie.metrics.throughput import Points
from trie.metrics.traces import Traces, traces

Result = TypeVar("Result")

WIDTHS_S = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)  # as people count time
PHASES = ("prefill", "decode", "tool wait", "failed")  # of a request, and one that failed


@dataclass(frozen=True, slots=True)
class Bins:
    """Equal bins from 0 on; the last one ends with the run, and is from half to one and a half times as wide."""

    width_s: float
    edges: Floats  # one more than there are bins

    @classmethod
    def over(cls, until_s: float, *, most: int) -> Bins:
        """At most `most` bins over a run, of a width that people count in; none for a run of no time."""
        if not until_s > 0:
            return cls(WIDTHS_S[0], np.zeros(1))
        width = next((width for width in WIDTHS_S if until_s / width < most + 0.5), until_s / most)
        whole = np.arange(0.0, until_s, width)
        if len(whole) > 1 and until_s - whole[-1] < width / 2:  # a rate over 20 ms would look like a cliff
            whole = whole[:-1]
        return cls(width, np.r_[whole, until_s])

    def __len__(self) -> int:
        return len(self.edges) - 1

    @property
    def widths(self) -> Floats:
        """Seconds in each bin."""
        return np.diff(self.edges)

    @property
    def middles(self) -> Floats:
        """Instants between the edges, where a mean over the bin belongs."""
        return (self.edges[:-1] + self.edges[1:]) / 2

    def index(self, at: Floats) -> NDArray[np.intp]:
        """The bin of each instant: one on an edge falls into the bin that it ends, a late one into the last."""
        return np.clip(np.searchsorted(self.edges, at, side="left") - 1, 0, max(len(self) - 1, 0))

    def count(self, at: Floats) -> Floats:
        """How many instants fall into each bin."""
        if not len(self):
            return np.empty(0)
        return np.bincount(self.index(at[np.isfinite(at)]), minlength=len(self)).astype(np.float64)

    def spread(self, start: Floats, end: Floats, amount: Floats | None = None) -> Floats:
        """What lies in each bin of amounts that are spread evenly over their intervals.

        Without `amount` that is the time in which intervals were open, in seconds. An amount over no time falls whole
        into the bin that holds its instant. Intervals with an unknown end or amount count for nothing. One pass over
        the intervals, whatever the bins are: the sum is a difference of two piecewise linear functions.
        """
        length = end - start
        rate = (
            np.ones(len(start))
            if amount is None
            else np.divide(amount, length, out=np.zeros(len(start)), where=length > 0)
        )
        measured = np.isfinite(rate) & (length > 0)
        total = self._ramps(start[measured], rate[measured]) - self._ramps(end[measured], rate[measured])
        if amount is not None:
            at_once = (length <= 0) & np.isfinite(amount)
            total += self._steps(end[at_once], amount[at_once])
        return np.diff(total)

    def open(self, start: Floats, end: Floats) -> Floats:
        """How many intervals were open, as the mean over each bin's time."""
        return self.spread(start, end) / self.widths

    def _ramps(self, at: Floats, rate: Floats) -> Floats:
        """Sum of rate x (t - at), over those with at < t, for each edge t."""
        which = np.searchsorted(self.edges, at, side="left")
        slopes = np.cumsum(np.bincount(which, rate, len(self.edges) + 1))[: len(self.edges)]
        offsets = np.cumsum(np.bincount(which, rate * at, len(self.edges) + 1))[: len(self.edges)]
        ramps: Floats = slopes * self.edges - offsets
        return ramps

    def _steps(self, at: Floats, amount: Floats) -> Floats:
        """Sum of the amounts up to each edge."""
        which = np.searchsorted(self.edges, at, side="left")
        sums = np.bincount(np.maximum(which, 1), amount, len(self.edges) + 1)
        return np.cumsum(sums, dtype=np.float64)[: len(self.edges)]


def cumulative(points: Points, bins: Bins) -> Mapping[str, Floats]:
    """Tokens of completed requests until each edge, by key of the workload's metrics."""
    return points.cumulated(bins.edges)


def completion_rate(columns: Columns, bins: Bins) -> Floats:
    """Completion tokens per second as they came: those of a request spread from its first token to its last.

    Requests that ended well; NaN where no first token was seen at all, as without streaming.
    """
    if all(np.isnan(block["first_token_s"]).all() for block in columns.blocks()):
        return np.full(len(bins), np.nan)
    return columns.summed(lambda block: _decoded(block, bins)) / bins.widths


def _decoded(columns: Columns, bins: Bins) -> Floats:
    ok = columns.outcome("ok")
    return bins.spread(columns["first_token_s"][ok], columns["last_token_s"][ok], columns.completion_tokens[ok])


def medians(at: Floats, values: Floats, bins: Bins, *, least: int) -> Floats:
    """The median of the values whose instants fall into each bin; NaN for fewer than `least`."""
    return medians_of(places(at, bins), values, bins, least=least)


def places(at: Floats, bins: Bins) -> NDArray[np.uint16]:
    """The bin of each instant; that behind the last for NaN."""
    return np.where(np.isfinite(at), bins.index(at), len(bins)).astype(np.uint16)


def medians_of(which: NDArray[np.uint16], values: Floats, bins: Bins, *, least: int) -> Floats:
    """The same of values whose bins are known; one bin after the other, so that it takes the memory of one."""
    parts = (values[which == number] for number in range(len(bins)))
    known = (part[np.isfinite(part)] for part in parts)
    return np.array([np.median(part) if len(part) >= least else np.nan for part in known])


def ratios(sums: Floats) -> Floats:
    """The ratio of two sums in each bin; NaN where there is nothing below the line."""
    parts, whole = sums
    quotients: Floats = np.divide(parts, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return quotients


def sums(at: Floats, above: Floats, below: Floats, bins: Bins) -> Floats:
    """Both sums of a ratio in each bin."""
    measured = np.isfinite(at) & np.isfinite(above) & np.isfinite(below)
    which = bins.index(at[measured])
    return np.array([np.bincount(which, part[measured], len(bins)) for part in (above, below)], np.float64)


@dataclass(frozen=True, slots=True)
class Phases:
    """What every trace was doing, as intervals; prefill is all of a request's time where no first token is known."""

    prefill: tuple[Floats, Floats]  # send to first token: the server's queue, prefill, failed attempts
    decode: tuple[Floats, Floats]  # first token to end
    tool_wait: tuple[Floats, Floats]  # end of a request to when the next one is due, or to the end of the run


def phases(columns: Columns, sessions: Traces, *, wall_time_s: float) -> Phases:
    """The intervals of all requests, in their order; those of the tool waits are one a request as well.

    A trace that was cut off in a tool wait waited until the end of the run; NaN where nothing followed.
    """
    sent, first, end = columns["sent_s"], columns["first_token_s"], columns["end_s"]
    follows = np.full(len(columns), np.nan)
    follows[:-1] = columns["queued_s"][1:]
    follows[columns.last_of_session] = np.nan
    waiting = sessions.cancelled & columns.outcome("ok")[columns.ends]
    follows[columns.ends] = np.where(waiting, wall_time_s, np.nan)
    return Phases(
        prefill=(sent, np.where(np.isnan(first), end, first)),
        decode=(first, np.where(np.isnan(first), np.nan, end)),
        tool_wait=(end, follows),
    )


def phases_of(columns: Columns, *, wall_time_s: float) -> Phases:
    """The same of a block of a run."""
    spans: Phases = columns.once(
        f"phases until {wall_time_s}", lambda block: phases(block, traces(block), wall_time_s=wall_time_s)
    )
    return spans


def open_phases(columns: Columns, bins: Bins, *, wall_time_s: float) -> Mapping[str, Floats]:
    """How many traces were in each phase, as the mean over each bin's time; by the names of `Phases`."""

    def spread(block: Columns) -> Floats:
        spans = phases_of(block, wall_time_s=wall_time_s)
        return np.array([bins.spread(*getattr(spans, part.name)) for part in fields(Phases)])

    seconds = columns.summed(spread)
    return {part.name: of_part / bins.widths for part, of_part in zip(fields(Phases), seconds, strict=True)}


def lateness(columns: Columns, bins: Bins) -> Floats:
    """Worst lateness (s) of the client's event loop, by the requests that ended in each bin; NaN for none."""
    worst = reduce(np.maximum, columns.of_blocks(lambda block: _worst(block, bins)))
    return np.where(np.isfinite(worst), worst, np.nan)


def _worst(columns: Columns, bins: Bins) -> Floats:
    end, lag = columns["end_s"], columns["loop_lag_s"]
    measured = np.isfinite(end) & np.isfinite(lag)
    worst = np.full(len(bins), -np.inf)
    which = np.searchsorted(bins.edges, end[measured], side="left") - 1
    inside = (which < len(bins)) & (len(bins) > 0)
    np.maximum.at(worst, np.maximum(which[inside], 0), lag[measured][inside])
    return worst


@dataclass(frozen=True, slots=True)
class Timeline:
    """Intervals of one phase each within a window of time and slots; those that cross its ends are cut there."""

    since_s: float
    until_s: float
    slots: int  # shown, from slot 0 on
    whole: bool  # nothing was left out
    row: NDArray[np.intp]  # of the columns
    phase: NDArray[np.intp]  # index into PHASES
    start_s: Floats
    end_s: Floats


@dataclass(frozen=True, slots=True)
class _Intervals:
    """One phase each, of some slots."""

    row: NDArray[np.intp]
    phase: NDArray[np.intp]
    start: Floats
    end: Floats
    every: bool  # whether all slots are shown

    def between(self, since: float, until: float) -> _Intervals:
        """Those that reach into a window."""
        inside = (self.end > since) & (self.start < until)
        return _Intervals(self.row[inside], self.phase[inside], self.start[inside], self.end[inside], self.every)


def timeline(columns: Columns, window: tuple[float, float], *, wall_time_s: float, most: int, slots: int) -> Timeline:
    """All of a run where that is at most `most` intervals, else as many as fit from the middle of `window` on.

    Args:
        columns: of the run.
        window: seconds; where the run was steady, say.
        wall_time_s: of the run.
        most: intervals in the result.
        slots: show slots below this number only.
    """

    def of_parts(formula: Callable[[_Intervals], Result]) -> Iterator[Result]:
        def made(block: Columns) -> _Intervals:
            intervals: _Intervals = block.once(
                f"intervals of {slots} slots", lambda block: _intervals(block, wall_time_s, slots)
            )
            return intervals

        return columns.of_blocks(lambda block: formula(made(block)))

    counts, every = zip(*of_parts(lambda part: (len(part.row), part.every)), strict=True)
    since, until = 0.0, wall_time_s
    if sum(counts) > most:
        since = float(np.floor(min(sum(window) / 2, wall_time_s)))
        coming = np.concatenate(list(of_parts(lambda part: np.sort(part.start[part.end > since])[: most + 1])))
        until = _until(np.sort(coming), since, most, wall_time_s)
    shown = list(of_parts(lambda part: part.between(since, until) if sum(counts) > most else part))
    row, phase, start, end = (
        np.concatenate([getattr(part, name) for part in shown]) for name in ("row", "phase", "start", "end")
    )
    order = np.lexsort((row, phase))
    return Timeline(
        since_s=since,
        until_s=until,
        slots=int(min(slots, columns["slot"].max() + 1)) if len(columns) else 0,
        whole=all(every) and (since, until) == (0.0, wall_time_s),
        row=row[order],
        phase=phase[order],
        start_s=np.maximum(start, since)[order],
        end_s=np.minimum(end, until)[order],
    )


def _intervals(columns: Columns, wall_time_s: float, slots: int) -> _Intervals:
    """Every interval with its row and phase; a request that failed is one interval of its own kind."""
    spans, failed = phases_of(columns, wall_time_s=wall_time_s), columns.outcome("failed")
    shown = columns["slot"] < slots
    parts = []
    every = True
    whole = (columns["sent_s"], columns["end_s"])
    for at, (start, end) in enumerate((spans.prefill, spans.decode, spans.tool_wait, whole)):
        there = (np.minimum(end, wall_time_s) > start) & (failed if at == PHASES.index("failed") else ~failed)
        every = every and not (there & ~shown).any()
        rows = np.flatnonzero(there & shown)
        parts.append((rows, np.full(len(rows), at, np.intp), start[rows], np.minimum(end[rows], wall_time_s)))
    row, phase, start, end = (np.concatenate(column) for column in zip(*parts, strict=True))
    return _Intervals(row + columns.first_row, phase, start, end, every)


def _until(coming: Floats, since: float, most: int, wall_time_s: float) -> float:
    """The end of the longest window from `since` that holds at most `most` intervals, in round seconds where it can.

    `coming` has the starts of all intervals that end in it or later, in order, or as many of them as are needed.
    """
    if len(coming) <= most:
        return wall_time_s
    until = float(coming[most])
    return max(float(np.floor(until)), since + (until - since) / 2)
