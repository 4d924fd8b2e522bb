"""Failures as they come: each said once and counted from then on, and a run that fails too much ended early."""

from __future__ import annotations

import logging
import re
from collections import Counter

from trie.records import RequestRecord
from trie.replay.live import Live

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
