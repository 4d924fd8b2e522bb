"""What a run counts while it goes on: plain numbers, written by sessions and slots, read by the progress."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from trie.replay.live_numbers import LiveNumbers

RECENT_S = 30.0  # how far back single completions are kept


class Point(NamedTuple):
    """Cumulative tokens at the end of a request; t in seconds since the run began."""

    t: float
    new_prompt_tokens: int
    cached_prompt_tokens: int
    completion_tokens: int


ORIGIN = Point(0.0, 0, 0, 0)


@dataclass(slots=True)
class Counters:
    """How many traces and requests are open, and how the others ended."""

    traces_active: int = 0
    traces_completed: int = 0
    traces_failed: int = 0
    traces_cancelled: int = 0
    requests_in_flight: int = 0
    requests_ok: int = 0
    requests_failed: int = 0
    requests_cancelled: int = 0
    retries: int = 0
    total: Point = ORIGIN
    recent: deque[Point] = field(default_factory=lambda: deque([ORIGIN]))  # of the last 30 s
    live: LiveNumbers = field(default_factory=LiveNumbers)
    precision: str = ""  # how sure metrics are, where stop_when asks

    def count_retry(self) -> None:
        self.retries += 1

    def completed(self, t: float, new: int, cached: int, completion: int) -> None:
        """Count a request that ended well at `t`."""
        self.requests_ok += 1
        total = self.total
        self.total = Point(
            t,
            total.new_prompt_tokens + new,
            total.cached_prompt_tokens + cached,
            total.completion_tokens + completion,
        )
        self.recent.append(self.total)
        while self.recent[0].t < t - RECENT_S:
            self.recent.popleft()
