"""What a run says of its own times while it goes on, and when it expects its traces to complete.

Every number here is for the eyes of whoever waits: reports compute theirs from the rows. A request costs two logarithms
and two entries of a dictionary, so that nothing is held up.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import exp, log, log1p

from trie.storage.record import Outcome, RequestRecord
from trie.workload.trace import Trace

STEP = log1p(0.02)  # values within 2 % of each other count as one
MOST = 10_000  # traces that a forecast counts


@dataclass(slots=True)
class Spread:
    """Positive values as they come, by size: mean and percentiles to 1 %."""

    count: int = 0
    total: float = 0.0
    sizes: Counter[int] = field(default_factory=Counter)

    def add(self, value: float) -> None:
        self.count += 1
        self.total += value
        self.sizes[round(log(value) / STEP) if value > 0 else -(1 << 20)] += 1

    @classmethod
    def merged(cls, parts: Iterable[Spread]) -> Spread:
        """Of all values of these."""
        merged = cls()
        for part in parts:
            merged.count += part.count
            merged.total += part.total
            merged.sizes.update(part.sizes)
        return merged

    @property
    def mean(self) -> float | None:
        return self.total / self.count if self.count else None

    def percentile(self, share: float) -> float | None:
        """The value below which this share of all lies; None where there is none."""
        below, wanted = 0, share * self.count
        for size in sorted(self.sizes):
            below += self.sizes[size]
            if below >= wanted:
                return exp(size * STEP)
        return None


@dataclass(slots=True)
class OpenSession:
    """A session that is going on; instants are those of `perf_counter`, since a warm-up moves the run's own zero."""

    trace: Trace
    began: float
    ended: int = 0  # requests
    at: float = 0.0  # when the last of them did, or the session began

    def end(self, request_s: float, token_s: float) -> float:
        """When it ends if each request and each token of an answer take so long; waits are as recorded."""
        trace, ended = self.trace, self.ended
        tokens = sum(trace.assistant_response_length[ended:]) + trace.final_assistant_response_length
        waits_s = sum(trace.tool_call_latency[max(ended - 1, 0) :])
        return self.at + (trace.num_turns + 1 - ended) * request_s + tokens * token_s + waits_s


@dataclass(slots=True)
class LiveNumbers:
    """Of all requests so far; those of a warm-up are in no time and no rate."""

    ttft: Spread = field(default_factory=Spread)
    tpot: Spread = field(default_factory=Spread)
    prompt_tokens: int = 0  # of requests that report cached tokens
    cached_tokens: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    open: dict[int, OpenSession] = field(default_factory=dict)  # sessions by their id

    def note(self, row: RequestRecord, now: float) -> None:
        """Count a request that ended now."""
        if row.outcome is Outcome.failed:
            self.failures[row.error_kind or "unknown"] += 1
        if row.outcome is not Outcome.ok:
            return
        if (session := self.open.get(row.session_id)) is not None:
            session.ended, session.at = row.turn + 1, now
        if row.warm_up:
            return
        if row.first_token_s is not None and row.sent_s is not None:
            self.ttft.add(row.first_token_s - row.sent_s)
            self._note_tpot(row, row.first_token_s)
        if row.usage_cached_tokens is not None and row.usage_prompt_tokens is not None:
            self.prompt_tokens += row.usage_prompt_tokens
            self.cached_tokens += row.usage_cached_tokens

    def _note_tpot(self, row: RequestRecord, first_s: float) -> None:
        tokens = row.usage_completion_tokens or row.requested_completion_tokens
        after = tokens - (row.hidden_tokens or 0) - (row.first_chunk_tokens or 1)
        if after > 0 and row.chunks > 1 and row.last_token_s is not None and row.last_token_s > first_s:
            self.tpot.add((row.last_token_s - first_s) / after)

    @property
    def hit_rate(self) -> float | None:
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else None


@dataclass(frozen=True, slots=True)
class Forecast:
    """How many traces will have completed by the deadline, and when so many have as a valid run needs."""

    by_deadline: int
    needed: int
    needed_at: float


def forecast(live: LiveNumbers, *, now: float, completed: int, deadline: float, needed: int) -> Forecast | None:
    """As the run goes so far: each request takes the mean TTFT, each token the mean TPOT, and waits as recorded.

    Slots go on with traces that last as long as those that are open now. None until there is something to go by.

    Args:
        live: the numbers so far.
        now: an instant, as the deadline is one.
        completed: traces so far.
        deadline: end of the run.
        needed: completed traces that a valid run has at least.
    """
    ttft_s, tpot_s = live.ttft.mean, live.tpot.mean or 0.0
    sessions = list(live.open.values())
    if ttft_s is None or not sessions:
        return None
    ends = [max(session.end(ttft_s, tpot_s), now) for session in sessions]
    lasting = [end - session.began for end, session in zip(ends, sessions, strict=True)]
    return _counted(ends, sum(lasting) / len(lasting), completed, deadline, needed)


def _counted(ends: list[float], mean_s: float, completed: int, deadline: float, needed: int) -> Forecast:
    """Traces by the deadline, and when those needed are there; each slot's next trace lasts the mean."""
    by_deadline, needed_at = completed, 0.0
    heapq.heapify(ends)
    while completed < needed or ends[0] <= deadline:
        end = heapq.heapreplace(ends, ends[0] + max(mean_s, 0.01))
        completed += 1
        by_deadline += end <= deadline
        if completed == needed:
            needed_at = end
        if completed >= max(needed, MOST):
            break
    return Forecast(by_deadline, needed, needed_at)
