"""Rows on their way to disk: collected on the event loop, written by a thread, at least every second."""

from __future__ import annotations

import asyncio

from trie.records import RecordWriter, RequestRecord

FLUSH_EVERY_S = 0.5  # well below the second that a killed run may lose


class Recorder:
    """Collects rows and hands them to a writer in a thread.

    Run `flush_regularly` beside the replay; call `close` once at its end, which writes what is left.
    """

    def __init__(self, writer: RecordWriter) -> None:
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
            await asyncio.to_thread(self._writer.close)

    async def _flush(self) -> None:
        async with self._writing:
            count = len(self._rows)
            # Shielded: a cancellation must not leave the thread writing rows that a later flush writes again.
            work = asyncio.ensure_future(asyncio.to_thread(self._writer.write, self._rows[:count]))
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                await work
                del self._rows[:count]
                raise
            del self._rows[:count]
