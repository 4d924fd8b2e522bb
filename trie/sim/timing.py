"""A pure model of an inference server: given arrivals, it says when each token leaves. No clock, no I/O.

One prompt is prefilled at a time, in order of arrival, at `prefill_tok_s`; what the prefix cache holds costs nothing.
The end of a prefill yields the first token. Running requests then share decode steps of
`decode_base_s + decode_per_request_s * (batch - 1)`; a request joins at the next step's start. Prefill and decode run
side by side. At most `max_running` requests are past the queue. docs/simulator.md states this in closed form.

Every start and end is an event with its own instant, which follows from the arrivals alone: a caller that asks late
gets the same instants, so its lateness never adds up.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple, Self

from trie.config import SimConfig
from trie.sim.prefix_cache import PrefixCache, chain


@dataclass(slots=True, eq=False)
class Job:
    """One request inside the model; times are seconds on the caller's clock."""

    blocks: list[int]  # chain hashes of the prompt's whole blocks
    prompt_tokens: int
    max_tokens: int
    tail: Sequence[Hashable] = ()  # the prompt's tokens after its last whole block
    answer: Sequence[Hashable] = ()  # what it will generate, for the prefix cache; empty: not kept
    generated: int = 0
    cached_tokens: int = 0  # known once its prefill has begun
    arrived: float = 0.0
    first_at: float = 0.0  # when its first token left
    done: bool = False

    @classmethod
    def of(
        cls, tokens: Sequence[Hashable], max_tokens: int, config: SimConfig, answer: Sequence[Hashable] = ()
    ) -> Self:
        """The job of generating `max_tokens` after `tokens`."""
        blocks = chain(tokens, config.block_tokens)
        return cls(blocks, len(tokens), max_tokens, tail=tokens[len(blocks) * config.block_tokens :], answer=answer)


class Emission(NamedTuple):
    """Tokens that leave at one instant."""

    at: float
    job: Job
    tokens: int  # how many in this chunk
    finished: bool


@dataclass(slots=True)
class Span:
    """A sum of times, and of how many."""

    seconds: float = 0.0
    count: int = 0

    def add(self, seconds: float, count: int = 1) -> None:
        self.seconds += seconds
        self.count += count


