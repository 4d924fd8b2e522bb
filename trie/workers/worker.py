"""One worker: the replay of a share of the run, with its own connections, prompts, rows and event loop."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from itertools import count
from time import perf_counter

from trie.endpoint.connection import Connections
from trie.errors import TrieError
from trie.replay.counters import Counters
from trie.replay.event_loop import beside
from trie.replay.scheduler import Scheduler, build
from trie.storage.parquet_parts import PartsWriter, to_table, warm_up
from trie.storage.record import RequestRecord
from trie.storage.row_writer import RowWriter
from trie.workers.assignment import Assignment
from trie.workers.handle import Channel
from trie.workers.messages import Begin, Ended, Failed, Log, Measure, OpenTrace, Progress, Ready, Rows, Stop, WarmedUp

TELL_EVERY_S = 0.2
OPEN_EVERY = 25  # times of telling, for what grows with the slots
ABANDONED = "coordinator_died"  # why a worker ended that nobody would have stopped any more

log = logging.getLogger("trie")


async def work(assignment: Assignment, channel: Channel) -> None:
    """Replay a share from its first prompts to its last row, and tell the coordinator how it goes."""
    try:
        await _work(assignment, channel)
    except TrieError as error:
        channel.send(Failed(str(error)))


async def _work(assignment: Assignment, channel: Channel) -> None:
    async with AsyncExitStack() as stack:
        endpoint, key, share = assignment.ready.config.endpoint, assignment.api_key, assignment.share
        servers = [
            await stack.enter_async_context(Connections(endpoint, url, api_key=key)) for url in assignment.base_urls
        ]
        folder, instants = assignment.requests, Together(channel)
        writer = _Sender(channel) if folder is None else PartsWriter(folder, worker=share.index)
        ready = replace(assignment.ready, servers=tuple(servers))
        scheduler = build(ready, RowWriter(writer), share=share, instants=instants)
        await asyncio.to_thread(warm_up)
        async with beside(_tell(channel, scheduler.counters)), beside(_obey(channel, scheduler, instants)):
            async with scheduler:
                channel.send(Ready())
                reason = await scheduler.run()
            channel.send(Ended(reason, told(scheduler.counters), scheduler.facts()))


class Together:
    """The instants of a run that several workers replay: the coordinator says them."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._begun: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._measured: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def begin(self) -> float:
        """When all workers are ready."""
        return await self._begun

    async def measure(self) -> float:
        """When all workers have warmed up."""
        self._channel.send(WarmedUp())
        return await self._measured

    def obey(self, command: Begin | Measure | Stop) -> None:
        """Let go whoever waits for this; a replay that is stopped before it began begins, to end at once."""
        waiting = self._measured if isinstance(command, Measure) else self._begun
        if not waiting.done():
            waiting.set_result(perf_counter() if isinstance(command, Stop) else command.at)


async def _obey(channel: Channel, scheduler: Scheduler, instants: Together) -> None:
    """Do what the coordinator says; without one, end."""
    while True:
        command = await channel.receive() or Stop(ABANDONED)
        if isinstance(command, Stop):
            scheduler.stop(command.reason)
        instants.obey(command)
        if command == Stop(ABANDONED):
            return


async def _tell(channel: Channel, counters: Counters) -> None:
    for number in count():
        with_open = number % OPEN_EVERY == 0
        channel.send(Progress(told(counters), tuple(_open(counters)) if with_open else None))
        await asyncio.sleep(TELL_EVERY_S)


def _open(counters: Counters) -> Iterator[OpenTrace]:
    for session in counters.live.open.values():
        yield OpenTrace(session.trace.row, session.began, session.ended, session.at)


def told(counters: Counters) -> Counters:
    """Counters without what grows with the run: the coordinator keeps its own."""
    return replace(counters, recent=deque(), live=replace(counters.live, open={}))


class _Sender:
    """Rows that go to the coordinator."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def write(self, records: list[RequestRecord]) -> None:
        if records:
            self._channel.send(Rows(to_table(records)))

    def close(self) -> None:
        """Nothing is kept here."""


class _Handler(logging.Handler):
    """Tells the coordinator what people should know."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(logging.WARNING)
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        self._channel.send(Log(record.levelno, record.getMessage()))


@contextmanager
def logged(channel: Channel) -> Iterator[None]:
    """What people should know goes to the coordinator, from a worker that has its process to itself."""
    handler = _Handler(channel)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
