"""Rows of a replay on their way to the disk: taken on the event loop, written in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

from trie.storage.record import RequestRecord

FLUSH_EVERY_S = 0.5  # well below the second that a killed run may lose


class Writer(Protocol):
    """Takes rows in a thread, and is told of their end."""

    def write(self, records: list[RequestRecord]) -> None: ...

    def close(self) -> None: ...


class RowWriter:
    """Collects rows and hands them to a writer in a thread.

    Run `flush_regularly` beside the replay; call `close` once at its end, which writes what is left.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._rows: list[RequestRecord] = []
        self._writing = asyncio.Lock()

    def add(self, row: RequestRecord) -> None:
        """Take a finished row; costs one append."""
        self._rows.append(row)

    async def flush_regularly(self) -> None:
        """Write what is new twice a second, until cancelled.

        Raises:
            RunDirError: when rows can't be written; the rows stay in memory for `close` to try again.
        """
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            await self._flush()

    async def close(self) -> None:
        """Write the last rows and merge the parts; returns when everything is on disk."""
        await self._flush()
        async with self._writing:
            cancelled = await _to_its_end(asyncio.to_thread(self._writer.close))
        if cancelled is not None:
            raise cancelled

    async def _flush(self) -> None:
        async with self._writing:
            count = len(self._rows)
            cancelled = await _to_its_end(asyncio.to_thread(self._writer.write, self._rows[:count]))
            del self._rows[:count]
        if cancelled is not None:
            raise cancelled


async def _to_its_end(work: Coroutine[Any, Any, None]) -> asyncio.CancelledError | None:
    """Wait for a thread's work however often that is cancelled; returns the last cancellation, for the caller to raise.

    The thread goes on anyway: whoever did not wait would write the same rows beside it, and again.
    """
    task = asyncio.ensure_future(work)
    cancelled = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    return cancelled
