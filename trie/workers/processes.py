"""Workers as processes of this machine, beside the one that coordinates them."""

from __future__ import annotations

import asyncio
import logging
import platform
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from tempfile import TemporaryFile
from typing import IO

from trie.child_process import child
from trie.workers.assignment import Assignment, free_cores
from trie.workers.messages import Command, Message
from trie.workers.stdio import LENGTH, framed, unframed

log = logging.getLogger("trie")

MODULE = "trie.workers.stdio"


class ProcessHandle:
    """A worker process; `stderr` is the file of what it prints."""

    node = platform.node()
    offset_s, clock = 0.0, None  # one machine has one clock

    def __init__(self, process: Process, stderr: IO[bytes]) -> None:
        self._process = process
        self._stderr = stderr

    def send(self, command: Command | Assignment) -> None:
        """Give a command, or the assignment before all commands."""
        assert self._process.stdin is not None
        self._process.stdin.write(framed(command))

    async def receive(self) -> Message | None:
        """What the worker tells next; None once it is gone."""
        body = await self.receive_pickled()
        message: Message | None = None if body is None else unframed(body)
        return message

    async def receive_pickled(self) -> bytes | None:
        """The same, for somebody who only passes it on."""
        assert self._process.stdout is not None
        try:
            head = await self._process.stdout.readexactly(LENGTH.size)
            return await self._process.stdout.readexactly(LENGTH.unpack(head)[0])
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    def kill(self) -> None:
        """End the process at once."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def ending(self) -> str:
        """How the process has ended, for people; the log has all of what it printed."""
        code = await self._process.wait()
        self._stderr.seek(0)
        printed = self._stderr.read().decode("utf-8", "replace").strip()
        if printed:
            log.error("%s", printed)
        *_, last = printed.splitlines() or ["it said nothing"]
        return f"killed by signal {-code}" if code < 0 else f"exit code {code}; {last}"


@asynccontextmanager
async def _process() -> AsyncIterator[ProcessHandle]:
    with TemporaryFile() as stderr:  # a pipe that nobody reads could fill up and hold it
        async with child(MODULE, stderr=stderr) as process:
            yield ProcessHandle(process, stderr)


@asynccontextmanager
async def processes(assignments: Sequence[Assignment]) -> AsyncIterator[Sequence[ProcessHandle]]:
    """A process for each assignment; those that are left at the end of the block are killed."""
    cores = free_cores(assignments[0].ready.config)
    if len(assignments) > cores:
        log.warning(
            "%d workers on %d free cores: they will be late (workers=auto takes one a core)", len(assignments), cores
        )
    async with AsyncExitStack() as stack:
        handles = []
        for assignment in assignments:
            handle = await stack.enter_async_context(_process())
            handle.send(assignment)
            handles.append(handle)
        yield handles
