"""A closed loop on paper, in which a prefix cache is known by the distances between its uses.

Theory of operation. The traces are replayed in a closed loop on paper: one prompt after the other is computed at an
assumed speed, answers come at another, and a tool takes as long as it did. Under least-recently-used eviction, tails
before heads, what is left of a session's text when the session comes back depends on one number, its reuse distance:
the tokens of all other texts that were used since (Mattson's stack, 1970). A cache of K tokens still holds
`K - distance` of the session's own tokens, at least none and at most all; no cache has to be simulated block by block.
The distances themselves depend on K where prompts queue: what is not found has to be computed, the queue grows, and
others come in between. So there is one pass for each size of the cache.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import ceil, inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trie.workload.recency import Recency
from trie.workload.trace import PlannedRequest, Trace

Floats = NDArray[np.float64]
SAME_S = 1e-9  # instants as near as this are one: a request that comes as a step ends joins the next one


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

    @classmethod
    def over(cls, times: Floats, tokens: Floats, since: float, until: float) -> Held:
        """Between two instants, of the tokens that are held from each of the times, in order, until the next one."""
        lasts = np.diff(np.clip(np.append(times, until), since, until))
        if not lasts.sum():
            lasts = np.ones_like(tokens)
        order = np.argsort(tokens)
        shares = np.cumsum(lasts[order]) / lasts.sum()
        at_p95 = order[min(int(np.searchsorted(shares, 0.95)), len(order) - 1)]
        return cls(float((tokens * lasts).sum() / lasts.sum()), float(tokens[at_p95]), float(tokens[lasts > 0].max()))


@dataclass(slots=True)
class _Slot:
    """A trace at work, or a sub-agent of one."""

    session: int
    plans: Iterator[PlannedRequest]
    plan: PlannedRequest
    prefix: Hashable  # names the text that it shares with others; None: there is none
    prefix_tokens: int
    parent: _Slot | None
    waits_for: int = 0  # sub-agents that are at work


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
class ClosedLoop:
    """Slots that take the traces in order, and a server that computes one prompt at a time."""

    traces: Sequence[Trace]
    concurrency: int
    pace: Pace
    cache_tokens: float
    until_s: float = inf
    now: float = 0.0
    prompt_tokens: int = 0
    hit_tokens: int = 0
    starts_s: list[float] = field(default_factory=list)
    ends_s: list[float] = field(default_factory=list)
    _sessions: int = 0
    _held: int = 0
    _prefixes: dict[Hashable, tuple[int, int]] = field(default_factory=dict)  # active traces with one, and its tokens
    _steps: list[tuple[float, int]] = field(default_factory=list)  # instants and tokens held from then on
    _recency: Recency = field(default_factory=Recency)
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
        """Until the last trace has ended, or until the deadline."""
        for _ in range(self.concurrency):
            self._next_trace()
        while self._due or self._decode.busy:
            boundary = self._decode.next_change(self.now)
            due = self._due[0][0] if self._due else inf
            if min(boundary, due) > self.until_s:
                self.now = self.until_s
                return
            if due <= boundary + SAME_S:
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
        number = len(self.starts_s)
        if number < len(self.traces):
            self.starts_s.append(self.now)
            self.ends_s.append(inf)
            self._begin(self.traces[number], None, number)

    def _begin(self, trace: Trace, parent: _Slot | None, number: int) -> None:
        """A trace begins, number `number` of those that have no parent."""
        plans = trace.requests()
        plan = next(plans)
        prefix = ("prefix", trace.shared_prefix_id) if plan.shared_tokens else None
        slot = _Slot(number, plans, plan, prefix, plan.shared_tokens, parent)
        if parent is not None:
            self._sessions += 1
            slot.session = -self._sessions
        self._later(self.pace.overhead_s, self._send, slot)

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
        prompt = plan.prompt_tokens
        cached = self._found(slot, prompt)
        self.prompt_tokens += prompt
        self.hit_tokens += cached
        self._later((prompt - cached) / self.pace.prompt_tok_s, self._answer, slot)

    def _found(self, slot: _Slot, prompt_tokens: int) -> int:
        """Tokens of a prompt that the cache still holds: whole blocks, and never the whole prompt."""
        block = self.pace.block_tokens
        prefix = slot.prefix_tokens // block
        hits = min(self._recency.held(slot.prefix, self._capacity), prefix) if prefix else 0
        if hits == prefix:
            hits += self._recency.held(slot.session, self._capacity)
        return int(min(hits, (prompt_tokens - 1) // block)) * block

    def _use(self, slot: _Slot, tokens: int) -> None:
        """The first tokens of a session's text are used, and what it shares with others as the last."""
        block = self.pace.block_tokens
        prefix = slot.prefix_tokens // block
        self._recency.use(slot.session, tokens // block - prefix)
        if prefix:
            self._recency.use(slot.prefix, max(prefix, self._recency.size(slot.prefix)))

    def _answer(self, slot: _Slot) -> None:
        """A prompt is computed, and the cache holds it."""
        plan = slot.plan
        self._use(slot, plan.prompt_tokens)
        self._hold(plan.new_prompt_tokens - (self._hold_prefix(slot) if plan.shared_tokens else 0))
        self._computing = False
        if plan.completion_tokens == 1:
            self._end(slot)
        else:
            self._decode.join(self.now, plan.completion_tokens - 1, slot)
        self._compute()

    def _end(self, slot: _Slot) -> None:
        """An answer ended: the session waits for its tool, or its slot takes the next trace."""
        plan = slot.plan
        tokens = plan.prompt_tokens + plan.completion_tokens
        self._use(slot, tokens - 1)  # the last token was sampled, and never computed
        following = next(slot.plans, None)
        if following is None:
            self._recency.end(slot.session)
            self._hold(plan.completion_tokens - tokens + self._release_prefix(slot))
            self._leave(slot)
            return
        lost = max(tokens - following.cached_prompt_tokens, 0)  # by a reset of the context, or with the reasoning
        if lost:
            block, stays = self.pace.block_tokens, following.cached_prompt_tokens
            self._recency.end(slot.session, max(stays // block - slot.prefix_tokens // block, 0))
            lost -= self._cut_prefix(slot, stays)
        self._hold(plan.completion_tokens - lost)
        slot.plan = following
        if not following.waits_for:
            self._later(following.wait_s + self.pace.overhead_s, self._send, slot)
            return
        slot.waits_for = len(following.waits_for)
        for child in following.waits_for:
            self._begin(child, slot, slot.session)

    def _leave(self, slot: _Slot) -> None:
        """A trace has ended: its slot takes the next one; a parent goes on behind the last of its sub-agents."""
        parent = slot.parent
        if parent is None:
            self.ends_s[slot.session] = self.now
            self._next_trace()
            return
        parent.waits_for -= 1
        if not parent.waits_for:
            self._later(self.pace.overhead_s, self._send, parent)

    def _hold_prefix(self, slot: _Slot) -> int:
        """A trace holds its shared prefix from now on: the tokens of it that another one holds already."""
        users, tokens = self._prefixes.get(slot.prefix, (0, 0))
        self._prefixes[slot.prefix] = users + 1, max(tokens, slot.prefix_tokens)
        return min(tokens, slot.prefix_tokens)

    def _release_prefix(self, slot: _Slot) -> int:
        """A trace lets go of its shared prefix: the tokens of it that others still hold, less what goes with it."""
        if slot.prefix is None:
            return 0
        users, tokens = self._prefixes.pop(slot.prefix)
        if users == 1:
            return slot.prefix_tokens - tokens
        self._prefixes[slot.prefix] = users - 1, tokens
        return slot.prefix_tokens

    def _cut_prefix(self, slot: _Slot, stays: int) -> int:
        """A conversation goes on with the first tokens alone: those of its shared prefix that it has no longer."""
        gone = max(slot.prefix_tokens - stays, 0)
        slot.prefix_tokens -= gone
        return gone

    def _hold(self, tokens: int) -> None:
        self._held += tokens
        self._steps.append((self.now, self._held))

    def held(self) -> Held:
        """Over the time from a fifth of the way to the last start, while all slots have a trace."""
        times, tokens = (np.array(column, dtype=np.float64) for column in zip(*self._steps, strict=True))
        since, until = self.starts_s[-1] / 5, self.starts_s[-1]
        if until == 0.0:
            since, until = 0.0, self.now
        return Held.over(times, tokens, since, until)
