"""Workers as tasks of the test's own event loop: the whole protocol, pickled both ways, without the processes."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from trie.workers.assignment import Assignment
from trie.workers.worker import work


class TaskHandle:
    """A worker as its coordinator has it; the channel is the other end."""

    node = "here"
    offset_s, clock = 0.0, None

    def __init__(self, assignment: Assignment) -> None:
        self.channel = Channel()
        self.task = asyncio.create_task(work(pickle.loads(pickle.dumps(assignment)), self.channel))
        self.task.add_done_callback(lambda _: self.channel.messages.put_nowait(None))

    def send(self, command: object) -> None:
        self.channel.commands.put_nowait(pickle.dumps(command))

    async def receive(self) -> Any:
        return _content(await self.channel.messages.get())

    def kill(self) -> None:
        self.task.cancel()

    async def ending(self) -> str:
        return "cancelled"


class Channel:
    """The coordinator as a worker has it."""

    def __init__(self) -> None:
        self.commands: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.messages: asyncio.Queue[bytes | None] = asyncio.Queue()

    def send(self, message: object) -> None:
        self.messages.put_nowait(pickle.dumps(message))

    async def receive(self) -> Any:
        return _content(await self.commands.get())


def _content(pickled: bytes | None) -> Any:
    return None if pickled is None else pickle.loads(pickled)


@asynccontextmanager
async def tasks(assignments: Sequence[Assignment]) -> AsyncIterator[list[TaskHandle]]:
    """A placement."""
    handles = [TaskHandle(assignment) for assignment in assignments]
    try:
        yield handles
    finally:
        for handle in handles:
            handle.kill()
        await asyncio.gather(*(handle.task for handle in handles), return_exceptions=True)