class Model:
    """The server's scheduler. Submit jobs, ask when something happens next, advance to now and get what left."""

    def __init__(self, config: SimConfig) -> None:
        self.config = config
        self.cache = PrefixCache(config.cache_blocks, config.block_tokens)
        self.waiting: deque[tuple[float, Job]] = deque()
        self.running: list[Job] = []  # in the current decode step
        self._joining: list[Job] = []  # prefilled since it began
        self._prefilling: Job | None = None
        self._now = 0.0  # the last event: nothing happens before it any more
        self._prefill_end = inf
        self._step_end = inf
        self._free_at = 0.0  # since when nothing but a lack of requests keeps the next prefill from starting
        self.prompt_tokens = 0
        self.generated_tokens = 0
        self.queries_tokens = 0  # prompt tokens looked up in the cache
        self.hit_tokens = 0
        self.finished = 0
        # Seconds and how many they are of, as engines' histograms sum them: arrival to prefill, to the first token, to
        # the last one, and between tokens.
        self.spans = {
            name: Span() for name in ("queue_time", "time_to_first_token", "e2e_request_latency", "inter_token_latency")
        }

    @property
    def active(self) -> int:
        """Requests that hold a slot."""
        return len(self.running) + len(self._joining) + (self._prefilling is not None)

    def submit(self, arrived: float, job: Job) -> None:
        """A request arrives; it may be scheduled after `request_overhead_s`, in the order of these calls."""
        job.arrived = arrived
        self.waiting.append((max(arrived, self._now) + self.config.request_overhead_s, job))

    def cancel(self, now: float, job: Job) -> None:
        """The client is gone: its slot is free at once, and what was computed for it stays in the cache."""
        if job.done:
            return
        self.waiting = deque(item for item in self.waiting if item[1] is not job)
        if job is self._prefilling:
            self._prefilling, self._prefill_end = None, inf
            self._free_at = now
        for group in (self.running, self._joining):
            if job in group:
                self._free_slot(now)
                group.remove(job)
        if not self.running and not self._joining:
            self._step_end = inf
        self._leave(job)

    def next_event_at(self) -> float:
        """When `advance` has something to do; infinity when idle."""
        return min(self._prefill_end, self._step_end, self._prefill_start())

    def advance(self, now: float, limit: int = 1 << 30) -> list[Emission]:
        """Everything up to `now`, each at its own exact instant however late the call is; at most `limit` events."""
        out: list[Emission] = []
        for _ in range(limit):
            at = self.next_event_at()
            if at > now or at == inf:
                break
            self._now = at
            if at == self._prefill_end:
                self._end_prefill(at, out)
            elif at == self._step_end:
                self._end_step(at, out)
            else:
                self._begin_prefill(at)
        return out

    def _prefill_start(self) -> float:
        """When the first in the queue gets the prefill unit and a slot, as far as that is known."""
        if self._prefilling is not None or not self.waiting or self.active >= self.config.max_running:
            return inf
        return max(self.waiting[0][0], self._free_at)

    def _begin_prefill(self, at: float) -> None:
        _, job = self.waiting.popleft()
        self.prompt_tokens += job.prompt_tokens
        self.spans["queue_time"].add(at - job.arrived)
        if self.config.cache_blocks:
            job.cached_tokens = self.cache.cached_tokens(job.blocks, job.prompt_tokens)
            self.queries_tokens += job.prompt_tokens
            self.hit_tokens += job.cached_tokens
        self._prefilling = job
        self._prefill_end = at + (job.prompt_tokens - job.cached_tokens) / self.config.prefill_tok_s

    def _end_prefill(self, at: float, out: list[Emission]) -> None:
        job = self._prefilling
        assert job is not None
        self._prefilling, self._prefill_end, self._free_at = None, inf, at
        self.cache.insert(job.blocks)
        self._joining.append(job)
        if self._emit(at, job, 1, out):
            self._joining.remove(job)
        elif self._step_end == inf:
            self._begin_step(at)

    def _begin_step(self, at: float) -> None:
        self.running += self._joining
        self._joining = []
        batch = len(self.running)
        step = self.config.decode_base_s + self.config.decode_per_request_s * (batch - 1)
        self._step_end = at + step if batch else inf

    def _end_step(self, at: float, out: list[Emission]) -> None:
        per_step = self.config.tokens_per_chunk
        going_on = [job for job in self.running if not self._emit(at, job, per_step, out)]
        if len(going_on) < len(self.running):
            self._free_slot(at)
        self.running = going_on
        self._begin_step(at)

    def _emit(self, at: float, job: Job, tokens: int, out: list[Emission]) -> bool:
        """Let tokens of a job leave, as many as it still has; true when it has no more."""
        tokens = min(tokens, job.max_tokens - job.generated)
        if not job.generated:
            job.first_at = at
            self.spans["time_to_first_token"].add(at - job.arrived)
        job.generated += tokens
        self.generated_tokens += tokens
        finished = job.generated >= job.max_tokens
        out.append(Emission(at, job, tokens, finished))
        if finished:
            self.finished += 1
            self.spans["e2e_request_latency"].add(at - job.arrived)
            self.spans["inter_token_latency"].add(at - job.first_at, job.generated - 1)
            self._leave(job)
        return finished

    def _free_slot(self, at: float) -> None:
        """Note when a full batch gets a free slot, if that is what the queue waits for; call it before the change."""
        if self.active >= self.config.max_running:
            self._free_at = max(self._free_at, at)

    def _leave(self, job: Job) -> None:
        """Hold a leaving job's KV: prompt and answer, whose last token was sampled but never computed."""
        job.done = True
        computed = job.answer[: job.generated - 1] if job.generated else ()
        if computed:
            self.cache.insert(chain([*job.tail, *computed], self.config.block_tokens, job.blocks))


class Faults:
    """Which requests fail and how: by the seed and the order of requests alone."""

    def __init__(self, config: SimConfig) -> None:
        self._config = config
        self._random = random.Random(config.seed)
        self._count = 0

    def next(self) -> str | None:
        """The fault of the next request, or None."""
        config = self._config
        if not config.faults or self._random.random() >= config.fault_rate:
            return None
        self._count += 1
        return config.faults[(self._count - 1) % len(config.faults)]
