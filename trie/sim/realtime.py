"""The model on a real clock: one timer for the whole engine, tokens handed to whoever waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from time import perf_counter

from trie.config import SimConfig
from trie.sim.jobs import Job
from trie.sim.models import model_of

EVENTS_AT_ONCE = 4  # of the model between two passes of the event loop, which reads and writes the sockets
EARLY_S = 0.0002  # timers are as coarse as a millisecond; the last stretch is waited out by passes of the loop

Receiver = Callable[[int, bool], None]  # tokens in this chunk, whether it is the last


class Driver:
    """Runs a model in real time; instants of the model are `perf_counter` seconds."""

    def __init__(self, config: SimConfig) -> None:
        self.model = model_of(config)
        self._receivers: dict[Job, Receiver] = {}
        self._handle: asyncio.Handle | None = None
        self._armed_for = inf

    def submit(self, job: Job, receiver: Receiver, arrived: float) -> None:
        """Start a job whose request arrived at `arrived`; `receiver` is called as its tokens leave."""
        self._receivers[job] = receiver
        self.model.submit(arrived, job)
        self._arm()

    def cancel(self, job: Job) -> None:
        """Forget a job whose client is gone; nothing for one that has finished."""
        if self._receivers.pop(job, None) is not None:
            self.model.cancel(perf_counter(), job)
            self._arm()

    def _arm(self) -> None:
        at = self.model.next_event_at()
        if at >= self._armed_for:
            return
        if self._handle is not None:
            self._handle.cancel()
        self._armed_for = at
        loop = asyncio.get_running_loop()
        delay = at - perf_counter() - EARLY_S
        self._handle = loop.call_later(delay, self._tick) if delay > EARLY_S else loop.call_soon(self._tick)

    def _tick(self) -> None:
        self._handle, self._armed_for = None, inf
        for emission in self.model.advance(perf_counter(), EVENTS_AT_ONCE):
            receiver = self._receivers.get(emission.job)
            if receiver is None:
                continue
            if emission.finished:
                del self._receivers[emission.job]
            receiver(emission.tokens, emission.finished)
        if self.model.next_event_at() < inf:
            self._arm()
