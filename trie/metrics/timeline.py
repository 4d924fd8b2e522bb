"""Traces by slot as a timeline: an excerpt that a page can show, request by request."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trie.metrics.columns import Columns, Floats
from trie.metrics.series import Phases

PHASES = ("prefill", "decode", "tool wait", "failed")


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


def timeline(
    columns: Columns, phases: Phases, window: tuple[float, float], *, wall_time_s: float, most: int, slots: int
) -> Timeline:
    """All of a run where that is at most `most` intervals, else as many as fit from the middle of `window` on.

    Args:
        columns: of the run.
        phases: of the same columns.
        window: seconds; where the run was steady, say.
        wall_time_s: of the run.
        most: intervals in the result.
        slots: show slots below this number only.
    """
    row, phase, start, end = _intervals(columns, phases, wall_time_s)
    shown = columns["slot"][row] < slots
    row, phase, start, end = row[shown], phase[shown], start[shown], end[shown]
    since, until = 0.0, wall_time_s
    if len(row) > most:
        since = float(np.floor(min(sum(window) / 2, wall_time_s)))
        until = _until(start, end, since, most, wall_time_s)
        inside = (end > since) & (start < until)
        row, phase, start, end = row[inside], phase[inside], start[inside], end[inside]
    return Timeline(
        since_s=since,
        until_s=until,
        slots=int(min(slots, columns["slot"].max() + 1)) if len(columns) else 0,
        whole=bool(shown.all()) and (since, until) == (0.0, wall_time_s),
        row=row,
        phase=phase,
        start_s=np.maximum(start, since),
        end_s=np.minimum(end, until),
    )


def _intervals(
    columns: Columns, phases: Phases, wall_time_s: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats, Floats]:
    """Every interval with its row and phase; a request that failed is one interval of its own kind."""
    failed = columns.outcome("failed")
    whole = (columns["sent_s"], columns["end_s"])
    found = [(pair, at) for at, pair in enumerate((phases.prefill, phases.decode, phases.tool_wait, whole))]
    parts = []
    for (start, end), at in found:
        there = (np.minimum(end, wall_time_s) > start) & (failed if at == PHASES.index("failed") else ~failed)
        rows = np.flatnonzero(there)
        parts.append((rows, np.full(len(rows), at, np.intp), start[rows], np.minimum(end[rows], wall_time_s)))
    row, phase, start, end = (np.concatenate(column) for column in zip(*parts, strict=True))
    return row, phase, start, end


def _until(start: Floats, end: Floats, since: float, most: int, wall_time_s: float) -> float:
    """The end of the longest window from `since` that holds at most `most` intervals, in round seconds where it can."""
    coming = start[end > since]
    if len(coming) <= most:
        return wall_time_s
    until = float(np.partition(coming, most)[most])
    return max(float(np.floor(until)), since + (until - since) / 2)
