"""What a workload will ask of a server's prefix cache, before any server is asked.

Theory of operation. The traces are replayed in a closed loop on paper: one prompt after the other is computed at an
assumed speed, answers come at another, and a tool takes as long as it did. Under least-recently-used eviction, tails
before heads, what is left of a session's text when the session comes back depends on one number, its reuse distance:
the tokens of all other texts that were used since (Mattson's stack, 1970). A cache of K tokens still holds
`K - distance` of the session's own tokens, at least none and at most all; no cache has to be simulated block by block.
The distances themselves depend on K where prompts queue: what is not found has to be computed, the queue grows, and
others come in between. So there is one pass for each size of the cache.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import cycle, islice
from math import ceil, inf
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trie.workload.trace import PlannedRequest, Trace

KNEE = 0.95  # share of the ideal hit rate at which a cache is called large enough
TRACES = (256, 12, 1024)  # of the workload's first: at least, for each slot, at most
SIZES = 12  # of the cache
MOST_CONCURRENT = 1024  # more are not tried
SAME_S = 1e-9  # instants as near as this are one: a request that comes as a step ends joins the next one
Floats = NDArray[np.float64]


class Pace(NamedTuple):
    """How fast a server is taken to be."""

    prompt_tok_s: float = 20_000.0  # new prompt tokens of all requests, one prompt at a time
    answer_step_s: float = 0.02  # for a token of a request alone
    step_per_request_s: float = 0.0  # that each further request adds
    overhead_s: float = 0.0  # of each request, before it queues
    block_tokens: int = 1  # that the cache holds together


@dataclass(frozen=True, slots=True)
class Held:
    """KV tokens that the active traces hold, over the time in which all slots are taken."""

    mean: float
    p95: float
    max: float


@dataclass(frozen=True, slots=True)
class Pass:
    """The traces replayed once at one concurrency, pace and size of the cache."""

    hit_rate: float  # the share of all prompt tokens that the cache served
    held: Held
    duration_s: float
    starts_s: Floats  # of the traces
    ends_s: Floats

    def cut_off(self, deadline_s: float) -> float:
        """The share of the traces begun before a deadline that it cuts off."""
        begun = self.starts_s < deadline_s
        return float((self.ends_s[begun] > deadline_s).mean())


@dataclass(frozen=True, slots=True)
class Demand:
    """What a closed loop at one concurrency asks of the cache."""

    concurrency: int
    pace: Pace
    traces: int  # of the workload that were replayed
    whole: Pass  # with a cache of any size
    curve: tuple[tuple[int, float], ...]  # sizes in tokens, and their hit rates

    @property
    def knee_tokens(self) -> int:
        """The size at which the hit rate comes to `KNEE` of the ideal one, by lines between the sizes tried."""
        sizes, rates = zip(*self.curve, strict=True)
        rising = np.maximum.accumulate(rates)
        return round(float(np.interp(KNEE * self.whole.hit_rate, rising, sizes)))


def replay_once(traces: Sequence[Trace], concurrency: int, pace: Pace, cache_tokens: float = inf) -> Pass:
    """Replay the traces on paper, in their order."""
    loop = _ClosedLoop(traces, min(concurrency, len(traces)), pace, cache_tokens)
    loop.run()
    return Pass(
        loop.hit_tokens / loop.prompt_tokens,
        loop.held(),
        loop.now,
        np.array(loop.starts_s),
        np.array(loop.ends_s),
    )


def demand(traces: Sequence[Trace], concurrency: int, pace: Pace) -> Demand:
    """What the first traces of a workload ask of caches of many sizes, up to one that holds all they ever held."""
    some = first_of(traces, concurrency)
    whole = replay_once(some, concurrency, pace)
    most = max(whole.held.max, *(trace.context_tokens for trace in some))
    sizes = np.linspace(0.0, 1.5 * most, SIZES + 1)[1:].round().astype(int).tolist()
    rates = [replay_once(some, concurrency, pace, size).hit_rate for size in sizes]
    return Demand(concurrency, pace, len(some), whole, ((0, 0.0), *zip(sizes, rates, strict=True)))


def first_of(traces: Sequence[Trace], concurrency: int) -> Sequence[Trace]:
    """As many traces as show what the loop comes to, begun again at the end of the file; more only take longer."""
    least, for_each, most = TRACES
    count = max(min(max(least, for_each * concurrency), most), 2 * concurrency)
    return list(islice(cycle(traces), count))


def knee_concurrency(traces: Sequence[Trace], cache_tokens: int, pace: Pace) -> int:
    """The most active traces with which a cache of this size still gives `KNEE` of the ideal hit rate; 0: none.

    The hit rate falls with the concurrency, so that the knee is sought by halves.
    """

    def fits(concurrency: int) -> bool:
        some = first_of(traces, concurrency)
        ideal = ideal_hit_rate(some)
        return replay_once(some, concurrency, pace, cache_tokens).hit_rate >= KNEE * ideal

    high = 1
    while high <= MOST_CONCURRENT and fits(high):
        high *= 2
    low = high // 2
    while high - low > 1 and high <= MOST_CONCURRENT:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def ideal_hit_rate(traces: Sequence[Trace]) -> float:
    """The share of the prompt tokens that an earlier request of the same trace had."""
    plans = [plan for trace in traces for plan in trace.requests()]
    cached = sum(plan.cached_prompt_tokens for plan in plans)
    return cached / (cached + sum(plan.new_prompt_tokens for plan in plans))


class _Recency:
    """Texts of active sessions in blocks, from the one used longest ago, and what sessions that ended left."""

    def __init__(self) -> None:
        self._sizes: OrderedDict[int, int] = OrderedDict()
        self._ended = 0  # blocks of ended sessions, all told
        self._ended_before: dict[int, int] = {}  # the same when a session was used last

    def distance(self, session: int) -> int:
        """Blocks of other texts that were used since the session was."""
        between = self._ended - self._ended_before[session]
        for other in reversed(self._sizes):
            if other == session:
                break
            between += self._sizes[other]
        return between

    def use(self, session: int, blocks: int) -> None:
        """The session's text is used now, and has so many blocks."""
        self._sizes[session] = blocks
        self._sizes.move_to_end(session)
        self._ended_before[session] = self._ended

    def size(self, session: int) -> int:
        """Blocks of the session's text when it was used last."""
        return self._sizes[session]

    def end(self, session: int, left: int | None = None) -> None:
        """What the session has will not be used again; or all but the first blocks, with which it goes on."""
        if left is None:
            self._ended += self._sizes.pop(session)
            del self._ended_before[session]
            return
        self._ended += max(self._sizes[session] - left, 0)
        self._sizes[session] = min(self._sizes[session], left)


