"""A worker that is a process of this machine: its coordinator speaks to it by its standard input and output.

Both directions are frames: the length of a pickled object in 8 bytes, and the object. The assignment is the first one,
so that no key is ever in an argument, a variable or a file. A process that can't hear its coordinator any more ends.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import struct
import sys
import threading
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from trie.replay.event_loop import in_loop
from trie.workers.messages import Command, Message
from trie.workers.worker import logged, work

LENGTH = struct.Struct("<Q")
LAST_WORDS_S = 600.0  # for a coordinator that does not read, as one that was suspended with Ctrl-Z


def framed(content: object) -> bytes:
    """An object as it goes through the pipe."""
    body = pickle.dumps(content, pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(body)) + body


def unframed(body: bytes) -> Any:
    """The object behind a frame's length; it comes from a process of our own, by a pipe that nobody else has."""
    return pickle.loads(body)  # noqa: S301


class StdioChannel:
    """The coordinator, as this process has it; two threads keep its pipes off the event loop."""

    def __init__(self, read_from: int, write_to: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._commands: asyncio.Queue[Command | None] = asyncio.Queue()
        self._messages: SimpleQueue[bytes | None] = SimpleQueue()
        threading.Thread(target=self._read, args=(read_from,), daemon=True).start()
        self._writing = threading.Thread(target=self._write, args=(write_to,), daemon=True)
        self._writing.start()

    def send(self, message: Message) -> None:
        """Tell something without waiting."""
        self._messages.put(framed(message))

    async def receive(self) -> Command | None:
        """The next command; None once the coordinator is gone."""
        return await self._commands.get()

    def close(self) -> None:
        """Return when everything is told, or nobody reads it."""
        self._messages.put(None)
        self._writing.join(LAST_WORDS_S)

    def _read(self, read_from: int) -> None:
        command: Command | None = read_frame(read_from)
        while command is not None:
            self._loop.call_soon_threadsafe(self._commands.put_nowait, command)
            command = read_frame(read_from)
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._commands.put_nowait, None)

    def _write(self, write_to: int) -> None:
        with suppress(OSError):  # the coordinator is gone
            while (frame := self._messages.get()) is not None:
                _write_all(write_to, frame)


def read_frame(read_from: int) -> Any:
    """The next object of a pipe; None at its end."""
    head = _read_all(read_from, LENGTH.size)
    if head is None:
        return None
    body = _read_all(read_from, LENGTH.unpack(head)[0])
    return None if body is None else unframed(body)


def _read_all(read_from: int, size: int) -> bytes | None:
    content = bytearray()
    while len(content) < size:
        piece = os.read(read_from, min(size - len(content), 1 << 20))
        if not piece:
            return None
        content += piece
    return bytes(content)


def _write_all(write_to: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(write_to, left) :]


def main() -> None:
    """Do the work that comes by standard input."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the coordinator takes them, and says what becomes of the run
    write_to = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no frame
    assignment = read_frame(sys.stdin.fileno())

    async def working() -> None:
        channel = StdioChannel(sys.stdin.fileno(), write_to)
        with logged(channel):
            await work(assignment, channel)
        channel.close()

    if assignment is not None:
        in_loop(working())


if __name__ == "__main__":
    main()
