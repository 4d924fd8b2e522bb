"""What runs on a node of a cluster: a worker in a process of its own, and the actor that stands between it and Ray.

The actor does nothing but hand over commands and messages, so that Ray's threads never hold up the worker's event loop.
An actor that dies takes its worker along, since the worker then can't hear anybody any more.
"""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import trie
from trie.prompts.builder import Prompts
from trie.workers.assignment import Assignment
from trie.workers.messages import Command, Stop
from trie.workers.processes import ProcessHandle, processes
from trie.workers.stdio import unframed
from trie.workers.worker import ABANDONED
from trie.workload.trace import Workload

UNASKED_S = 15.0  # after which an actor takes its coordinator for dead, as far as Ray has not told it so before
LAST_WORDS_S = 5.0  # for a worker without a coordinator to end in order


@dataclass(frozen=True, slots=True)
class Bulk:
    """What all workers are given alike: large, and without any key."""

    workload: Workload
    prompts: Prompts

    @classmethod
    def of(cls, assignment: Assignment) -> Bulk:
        """That of an assignment."""
        return cls(assignment.ready.workload, assignment.ready.prompts)

    def taken_off(self, assignment: Assignment) -> Assignment:
        """The assignment with nothing but what is its own."""
        empty = replace(self.workload, traces=[])
        return replace(assignment, ready=replace(assignment.ready, workload=empty, prompts=None))  # type: ignore[arg-type]

    def given_to(self, assignment: Assignment) -> Assignment:
        """The assignment whole."""
        return replace(assignment, ready=replace(assignment.ready, workload=self.workload, prompts=self.prompts))


@dataclass(frozen=True, slots=True)
class Host:
    """Where an actor is."""

    node: str  # the machine's name
    machine: str  # tells it, or a container's network, apart from all others
    trie_version: str


def this_host() -> Host:
    """That of this process."""
    node = machine = platform.node()
    with suppress(OSError):  # on another system than Linux
        machine = Path("/proc/sys/kernel/random/boot_id").read_text() + str(Path("/proc/self/ns/net").readlink())
    return Host(node, machine, trie.__version__)


@dataclass(frozen=True, slots=True)
class Reply:
    """What an actor answers each time that it is asked."""

    clock_s: float  # its `perf_counter` when it was asked
    messages: Sequence[bytes]  # pickled, since the time before: what is in them is not imported here
    ending: str | None  # how the worker has ended, for people; None while it lives


class RemoteWorker:
    """The actor.

    Args:
        assignment: without what is in `bulk`. It holds the key: an argument of an actor's constructor is in no file, no
            log and no command line.
        bulk: what all workers are given alike.

    Both are pickled: an actor that has another trie can say so only if it need not make sense of them first.
    """

    def __init__(self, assignment: bytes, bulk: bytes) -> None:
        self._pickled = assignment, bulk
        self._messages: list[bytes] = []
        self._commands: list[Command] = []
        self._handle: ProcessHandle | None = None
        self._ending: str | None = None
        self._asked_s = perf_counter()
        self._work: asyncio.Task[None] | None = None

    async def host(self) -> Host:
        """Where this is."""
        return this_host()

    async def start(self) -> None:
        """Start the worker."""
        assignment, bulk = map(unframed, self._pickled)
        self._work = asyncio.create_task(self._supervise(bulk.given_to(assignment)))

    async def clock(self) -> float:
        """This machine's `perf_counter`."""
        return perf_counter()

    async def exchange(self, commands: Sequence[Command]) -> Reply:
        """Pass commands on; returns what the worker has told since the last time."""
        self._asked_s = clock_s = perf_counter()
        self._commands += commands
        self._pass_on()
        if self._work is not None and self._work.done():
            self._work.result()  # whatever kept the worker from starting
        messages, self._messages = self._messages, []
        return Reply(clock_s, messages, None if messages else self._ending)

    def _pass_on(self) -> None:
        """Commands that came before the worker did wait for it."""
        if self._handle is not None:
            for command in self._commands:
                self._handle.send(command)
            self._commands.clear()

    async def _supervise(self, assignment: Assignment) -> None:
        async with processes([assignment]) as [self._handle]:
            self._pass_on()
            listening = asyncio.create_task(self._listen(self._handle))
            while not listening.done():
                await asyncio.wait([listening], timeout=1.0)
                if perf_counter() - self._asked_s > UNASKED_S:
                    await self._abandon(self._handle, listening)
            self._ending = listening.result()

    async def _listen(self, handle: ProcessHandle) -> str:
        """Keep what the worker tells; returns how it has ended."""
        while (message := await handle.receive_pickled()) is not None:
            self._messages.append(message)
        return await handle.ending()

    async def _abandon(self, handle: ProcessHandle, listening: asyncio.Task[str]) -> None:
        """Nobody has asked for long: nothing may be sent to the server any more, and nobody needs this process."""
        handle.send(Stop(ABANDONED))
        await asyncio.wait([listening], timeout=LAST_WORDS_S)
        sys.stderr.write("the coordinator is gone\n")
        handle.kill()
        os._exit(1)  # Ray's own way out raises into whoever asks, and nobody does
