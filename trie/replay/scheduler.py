"""Closed-loop replay: `concurrency` sessions at a time, under one deadline, ended in order whatever ends it."""

from __future__ import annotations

import asyncio
import logging
from math import isinf
from time import perf_counter
from types import TracebackType
from typing import Any, Self

from trie.config import Priority, Start
from trie.preflight.steps import Prepared
from trie.prompts.builder import SessionPrompts
from trie.replay import priority, prompt_queue, run_state, start
from trie.replay.event_loop import undisturbed
from trie.replay.live_numbers import OpenSession
from trie.replay.prompt_queue import PromptQueue
from trie.replay.run_state import RunState
from trie.replay.session import replay
from trie.replay.start import SlotStart
from trie.storage.parquet_parts import RowWriter
from trie.storage.record import Outcome

log = logging.getLogger("trie")
DEADLINE, ALL_TRACES, ERROR = "deadline", "max_traces", "error"  # why a run ended, unless `stop` was told why


class Scheduler:
    """Replays sessions until the deadline, the last trace, or `stop`.

    On entering, the first sessions' prompts are made. On leaving, all rows are on disk, whatever happened.
    """

    def __init__(
        self,
        state: RunState,
        prompts: PromptQueue,
        *,
        concurrency: int,
        duration_s: float,
        start_mode: Start = Start.together,
        raise_priority: bool = False,
    ) -> None:
        self.state = state
        self._prompts = prompts
        self._concurrency = concurrency
        self._duration_s = duration_s
        self._start = start_mode
        self._timer: asyncio.TimerHandle | None = None
        self._raise_priority = raise_priority
        self._priority = priority.NORMAL
        self._deadline = asyncio.timeout(None)
        self._running = False

    async def __aenter__(self) -> Self:
        await self._prompts.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._prompts.__aexit__(kind, error, trace)
        self.state.failures.conclude()
        await self.state.rows.close()

    def stop(self, reason: str) -> None:
        """End the run now, or as soon as it runs: what is in flight is cancelled, and its rows carry the reason."""
        if self.state.stop_reason is None:
            self.state.stop_reason = reason
            if self._running:
                self._deadline.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> str:
        """Replay; returns why it ended: `deadline`, `max_traces`, or the reason given to `stop`.

        Raises:
            RunDirError: when rows can't be written any more.
        """
        state = self.state
        with undisturbed(), priority.raised(wanted=self._raise_priority) as self._priority:
            log.info("client priority %s", self._priority)
            state.clock.start()
            state.health.start()
            if self._start is Start.stationary:
                state.warm_up()
            else:
                self._start_timer()
            try:
                async with self._deadline:
                    self._running = True
                    if state.stop_reason is None:
                        await self._replay()
            except TimeoutError:
                if not self._deadline.expired():
                    raise
            except BaseExceptionGroup as errors:
                state.stop_reason = ERROR
                raise _first(errors) from None
            finally:
                self._running = False
                if self._timer is not None:
                    self._timer.cancel()
                state.measure()  # where it was ended while it warmed up
                state.clock.stop()
                state.health.stop()
        return state.stop_reason or DEADLINE

    def facts(self) -> dict[str, Any]:
        """What the manifest states about a run that has ended."""
        return {
            "wall_time_s": self.state.clock.now_s,
            "warm_up_s": self.state.clock.warm_up_s,
            "began_monotonic_s": None if isinf(self.state.clock.began) else self.state.clock.began,
            "client": {**self.state.health.facts(), "priority": self._priority},
        }

    async def _replay(self) -> None:
        async with asyncio.TaskGroup() as group:
            flushing = group.create_task(self.state.rows.flush_regularly())
            async with asyncio.TaskGroup() as slots:
                await self._begin(slots)
            self.state.stop_reason = self.state.stop_reason or ALL_TRACES
            flushing.cancel()

    def _start_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._duration_s, self.stop, DEADLINE)

    async def _begin(self, group: asyncio.TaskGroup) -> None:
        """Let the slots begin, in the steps of the start; a warm-up ends when the last of them has a first token."""
        state, warms_up = self.state, self._start is Start.stationary
        state.start = SlotStart()
        tasks: list[asyncio.Task[None]] = []
        for slots in start.steps(self._start, self._concurrency):
            tasks += [group.create_task(self._occupy(slot)) for slot in slots]
            if warms_up or slots.stop < self._concurrency:
                await state.start.wait(slots, tasks)
        state.start = None
        if warms_up:
            log.info("warm-up over after %.1f s: the run begins", state.clock.now_s)
            state.measure()
            self._start_timer()

    async def _occupy(self, slot: int) -> None:
        """One of the `concurrency` places: a session after the other, while there are any."""
        state, failed_in_a_row = self.state, 0
        await state.gate.enter()
        prompts = await self._prompts.first(slot)
        while prompts is not None:
            if await self._session(prompts, slot) is Outcome.ok:
                failed_in_a_row = 0
            else:
                if (reason := state.failures.limit_reached()) is not None:
                    self.stop(reason)
                await state.backoff.pause(failed_in_a_row)
                failed_in_a_row += 1
            prompts = await self._prompts.next()

    async def _session(self, prompts: SessionPrompts, slot: int) -> Outcome:
        counters = self.state.counters
        counters.traces_active += 1
        began = perf_counter()
        counters.live.open[prompts.session_id] = OpenSession(prompts.trace, began, at=began)
        try:
            outcome = await replay(self.state, prompts, slot)
        except asyncio.CancelledError:
            counters.traces_cancelled += 1
            raise
        finally:
            counters.traces_active -= 1
            counters.live.open.pop(prompts.session_id, None)
        if outcome is Outcome.ok:
            counters.traces_completed += 1
        else:
            counters.traces_failed += 1
        return outcome


def build(ready: Prepared, rows: RowWriter) -> Scheduler:
    """The scheduler of a run whose preflight is over; its rows go to `rows`."""
    return Scheduler(
        run_state.build(ready, rows),
        prompt_queue.build(ready),
        concurrency=ready.config.concurrency.value,
        duration_s=ready.config.duration,
        start_mode=ready.config.start,
        raise_priority=ready.config.client.priority is Priority.auto,
    )


def _first(errors: BaseException) -> BaseException:
    """The first error in a group of groups."""
    return _first(errors.exceptions[0]) if isinstance(errors, BaseExceptionGroup) else errors
