"""Which trace each session of a run replays, and where in it the session begins. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from trie.config import RunConfig
from trie.endpoint.request_body import REASONING
from trie.workload.beginning import Beginning, beginnings
from trie.workload.closed_loop import Pace
from trie.workload.trace import Trace


class PlannedSession(NamedTuple):
    """One replay of a trace."""

    session_id: int
    trace: Trace
    begins: Beginning | None = None  # inside the trace; None: with its first request


class SessionOrder:
    """The sessions of a run: what the slots begin with, then the traces in order, and again from the first.

    Args:
        traces: of the workload.
        most: how many sessions there are; None: no end.
        inside: for each slot the trace and the point in it at which the slot begins; empty: slots begin as they go on.
    """

    def __init__(
        self, traces: Sequence[Trace], *, most: int | None = None, inside: Sequence[tuple[Trace, Beginning]] = ()
    ) -> None:
        self._traces = traces
        self._most = most
        self._inside = inside
        self._planned = len(inside)

    @property
    def slots_inside(self) -> int:
        """How many slots begin inside a trace."""
        return len(self._inside)

    def first(self, slot: int) -> PlannedSession | None:
        """What a slot begins with, once for each; None where there are fewer sessions than slots."""
        if not self._inside:
            return self.next()
        if self._most is not None and slot >= self._most:
            return None
        trace, begins = self._inside[slot]
        return PlannedSession(slot, trace, begins)

    def next(self) -> PlannedSession | None:
        """The next one; None after the last."""
        number = self._planned
        if self._most is not None and number >= self._most:
            return None
        self._planned += 1
        return PlannedSession(number, self._traces[number % len(self._traces)])


def build(config: RunConfig, traces: Sequence[Trace], *, seed: int, pace: Pace | None) -> SessionOrder:
    """The sessions of a run; `pace` is that of its server, which only a stationary start needs."""
    inside: Sequence[tuple[Trace, Beginning]] = ()
    if pace is not None:
        back = config.history == REASONING
        inside = beginnings(traces, pace, config.concurrency.value, seed, reasoning_back=back)
    return SessionOrder(traces, most=config.max_traces, inside=inside)
