"""What failures do to a run: each is logged once and counted, slots pause after them, and too many end the run.

A run goes on through failures, because a server that sheds load is a finding. But it must not become a flood of
requests at a server that is out, nor a day of rows that hold nothing.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from contextlib import suppress

from trie.replay.counters import Counters
from trie.storage.record import RequestRecord

log = logging.getLogger("trie")

ENOUGH = 100  # requests that have ended, below which a share of failures says little
MAX_LOGGED = 20  # different errors that are logged; more are counted together
OTHERS = "other errors"
_VARYING = re.compile(r"[0-9a-fA-F-]{8,}|\d+")  # ids, times, ports: what tells two of the same error apart

FIRST_PAUSE_S = 0.1  # of a slot whose session failed; doubled while its sessions keep failing
MAX_PAUSE_S = 5.0
MAX_DOUBLINGS = 16  # beyond these a pause is at its limit anyway, and the power of two no float
OUTAGE_EVERY_S = 1.0  # between sessions of the whole run, all its processes together, while nothing goes well
FEW = 4  # failures in a row that are no outage yet, however few slots there are


class FailureWatch:
    """Logs and counts the failures of a run, and knows when there are too many.

    Args:
        counters: the run's.
        concurrency: its slots.
        max_failures: failed requests at which a run is to end; None for any number.
        max_failure_rate: share of the ended requests that failed at which it is to end, once 100 have ended, or two
            for each slot; None for any share.
    """

    def __init__(
        self, counters: Counters, *, concurrency: int, max_failures: int | None, max_failure_rate: float | None
    ) -> None:
        self._counters = counters
        self._max_failures = max_failures
        self._max_failure_rate = max_failure_rate
        self._enough = max(ENOUGH, 2 * concurrency)
        self._repeats: Counter[str] = Counter()
        self._first_texts: dict[str, str] = {}

    def note(self, row: RequestRecord) -> None:
        """Count a failed request; an error that is new is logged."""
        text = f"{row.error_kind}: {row.error}"
        pattern = _VARYING.sub("#", text)
        if pattern not in self._first_texts and len(self._first_texts) >= MAX_LOGGED:
            pattern = text = OTHERS
        self._repeats[pattern] += 1
        if pattern not in self._first_texts:
            self._first_texts[pattern] = text
            log.warning("request failed, %s (repeats are counted)", text)

    def limit_reached(self) -> str | None:
        """The setting that says that this run is to end, or None."""
        failed = self._counters.requests_failed
        if self._max_failures is not None and failed >= self._max_failures:
            return "max_failures"
        ended = failed + self._counters.requests_ok
        if self._max_failure_rate is None or ended < self._enough:
            return None
        return "max_failure_rate" if failed >= self._max_failure_rate * ended else None

    def conclude(self) -> None:
        """Log how often each error came that came more than once."""
        for pattern, count in self._repeats.most_common():
            if count > 1:
                log.warning("failed %d times, %s", count, self._first_texts[pattern])


class Backoff:
    """The pauses of a run's slots.

    A slot whose sessions fail while others go well pauses on its own. When as many sessions have failed in a row as
    there are slots, and not one request between them went well, the server is taken to be out: the slots take turns
    then, one a second for all of them, until a request ends well and lets them all go on.
    """

    def __init__(self, concurrency: int, *, every_s: float = OUTAGE_EVERY_S) -> None:
        self._every_s = every_s
        self._limit = max(concurrency, FEW)
        self._failed = 0  # sessions since a request ended well
        self._turn = 0.0  # loop time of the last turn that was given away
        self._recovered = asyncio.Event()

    def succeeded(self) -> bool:
        """A request ended well; true where that ends an outage."""
        failed, self._failed = self._failed, 0
        if failed < self._limit:
            return False
        log.warning("requests end well again: all slots go on")
        self._recovered.set()
        self._recovered = asyncio.Event()
        return True

    def pause_until(self, now: float, failed_in_a_row: int) -> tuple[float, bool]:
        """Until when a slot waits after a failed session, and whether the end of an outage lets it go on before.

        Args:
            now: an instant of any one clock.
            failed_in_a_row: the slot's failed sessions before this one.
        """
        self._failed += 1
        wait_s = min(FIRST_PAUSE_S * 2.0 ** min(failed_in_a_row, MAX_DOUBLINGS), MAX_PAUSE_S)
        if self._failed < self._limit:
            return now + wait_s, False
        if self._failed == self._limit:
            log.warning("%d sessions failed in a row: all slots together start one a second now", self._failed)
        self._turn = max(self._turn + self._every_s, now + wait_s)
        return self._turn, True

    async def pause(self, failed_in_a_row: int) -> None:
        """Wait after a failed session, the slot's number `failed_in_a_row` counted from 0."""
        now = asyncio.get_running_loop().time()
        until, recoverable = self.pause_until(now, failed_in_a_row)
        if not recoverable:
            await asyncio.sleep(until - now)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(until - now):
                await self._recovered.wait()
