"""How many requests of a run may be in flight at once."""

from __future__ import annotations

from asyncio import Semaphore
from types import TracebackType


class InFlight:
    """Around each request: lets so many through at a time, in the order in which they came; None: all of them."""

    def __init__(self, most: int | None = None) -> None:
        self._places = None if most is None else Semaphore(most)

    async def __aenter__(self) -> bool:
        """Whether the request had to wait."""
        if self._places is None:
            return False
        waits = self._places.locked()
        await self._places.acquire()
        return waits

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._places is not None:
            self._places.release()
