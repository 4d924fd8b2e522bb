"""The slots of an open load: who begins takes the lowest free one."""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush


class Places:
    """So many slots."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._used = 0  # slots from 0 on that were ever taken
        self._free: list[int] = []
        self._freed = asyncio.Event()

    def take(self) -> int | None:
        """The lowest free slot; None where there is none."""
        if self._free:
            return heappop(self._free)
        if self._used == self._count:
            return None
        self._used += 1
        return self._used - 1

    async def wait(self) -> int:
        """The next slot that is free; for one caller at a time."""
        while (slot := self.take()) is None:
            self._freed.clear()
            await self._freed.wait()
        return slot

    def give_back(self, slot: int) -> None:
        heappush(self._free, slot)
        self._freed.set()