@dataclass(slots=True)
class _Slot:
    """A trace at work."""

    session: int
    plans: Iterator[PlannedRequest]
    plan: PlannedRequest


class _Decode:
    """Answers that are given together, a token each in every step; who comes in the middle of a step joins the next."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._since = 0.0  # when those who are there were all there
        self._steps = 0  # done until then, all told
        self._step_s = 0.0
        self._answers: list[tuple[int, int, _Slot]] = []  # with the step that ends each
        self._joining: list[tuple[int, _Slot]] = []
        self._order = 0

    @property
    def busy(self) -> bool:
        """Whether any answer is under way."""
        return bool(self._answers or self._joining)

    def join(self, now: float, steps: int, slot: _Slot) -> None:
        """An answer that takes so many steps begins with the next one."""
        self._joining.append((steps, slot))
        if not self._answers:
            self._begin(now)

    def next_change(self, now: float) -> float:
        """The next end of a step at which an answer ends or begins."""
        if not self._answers:
            return inf
        steps = self._answers[0][0] - self._steps
        if self._joining:
            steps = min(steps, self._until(now))
        return self._since + steps * self._step_s

    def _until(self, now: float) -> int:
        """Steps from `_since` until the end of the one that is under way."""
        return max(ceil((now - self._since - SAME_S) / self._step_s), 1)

    def change(self, boundary: float) -> list[_Slot]:
        """What ended at the end of a step; the others go on with those who joined."""
        self._steps += round((boundary - self._since) / self._step_s)
        ended = []
        while self._answers and self._answers[0][0] <= self._steps:
            ended.append(heappop(self._answers)[2])
        self._begin(boundary)
        return ended

    def _begin(self, now: float) -> None:
        for steps, slot in self._joining:
            self._order += 1
            heappush(self._answers, (self._steps + steps, self._order, slot))
        self._joining.clear()
        self._since = now
        self._step_s = self._pace.answer_step_s + self._pace.step_per_request_s * (len(self._answers) - 1)


@dataclass(slots=True)
class _ClosedLoop:
    """Slots that take the traces in order, and a server that computes one prompt at a time."""

    traces: Sequence[Trace]
    concurrency: int
    pace: Pace
    cache_tokens: float
    now: float = 0.0
    prompt_tokens: int = 0
    hit_tokens: int = 0
    starts_s: list[float] = field(default_factory=list)
    ends_s: list[float] = field(default_factory=list)
    _held: int = 0
    _steps: list[tuple[float, int]] = field(default_factory=list)  # instants and tokens held from then on
    _recency: _Recency = field(default_factory=_Recency)
    _due: list[tuple[float, int, Callable[[_Slot], None], _Slot]] = field(default_factory=list)
    _order: int = 0
    _queue: deque[_Slot] = field(default_factory=deque)  # requests whose prompts are not computed yet
    _computing: bool = False
    _capacity: float = field(init=False)  # blocks
    _decode: _Decode = field(init=False)

    def __post_init__(self) -> None:
        self._decode = _Decode(self.pace)
        self._capacity = inf if self.cache_tokens == inf else self.cache_tokens // self.pace.block_tokens

    def run(self) -> None:
        """Until the last trace has ended."""
        for _ in range(self.concurrency):
            self._next_trace()
        while self._due or self._decode.busy:
            boundary = self._decode.next_change(self.now)
            if self._due and self._due[0][0] <= boundary + SAME_S:
                self.now, _, happens, slot = heappop(self._due)
                happens(slot)
                continue
            self.now = boundary
            for slot in self._decode.change(boundary):
                self._end(slot)

    def _later(self, after_s: float, happens: Callable[[_Slot], None], slot: _Slot) -> None:
        heappush(self._due, (self.now + after_s, self._order, happens, slot))
        self._order += 1

    def _next_trace(self) -> None:
        session = len(self.starts_s)
        if session < len(self.traces):
            self.starts_s.append(self.now)
            self.ends_s.append(inf)
            plans = self.traces[session].requests()
            self._later(self.pace.overhead_s, self._send, _Slot(session, plans, next(plans)))

    def _send(self, slot: _Slot) -> None:
        self._queue.append(slot)
        self._compute()

    def _compute(self) -> None:
        """Begin with the first prompt in the queue, when none is being computed."""
        if self._computing or not self._queue:
            return
        self._computing = True
        slot = self._queue.popleft()
        plan = slot.plan
        prompt = plan.cached_prompt_tokens + plan.new_prompt_tokens
        cached = self._found(slot.session, prompt) if plan.cached_prompt_tokens else 0
        self.prompt_tokens += prompt
        self.hit_tokens += cached
        self._later((prompt - cached) / self.pace.prompt_tok_s, self._answer, slot)

    def _found(self, session: int, prompt_tokens: int) -> int:
        """Tokens of a prompt that the cache still holds: whole blocks, and never the whole prompt."""
        block = self.pace.block_tokens
        left = self._capacity - self._recency.distance(session)
        return int(min(max(left, 0), self._recency.size(session), (prompt_tokens - 1) // block)) * block

    def _answer(self, slot: _Slot) -> None:
        """A prompt is computed, and the cache holds it."""
        plan = slot.plan
        prompt = plan.cached_prompt_tokens + plan.new_prompt_tokens
        self._recency.use(slot.session, prompt // self.pace.block_tokens)
        self._hold(plan.new_prompt_tokens)
        self._computing = False
        if plan.completion_tokens == 1:
            self._end(slot)
        else:
            self._decode.join(self.now, plan.completion_tokens - 1, slot)
        self._compute()

    def _end(self, slot: _Slot) -> None:
        """An answer ended: the session waits for its tool, or its slot takes the next trace."""
        plan = slot.plan
        tokens = plan.cached_prompt_tokens + plan.new_prompt_tokens + plan.completion_tokens
        # The last token was sampled, and never computed.
        self._recency.use(slot.session, (tokens - 1) // self.pace.block_tokens)
        following = next(slot.plans, None)
        if following is None:
            self._recency.end(slot.session)
            self._hold(plan.completion_tokens - tokens)
            self.ends_s[slot.session] = self.now
            self._next_trace()
            return
        lost = max(tokens - following.cached_prompt_tokens, 0)  # by a reset of the context
        if lost:
            self._recency.end(slot.session, following.cached_prompt_tokens // self.pace.block_tokens)
        self._hold(plan.completion_tokens - lost)
        slot.plan = following
        self._later(following.wait_s + self.pace.overhead_s, self._send, slot)

    def _hold(self, tokens: int) -> None:
        self._held += tokens
        self._steps.append((self.now, self._held))

    def held(self) -> Held:
        """Over the time from a fifth of the way to the last start, while all slots have a trace."""
        times, tokens = (np.array(column, dtype=np.float64) for column in zip(*self._steps, strict=True))
        since, until = self.starts_s[-1] / 5, self.starts_s[-1]
        if until == 0.0:
            since, until = 0.0, self.now
        lasts = np.diff(np.clip(np.append(times, self.now), since, until))
        if not lasts.sum():
            lasts = np.ones_like(tokens)
        order = np.argsort(tokens)
        shares = np.cumsum(lasts[order]) / lasts.sum()
        at_p95 = order[min(int(np.searchsorted(shares, 0.95)), len(order) - 1)]
        return Held(float((tokens * lasts).sum() / lasts.sum()), float(tokens[at_p95]), float(tokens[lasts > 0].max()))


def to_json(of: Demand) -> dict[str, Any]:
    """The numbers as plain values."""
    return {
        "concurrency": of.concurrency,
        "traces": of.traces,
        "assumed_prompt_tok_s": of.pace.prompt_tok_s,
        "assumed_answer_step_s": of.pace.answer_step_s,
        "assumed_step_per_request_s": of.pace.step_per_request_s,
        "kv_tokens_mean": of.whole.held.mean,
        "kv_tokens_p95": of.whole.held.p95,
        "kv_tokens_max": of.whole.held.max,
        "ideal_hit_rate": of.whole.hit_rate,
        "knee_cache_tokens": of.knee_tokens,
        "hit_rate_by_cache_tokens": [list(point) for point in of.curve],
    }
