"""Closed-loop replay: `concurrency` sessions at a time, under one deadline, ended in order whatever ends it."""

from __future__ import annotations

import asyncio
import logging
from math import isinf
from types import TracebackType
from typing import Any, Self

from trie.config import Priority
from trie.preflight.steps import Prepared
from trie.prompts.builder import SessionPrompts
from trie.replay import priority, prompt_queue, run_state
from trie.replay.event_loop import undisturbed
from trie.replay.prompt_queue import PromptQueue
from trie.replay.run_state import RunState
from trie.replay.session import replay
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
        raise_priority: bool = False,
    ) -> None:
        self.state = state
        self._prompts = prompts
        self._concurrency = concurrency
        self._duration_s = duration_s
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
            timer = asyncio.get_running_loop().call_later(self._duration_s, self.stop, DEADLINE)
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
                timer.cancel()
                state.clock.stop()
                state.health.stop()
        return state.stop_reason or DEADLINE

    def facts(self) -> dict[str, Any]:
        """What the manifest states about a run that has ended."""
        return {
            "wall_time_s": self.state.clock.now_s,
            "began_monotonic_s": None if isinf(self.state.clock.began) else self.state.clock.began,
            "client": {**self.state.health.facts(), "priority": self._priority},
        }

    async def _replay(self) -> None:
        async with asyncio.TaskGroup() as group:
            flushing = group.create_task(self.state.rows.flush_regularly())
            async with asyncio.TaskGroup() as slots:
                for slot in range(self._concurrency):
                    slots.create_task(self._occupy(slot))
            self.state.stop_reason = self.state.stop_reason or ALL_TRACES
            flushing.cancel()

    async def _occupy(self, slot: int) -> None:
        """One of the `concurrency` places: a session after the other, while there are any."""
        state, failed_in_a_row = self.state, 0
        await state.gate.enter()
        while (prompts := await self._prompts.next()) is not None:
            if await self._session(prompts, slot) is Outcome.ok:
                failed_in_a_row = 0
                continue
            if (reason := state.failures.limit_reached()) is not None:
                self.stop(reason)
            await state.backoff.pause(failed_in_a_row)
            failed_in_a_row += 1

    async def _session(self, prompts: SessionPrompts, slot: int) -> Outcome:
        counters = self.state.counters
        counters.traces_active += 1
        try:
            outcome = await replay(self.state, prompts, slot)
        except asyncio.CancelledError:
            counters.traces_cancelled += 1
            raise
        finally:
            counters.traces_active -= 1
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
        raise_priority=ready.config.client.priority is Priority.auto,
    )


def _first(errors: BaseException) -> BaseException:
    """The first error in a group of groups."""
    return _first(errors.exceptions[0]) if isinstance(errors, BaseExceptionGroup) else errors
