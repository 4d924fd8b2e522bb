"""Turns on the event loop: what requests cost beside their reads is done one after the other, with reads in between.

Many responses can end, and many sessions begin, in one pass of the loop. If each were decoded, recorded and followed by
its next request at once, the first tokens of requests already sent would wait for all of that, and the client would
measure itself.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Turns:
    """Lets one caller go on in each pass of the loop; the others wait in line."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken = False

    async def turn(self) -> None:
        """Return when it is the caller's turn: at once where nobody else had one in this pass."""
        loop = asyncio.get_running_loop()
        if not self._taken:
            self._taken = True
            loop.call_soon(self._next, loop)
            return
        turn = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # its caller was cancelled
                turn.set_result(None)
                loop.call_soon(self._next, loop)
                return
        self._taken = False
