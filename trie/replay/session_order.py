"""Which trace each session of a run replays, and where in it the session begins. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from trie.config import RunConfig, Start
from trie.endpoint.request_body import REASONING
from trie.replay.share import WHOLE, Share
from trie.workload.arrivals import arrivals, due_until, in_order
from trie.workload.beginning import Beginning, beginnings, beginnings_between
from trie.workload.closed_loop import Pace
from trie.workload.trace import Trace

MOST_WAITING = 10_000  # traces that never began, of which the manifest states when they were due


class PlannedSession(NamedTuple):
    """One replay of a trace."""

    session_id: int
    trace: Trace
    begins: Beginning | None = None  # inside the trace; None: with its first request
    due_s: float | None = None  # since the run began; None: when a slot is free


class SessionOrder:
    """The sessions of a run: what the slots begin with, then the traces in order, and again from the first.

    Args:
        traces: of the workload.
        most: how many sessions there are; None: no end.
        inside: for each slot the trace and the point in it at which the slot begins; empty: slots begin as they go on.
        due_s: when sessions are due, for as many as there are; None: when slots are free.
        share: those of the sessions that are told.
    """

    def __init__(
        self,
        traces: Sequence[Trace],
        *,
        most: int | None = None,
        inside: Sequence[tuple[Trace, Beginning]] = (),
        due_s: Iterator[float] | None = None,
        share: Share = WHOLE,
    ) -> None:
        self._share = share
        self._traces = traces
        self._most = most
        self._inside = inside
        self._due_s = due_s
        self._planned = len(inside)

    @property
    def slots_inside(self) -> range:
        """The slots that begin inside a trace."""
        return self._share.below(len(self._inside))

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
        planned = self._next()
        while planned is not None and not self._share.has(planned.session_id):
            planned = self._next()
        return planned

    def _next(self) -> PlannedSession | None:
        number = self._planned
        if self._most is not None and number >= self._most:
            return None
        due_s = None if self._due_s is None else next(self._due_s, None)
        if due_s is None and self._due_s is not None:
            return None
        self._planned += 1
        return PlannedSession(number, self._traces[number % len(self._traces)], due_s=due_s)


def build(
    config: RunConfig, traces: Sequence[Trace], *, seed: int, pace: Pace | None, share: Share = WHOLE
) -> SessionOrder:
    """The sessions of a run, or of a share of it; `pace` is that of its server, which only a start inside traces needs.

    Raises:
        WorkloadError: for a schedule of traces that do not say when they began.
    """
    inside: Sequence[tuple[Trace, Beginning]] = ()
    if pace is not None:
        inside = _inside(config, traces, pace, seed)
    due_s = arrivals(config.load, traces, seed) if config.load.is_open else None
    return SessionOrder(in_order(config.load, traces), most=config.max_traces, inside=inside, due_s=due_s, share=share)


def _inside(config: RunConfig, traces: Sequence[Trace], pace: Pace, seed: int) -> list[tuple[Trace, Beginning]]:
    """What each slot begins with."""
    slots, back = config.concurrency.value, config.history == REASONING
    if config.start is Start.inside:
        shares = (config.start_from, config.start_to)
        return beginnings_between(traces, pace, slots, seed, shares, reasoning_back=back)
    return beginnings(traces, pace, slots, seed, reasoning_back=back)


def due_instants(
    config: RunConfig, traces: Sequence[Trace], seed: int, share: Share = WHOLE
) -> Callable[[float], list[float]] | None:
    """Tells when the sessions of an open load are due until an instant; None for a loop."""
    if not config.load.is_open:
        return None

    def until(at_s: float) -> list[float]:
        instants = due_until(config.load, traces, seed, until_s=at_s, most=config.max_traces)
        return [instant for session_id, instant in enumerate(instants) if share.has(session_id)]

    return until


def open_load_facts(
    due: Callable[[float], list[float]] | None, until_s: float, begun: int
) -> dict[str, int | list[float] | None]:
    """What the manifest's `end` states of the load until an instant, by when so many sessions had begun."""
    if due is None:
        return {"traces_due": None}
    instants = due(until_s)
    return {"traces_due": len(instants), "waiting_since_s": instants[begun : begun + MOST_WAITING]}
