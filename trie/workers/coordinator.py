"""A run that several workers replay: one start, one deadline, one stop, one progress, one end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from math import isinf
from pathlib import Path
from time import perf_counter, process_time
from types import TracebackType
from typing import Any, Self

from trie.config import RunConfig
from trie.errors import RunDirError, WorkerError
from trie.replay.counters import Counters
from trie.replay.failure_policy import FailureWatch
from trie.replay.live_numbers import OpenSession
from trie.replay.run_state import CANCELLED, Clock
from trie.replay.scheduler import ALL_TRACES, DEADLINE, ERROR
from trie.storage.parquet_parts import PartsWriter
from trie.workers import merge
from trie.workers.assignment import Assignment
from trie.workers.handle import Placement
from trie.workers.member import Member
from trie.workers.messages import (
    Begin,
    Command,
    Ended,
    Failed,
    Log,
    Measure,
    Message,
    OpenTrace,
    Progress,
    Ready,
    Rows,
    WarmedUp,
)
from trie.workers.messages import Stop as StopCommand

log = logging.getLogger("trie")

HEAD_START_S = 0.05  # from the word to begin until the instant itself: each worker has it by then
SILENT_S, SILENT_PARTS = 60.0, 10  # a worker that tells nothing for so long is taken for dead
END_S = 5.0  # for workers to write their last rows, once the run is cancelled
LIVE_SHARE = 0.02  # of the time, for live numbers of all workers: they grow with workers and sessions
WORKERS_DIED = "workers_died"  # why a run ended of which no worker is left


class Coordinator:
    """Stands where the scheduler does in a run that one process replays.

    On entering, the workers are there and their first prompts made. On leaving, all of them have ended.

    Args:
        config: of the run.
        assignments: of its workers.
        place: where they are.
        requests: the folder of the run's rows.
    """

    def __init__(self, config: RunConfig, assignments: Sequence[Assignment], place: Placement, requests: Path) -> None:
        self.clock = Clock()
        self.counters = Counters()
        self.stop_reason: str | None = None
        self._config = config
        self._assignments = assignments
        self._place = place
        self._requests = requests
        self._watch = FailureWatch(
            self.counters,
            concurrency=1 if config.load.is_open else config.slots,
            max_failures=config.max_failures,
            max_failure_rate=config.max_failure_rate,
        )
        self._traces = {trace.row: trace for trace in assignments[0].ready.workload.traces}
        self._members: list[Member] = []
        self._listening: list[asyncio.Task[None]] = []
        self._news = asyncio.Event()
        self._failure: str | None = None  # what the user can fix
        self._live_due = 0.0  # when live numbers are merged next
        self._cpu_s = process_time()  # at the begin of the run, and of the run once it has ended
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def _start(self) -> None:
        handles = await self._stack.enter_async_context(self._place(self._assignments))
        for handle, assignment in zip(handles, self._assignments, strict=True):
            share = assignment.share
            self._members.append(Member(share.index, handle, len(share.below(self._config.slots))))
        self._listening = [asyncio.create_task(self._listen(member)) for member in self._members]
        for task in self._listening:
            task.add_done_callback(lambda _: self._news.set())
        self._stack.push_async_callback(self._end_listening)
        await self._until(lambda member: member.ready or member.over)
        self._raise_failure()
        dead = next((member for member in self._members if member.died is not None), None)
        if dead is not None:
            raise WorkerError(f"workers={len(self._members)}: worker {dead.index} did not start: {dead.died}")
        log.info("workers %d", len(self._members))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if not all(member.over for member in self._members):
                self.stop(CANCELLED)
                async with asyncio.timeout(END_S):
                    await self._until(lambda member: member.over)
        except TimeoutError:
            log.warning("workers did not end within %.0f s and are killed", END_S)
        finally:
            self._stop_clock()
            await self._stack.aclose()

    def stop(self, reason: str) -> None:
        """End the run now, or as soon as it runs."""
        if self.stop_reason is None:
            self.stop_reason = reason
            self._command(lambda _: StopCommand(reason))

    async def run(self) -> str:
        """Replay; returns why it ended.

        Raises:
            RunDirError: when rows can't be written any more.
        """
        began = perf_counter() + HEAD_START_S
        self._cpu_s = process_time()
        self.clock.start(began)
        self.clock.warming_up = self._config.warms_up
        self._command(lambda member: Begin(began + member.handle.offset_s))
        if self._config.warms_up:
            await self._warm_up()
        await self._until(lambda member: member.over)
        self._stop_clock()
        self._raise_failure()
        return self._reason()

    async def _warm_up(self) -> None:
        await self._until(lambda member: member.warmed_up or member.over)
        began = perf_counter() + HEAD_START_S
        self._cpu_s = process_time()
        self.clock.start_again(began)
        if not all(member.over for member in self._members):
            log.info("the run begins, after a warm-up of %.1f s", self.clock.warm_up_s)
        self._command(lambda member: Measure(began + member.handle.offset_s))

    def facts(self) -> dict[str, Any]:
        """What the manifest states about a run that has ended."""
        ended = [member.ended.facts for member in self._members if member.ended is not None]
        walls = [float(facts["wall_time_s"]) for facts in ended]
        return {
            **merge.end_facts(ended),
            "began_monotonic_s": None if isinf(self.clock.began) else self.clock.began,
            "wall_time_s": max((*walls, *(member.died_s or 0.0 for member in self._members)), default=0.0),
            "workers": [member.end() for member in self._members],
            "coordinator_cpu_s": round(self._cpu_s, 6),
        }

    async def _listen(self, member: Member) -> None:
        """Take what a worker tells until it has ended or is gone."""
        while not member.over:
            message: Message | None = None
            died_s, heard_s = None, self.clock.now_s
            try:
                message = await _next_message(member)
                member.died = None if message is not None else await member.handle.ending()
            except TimeoutError:
                member.died, died_s = f"nothing was heard of it for {SILENT_S:.0f} s", heard_s
                member.handle.kill()
            if message is not None:
                await self._take(member, message)
            elif self._failure is None:
                self._lost(member, self.clock.now_s if died_s is None else died_s)
            self._news.set()

    async def _take(self, member: Member, message: Message) -> None:
        match message:
            case Progress(counters, sessions):
                if sessions is not None:
                    member.open = [self._opened(member, session) for session in sessions]
                self._count(member, counters)
            case Ready():
                member.ready = True
            case WarmedUp():
                member.warmed_up = True
            case Log(level, text):
                log.log(level, "worker %d: %s", member.index, text)
            case Rows(table):
                await self._write(member, table)
            case Failed(text):
                self._failure = self._failure or text
                member.died, member.died_s = text, self.clock.now_s
                self.stop(ERROR)
            case Ended(_, counters, _):
                self._count(member, counters)
                if member.writer is not None:
                    await asyncio.to_thread(member.writer.close)
                member.ended = message

    def _opened(self, member: Member, session: OpenTrace) -> OpenSession:
        """On our own clock."""
        offset_s = member.handle.offset_s
        trace = self._traces[session.row]
        return OpenSession(trace, session.began - offset_s, session.ended, session.at - offset_s)

    async def _write(self, member: Member, table: Any) -> None:
        if member.writer is None:
            member.writer = PartsWriter(self._requests, worker=member.index)
        try:
            await asyncio.to_thread(member.writer.write_table, table)
        except RunDirError as error:
            self._failure = self._failure or str(error)
            self.stop(ERROR)

    def _lost(self, member: Member, died_s: float) -> None:
        """A worker is gone; the others go on. One that fell silent was gone from then on, and the run no longer."""
        last = member.counters
        member.died_s = died_s
        member.lost_requests, member.lost_traces = last.requests_in_flight, last.traces_active
        self._count(member, replace(last, requests_in_flight=0, traces_active=0))
        log.warning("worker %d is gone (%s); the others go on without its traces", member.index, member.died)

    def _count(self, member: Member, counters: Counters) -> None:
        member.counters = counters
        merge.update(self.counters, [member.counters for member in self._members], self.clock.now_s)
        if perf_counter() >= self._live_due:
            self._merge_live()
        if (reason := self._watch.limit_reached()) is not None:
            self.stop(reason)

    def _merge_live(self) -> None:
        """What people see, which nothing depends on: it may be a little older than the counts."""
        began = perf_counter()
        live = merge.live_of([member.counters.live for member in self._members])
        live.open = dict(enumerate(session for member in self._members if not member.over for session in member.open))
        self.counters.live = live
        ended = perf_counter()
        self._live_due = ended + (ended - began) / LIVE_SHARE

    def _command(self, command_of: Callable[[Member], Command]) -> None:
        for member in self._members:
            if not member.over:
                member.handle.send(command_of(member))

    async def _until(self, condition: Callable[[Member], bool]) -> None:
        """Wait until it holds for every worker."""
        while not all(map(condition, self._members)):
            self._news.clear()
            await self._news.wait()
            for task in self._listening:
                if task.done():
                    task.result()  # a bug ends the run with its traceback

    async def _end_listening(self) -> None:
        for task in self._listening:
            task.cancel()
        await asyncio.gather(*self._listening, return_exceptions=True)

    def _stop_clock(self) -> None:
        if self.clock.ended is None:
            self.clock.stop()
            self._cpu_s = process_time() - self._cpu_s

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise RunDirError(self._failure)

    def _reason(self) -> str:
        reasons = {member.ended.reason for member in self._members if member.ended is not None}
        if self.stop_reason is not None:
            return self.stop_reason
        if not reasons:
            return WORKERS_DIED
        return DEADLINE if DEADLINE in reasons else ALL_TRACES


async def _next_message(member: Member) -> Message | None:
    """What a worker tells next; None once it is gone.

    The wait is in several parts: of a time in which this process itself stood still, as after Ctrl-Z, one part counts.

    Raises:
        TimeoutError: when it told nothing for too long.
    """
    receiving = asyncio.create_task(member.handle.receive())
    try:
        for _ in range(SILENT_PARTS):
            await asyncio.wait([receiving], timeout=SILENT_S / SILENT_PARTS)
            if receiving.done():
                return receiving.result()
    finally:
        receiving.cancel()
    raise TimeoutError
