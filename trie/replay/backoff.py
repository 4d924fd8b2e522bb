"""How long a slot waits after its session failed, so that errors can't storm and a dead server is not hammered."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

log = logging.getLogger("trie")
FIRST_PAUSE_S = 0.1  # of a slot whose session failed; doubled while its sessions keep failing
MAX_PAUSE_S = 5.0
DOUBLINGS = 16  # beyond which a pause is at its limit anyway, and a power of two no float
EVERY_S = 1.0  # between sessions of the whole run while nothing goes well
FEW = 4  # failures in a row that are no outage yet, however few slots there are


class Backoff:
    """The pauses of a run's slots.

    A slot whose sessions fail while others go well pauses on its own. When as many sessions have failed in a row as
    there are slots, and not one request between them went well, the server is taken to be out: the slots take turns
    then, one a second for all of them, until a request ends well and lets them all go on.
    """

    def __init__(self, slots: int) -> None:
        self._limit = max(slots, FEW)
        self._failed = 0  # sessions since a request ended well
        self._turn = 0.0  # loop time of the last turn that was given away
        self._recovered = asyncio.Event()

    def succeeded(self) -> None:
        """A request ended well."""
        if self._failed == 0:
            return
        if self._failed >= self._limit:
            log.warning("requests end well again: all slots go on")
            self._recovered.set()
            self._recovered = asyncio.Event()
        self._failed = 0

    async def pause(self, failed_in_a_row: int) -> None:
        """Wait after a failed session, the slot's number `failed_in_a_row` counted from 0."""
        self._failed += 1
        wait_s = min(FIRST_PAUSE_S * 2.0 ** min(failed_in_a_row, DOUBLINGS), MAX_PAUSE_S)
        if self._failed < self._limit:
            await asyncio.sleep(wait_s)
            return
        if self._failed == self._limit:
            log.warning("%d sessions failed in a row: all slots together start one a second now", self._failed)
        now = asyncio.get_running_loop().time()
        self._turn = max(self._turn + EVERY_S, now + wait_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._turn - now):
                await self._recovered.wait()
