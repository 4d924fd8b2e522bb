"""What all models of an engine have in common: a queue, a cache, counts, and events at exact instants."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections import deque

from trie.config import SimConfig
from trie.sim.jobs import Emission, Job, Tally
from trie.sim.prefix_cache import Cache, PrefixCache


class Scheduler(ABC):
    """Submit jobs, ask when something happens next, advance to now and get what left.

    Args:
        config: the model's numbers.
        cache: of prefixes; None for one that tells blocks by their tokens.
        every_step: whether each step's tokens are told, or only the end of each request.
    """

    def __init__(self, config: SimConfig, cache: Cache | None = None, *, every_step: bool = True) -> None:
        self.config = config
        self.cache = PrefixCache(config.cache_blocks, config.block_tokens) if cache is None else cache
        self.tally = Tally()
        self.waiting: deque[tuple[float, Job]] = deque()
        self._every_step = every_step
        self._now = 0.0  # the last event: nothing happens before it any more
        self._slowest: list[tuple[int, float]] = []  # steps' numbers and times, each longer than all after it

    @property
    @abstractmethod
    def active(self) -> int:
        """Requests that hold a slot."""

    @abstractmethod
    def cancel(self, now: float, job: Job) -> None:
        """The client is gone: its slot is free at once, and what was computed for it stays in the cache."""

    @abstractmethod
    def next_event_at(self) -> float:
        """When `advance` has something to do; infinity when idle."""

    @abstractmethod
    def _event(self, now: float, out: list[Emission]) -> bool:
        """The next event, if it is not after `now`."""

    def submit(self, arrived: float, job: Job) -> None:
        """A request arrives; it may be scheduled after `request_overhead_s`, in the order of these calls."""
        job.arrived = arrived
        self.waiting.append((max(arrived, self._now) + self.config.request_overhead_s, job))

    def advance(self, now: float, limit: int = 1 << 30) -> list[Emission]:
        """Everything up to `now`, each at its own exact instant however late the call is; at most `limit` events."""
        out: list[Emission] = []
        for _ in range(limit):
            if not self._event(now, out):
                break
        return out

    def until_end(self, now: float) -> list[Emission]:
        """Everything up to `now` or to the first instant at which a request ends; not for `every_step`."""
        out: list[Emission] = []
        while self._event(out[0].at if out else now, out):
            pass
        return out

    def _note_step(self, number: int, step_s: float) -> None:
        """Keep how long the steps after `number` are, and forget the shorter ones before them."""
        slowest = self._slowest
        while slowest and slowest[-1][1] <= step_s:
            slowest.pop()
        slowest.append((number, step_s))

    def _longest_step(self, number: int) -> float:
        """The longest of the steps after `number`."""
        return self._slowest[bisect_left(self._slowest, (number, -1.0))][1]

    def _count_start(self, at: float, job: Job) -> None:
        """A request leaves the queue: what the cache holds of it is known."""
        tally = self.tally
        tally.prompt_tokens += job.prompt_tokens
        tally.queue_time.add(at - job.arrived)
        if self.config.cache_blocks:
            job.cached_tokens = self.cache.cached_tokens(job.blocks, job.prompt_tokens)
            tally.queries_tokens += job.prompt_tokens
            tally.hit_tokens += job.cached_tokens

    def _emit(self, at: float, job: Job, tokens: int, out: list[Emission]) -> bool:
        """Let tokens of a job leave, as many as it still has; true when it has no more."""
        left = job.max_tokens - job.generated
        tokens = min(tokens, left)
        if not job.generated:
            job.first_at = at
            self.tally.time_to_first_token.add(at - job.arrived)
        job.generated += tokens
        self.tally.generated_tokens += tokens
        finished = tokens == left
        if finished or self._every_step:
            out.append(Emission(at, job, tokens, finished))
        if finished:
            job.last_at = at
            self.tally.finished += 1
            self.tally.e2e_request_latency.add(at - job.arrived)
            self.tally.inter_token_latency.add(at - job.first_at, job.generated - 1)
        return finished
