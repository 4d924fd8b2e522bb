"""Failures as they come: each said once and counted from then on, and a run that fails too much ended early."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from contextlib import suppress

from trie.replay.counters import Live
from trie.storage.record import RequestRecord

log = logging.getLogger("trie")
ENOUGH = 100  # requests that have ended, below which a share of failures says little
MAX_SAID = 20  # different errors that are said; more are counted together
OTHERS = "other errors"
_VARYING = re.compile(r"[0-9a-fA-F-]{8,}|\d+")  # ids, times, ports: what tells two of the same error apart


class FailureWatch:
    """Watches the failures of a run.

    Args:
        live: the run's counters.
        max_failures: failed requests at which a run is to end; None for any number.
        max_failure_rate: share of the ended requests that failed at which it is to end, once 100 have ended, or two
            for each slot; None for any share.
    """

    def __init__(self, live: Live, *, max_failures: int | None, max_failure_rate: float | None) -> None:
        self._live = live
        self._max_failures = max_failures
        self._max_failure_rate = max_failure_rate
        self._enough = max(ENOUGH, 2 * live.concurrency)
        self._counts: Counter[str] = Counter()
        self._said: dict[str, str] = {}

    def note(self, row: RequestRecord) -> None:
        """Count a failed request; an error that is new is said."""
        text = f"{row.error_kind}: {row.error}"
        same = _VARYING.sub("#", text)
        if same not in self._said and len(self._said) >= MAX_SAID:
            same = text = OTHERS
        self._counts[same] += 1
        if same not in self._said:
            self._said[same] = text
            log.warning("request failed, %s (repeats are counted)", text)

    def too_many(self) -> str | None:
        """The setting that says that this run is to end, or None."""
        failed = self._live.requests_failed
        if self._max_failures is not None and failed >= self._max_failures:
            return "max_failures"
        ended = failed + self._live.requests_ok
        if self._max_failure_rate is None or ended < self._enough:
            return None
        return "max_failure_rate" if failed >= self._max_failure_rate * ended else None

    def conclude(self) -> None:
        """Say how often each error came that came more than once."""
        for same, count in self._counts.most_common():
            if count > 1:
                log.warning("failed %d times, %s", count, self._said[same])


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
