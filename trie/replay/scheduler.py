"""Replay of sessions, as others end or as they are due, under one deadline, ended in order whatever ends it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from math import isinf
from time import perf_counter
from types import TracebackType
from typing import Any, Self

from trie.config import LoadConfig, Priority, Start
from trie.preflight.steps import Prepared
from trie.prompts.builder import SessionPrompts
from trie.replay import priority, prompt_queue, run_state, start
from trie.replay.event_loop import undisturbed
from trie.replay.live_numbers import OpenSession
from trie.replay.places import Places
from trie.replay.prompt_queue import PromptQueue
from trie.replay.run_state import RunState
from trie.replay.session import replay
from trie.replay.session_order import due_instants, open_load_facts
from trie.replay.share import WHOLE, Share
from trie.replay.start import AtOnce, Instants, SlotStart
from trie.storage.record import Outcome
from trie.storage.row_writer import RowWriter

log = logging.getLogger("trie")
DEADLINE, ALL_TRACES, ERROR = "deadline", "max_traces", "error"  # why a run ended, unless `stop` was told why


class Scheduler:
    """Replays sessions until the deadline, the last trace, or `stop`.

    On entering, the first sessions' prompts are made. On leaving, all rows are on disk, whatever happened.

    Args:
        state: of a run that has not begun.
        prompts: of its sessions.
        slots: how many sessions can be active.
        duration_s: time in which sessions may begin.
        load: how they do.
        start_mode: how the first ones do, in a closed loop.
        due_until: of an open load: the instants until one at which sessions are due.
        warm_up_per_slot: requests of each slot that belong to a warm-up beyond its first.
        drain_s: longest time for which active sessions go on after the deadline; None: they are cancelled then.
        raise_priority: run with the highest priority that the system allows.
        share: the slots of the run that are replayed here.
        instants: when the replay begins; None: as soon as it can.
    """

    def __init__(
        self,
        state: RunState,
        prompts: PromptQueue,
        *,
        slots: int,
        duration_s: float,
        load: LoadConfig | None = None,
        start_mode: Start = Start.together,
        warm_up_per_slot: int = 0,
        drain_s: float | None = None,
        due_until: Callable[[float], list[float]] | None = None,
        raise_priority: bool = False,
        share: Share = WHOLE,
        instants: Instants | None = None,
    ) -> None:
        self.state, self.clock, self.counters = state, state.clock, state.counters
        self._prompts = prompts
        self._share = share
        self._slots = share.below(slots)  # by their numbers in the run
        self._instants = instants or AtOnce()
        self._duration_s = duration_s
        self._load = load or LoadConfig()
        self._level = slots  # slots from this one on begin nothing
        self._admitting: asyncio.Task[None] | None = None
        self._drain_s = drain_s
        self._draining = False
        self._due_until = due_until
        self._begun = 0  # sessions of an open load
        self._start = start_mode
        self._warms_up = start_mode in (Start.stationary, Start.inside)
        self._warm_up_per_slot = warm_up_per_slot
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

    @property
    def stop_reason(self) -> str | None:
        """Why the run is being ended, once it is."""
        return self.state.stop_reason

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
            await self._start_clock()
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

    async def _start_clock(self) -> None:
        began = await self._instants.begin()
        await asyncio.sleep(began - perf_counter())
        self.state.clock.start(began)
        self.state.health.start()
        if self._warms_up:
            self.state.warm_up()
        else:
            self._start_timer()

    def facts(self) -> dict[str, Any]:
        """What the manifest states about a run that has ended."""
        return {
            "wall_time_s": self.state.clock.now_s,
            "warm_up_s": self.state.clock.warm_up_s,
            **open_load_facts(self._due_until, self._load_ended_s, self._begun),
            "drain_s": max(self.state.clock.now_s - self._duration_s, 0.0) if self._draining else None,
            "began_monotonic_s": None if isinf(self.state.clock.began) else self.state.clock.began,
            "client": {**self.state.health.facts(), "priority": self._priority},
        }

    @property
    def _load_ended_s(self) -> float:
        """Until when sessions may have begun."""
        return min(self.state.clock.now_s, self._duration_s)

    async def _replay(self) -> None:
        async with asyncio.TaskGroup() as group:
            flushing = group.create_task(self.state.rows.flush_regularly())
            async with asyncio.TaskGroup() as sessions:
                begin = self._begin_when_due if self._load.is_open else self._begin
                begin = self._begin_by_level if self._load.shape == "ramp" else begin
                self._admitting = sessions.create_task(begin(sessions))
            self.state.stop_reason = self.state.stop_reason or (DEADLINE if self._draining else ALL_TRACES)
            flushing.cancel()

    def _start_timer(self) -> None:
        end = partial(self.stop, DEADLINE) if self._drain_s is None else self._drain
        left_s = self.state.clock.began + self._duration_s - perf_counter()
        self._timer = asyncio.get_running_loop().call_later(max(left_s, 0.0), end)

    def _drain(self) -> None:
        """From now on no session begins, and those that are active have a limited time."""
        assert self._drain_s is not None
        log.info("%.0f s are over: %d traces go on to their ends", self._duration_s, self.state.counters.traces_active)
        self._draining = True
        if self._admitting is not None:
            self._admitting.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._drain_s, self.stop, DEADLINE)

    async def _begin_when_due(self, group: asyncio.TaskGroup) -> None:
        """An open load: each session begins when it is due and a slot is free, whatever became of those before."""
        places = Places(len(self._slots))
        while (prompts := await self._prompts.next()) is not None:
            assert prompts.due_s is not None
            due = self.state.clock.began + prompts.due_s
            await asyncio.sleep(due - perf_counter())
            slot = places.take()
            began = due if slot is not None else None  # the time that it waits for a slot is not the client's
            slot = await places.wait() if slot is None else slot
            self._begun += 1
            group.create_task(self._visit(places, slot, prompts, began))

    async def _visit(self, places: Places, slot: int, prompts: SessionPrompts, began: float | None) -> None:
        """One session of an open load."""
        await self.state.gate.enter()
        outcome = await self._session(prompts, self._slots[slot], began)
        reason = None if outcome is Outcome.ok else self.state.failures.limit_reached()
        if reason is not None:
            self.stop(reason)
        places.give_back(slot)

    async def _begin_by_level(self, group: asyncio.TaskGroup) -> None:
        """A ramp: with each level slots begin, or end with their sessions."""
        levels, tasks = self._load.levels, dict[int, asyncio.Task[None]]()
        for number, level in enumerate(levels):
            self._level = level
            log.info("ramp: %d active traces", level)
            for slot in self._share.below(level):
                if slot not in tasks or tasks[slot].done():
                    tasks[slot] = group.create_task(self._occupy(slot))
            until = self.state.clock.began + (number + 1) * self._duration_s / len(levels)
            if number + 1 < len(levels):
                await asyncio.sleep(until - perf_counter())

    async def _begin(self, group: asyncio.TaskGroup) -> None:
        """Let the slots begin, in the steps of the start; a warm-up ends when the last of them has a first token."""
        state, warms_up = self.state, self._warms_up
        state.start = SlotStart(self._warm_up_per_slot)
        tasks: dict[int, asyncio.Task[None]] = {}
        for step in start.steps(self._start, len(self._slots)):
            slots = self._slots[step.start : step.stop]
            tasks |= {slot: group.create_task(self._occupy(slot)) for slot in slots}
            if warms_up or step.stop < len(self._slots):
                await state.start.wait(slots, tasks)
        if warms_up:
            await state.start.wait(self._slots, tasks, all_of=True)
        state.start = None
        if warms_up:
            began = await self._instants.measure()
            await asyncio.sleep(began - perf_counter())
            state.measure(began)
            log.info("the run begins, after a warm-up of %.1f s", state.clock.warm_up_s)
            self._start_timer()

    async def _occupy(self, slot: int) -> None:
        """One of the slots of a loop: a session after the other, while there are any."""
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
            over = self._draining or slot >= self._level
            prompts = None if over else await self._prompts.next()

    async def _session(self, prompts: SessionPrompts, slot: int, due: float | None = None) -> Outcome:
        counters = self.state.counters
        counters.traces_active += 1
        began = perf_counter()
        counters.live.open[prompts.session_id] = OpenSession(prompts.trace, began, at=began)
        try:
            outcome = await replay(self.state, prompts, slot, due)
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


def build(ready: Prepared, rows: RowWriter, *, share: Share = WHOLE, instants: Instants | None = None) -> Scheduler:
    """The scheduler of a run whose preflight is over, or of a share of it; its rows go to `rows`."""
    config = ready.config
    return Scheduler(
        run_state.build(ready, rows, share),
        prompt_queue.build(ready, share),
        slots=config.slots,
        duration_s=config.duration,
        load=config.load,
        start_mode=config.start,
        warm_up_per_slot=config.warm_up_per_slot,
        due_until=due_instants(config, ready.workload.traces, ready.seed, share),
        drain_s=config.drain_timeout if config.at_deadline == "drain" else None,
        raise_priority=config.client.priority is Priority.auto,
        share=share,
        instants=instants,
    )


def _first(errors: BaseException) -> BaseException:
    """The first error in a group of groups."""
    return _first(errors.exceptions[0]) if isinstance(errors, BaseExceptionGroup) else errors
