"""A model closer to engines with continuous batching: prefill in chunks, in the same steps as decode.

A step takes

    decode_base_s + decode_per_request_s * (n - 1) + p / prefill_tok_s + decode_per_context_token_s * k

where `n` requests decode in it, which have `k` tokens of context together, and `p` tokens of prompts are computed. Of
the `step_tokens` of a step, decode has its tokens first; what is left goes to prompts in order of arrival, to the last
one in part. The step in which a prompt ends yields the request's first token.

Memory for KV holds `cache_blocks` blocks: those that requests in a slot need, and beside them what earlier ones left,
as the prefix cache. A request gets a slot when its whole prompt fits. When an answer needs one more block and there is
none, the last request that got a slot loses it, goes back to the head of the queue, and computes its prompt and answer
again, but for what the cache still holds of them.

Theory of operation. Everything happens at ends of steps; a step begins at once while anybody holds a slot. While
nothing but decode goes on and nobody comes or goes, the contexts grow by the same number of tokens in each step, so
that the end of step `m` is a sum in closed form (`trie.sim.steps`). In virtual time these steps are passed over, as
`trie.sim.timing` has it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush
from math import floor, inf
from typing import Any

from trie.config import SimConfig
from trie.sim.jobs import Emission, Job
from trie.sim.kv_memory import KvMemory
from trie.sim.prefix_cache import Cache
from trie.sim.scheduler import Scheduler
from trie.sim.steps import Steps


class ChunkedModel(Scheduler):
    """Prefill in chunks within the steps of decode."""

    def __init__(self, config: SimConfig, cache: Cache | None = None, *, every_step: bool = True) -> None:
        super().__init__(config, cache, every_step=every_step)
        self.running: dict[Job, None] = {}  # hold a slot, in the order in which they got it
        self._prefilling: dict[Job, None] = {}  # those of them whose prompt is not computed yet
        self._memory = KvMemory(config, self.cache)
        self._ends: list[tuple[int, int, Job]] = []  # heap: number of the step of a job's last token, order, job
        self._order = 0
        self._free_at = 0.0  # since when nothing but a lack of requests keeps the next step from starting
        self._changed = False  # a request left in mid-step: the next step is another one
        self._head_tried = False  # the head of the queue does not fit, and will not while nothing changes
        self._steps = Steps(per_token_s=config.decode_per_context_token_s)  # since the batch last changed
        self._prefill = 0  # tokens of prompts in the step
        self._step, self._step_end = 0, inf  # the next end of a step that is an event
        self._noted = 0  # number of the last step whose time was noted

    @property
    def active(self) -> int:
        return len(self.running)

    def next_event_at(self) -> float:
        return min(self._step_end, self._start())

    def submit(self, arrived: float, job: Job) -> None:
        super().submit(arrived, job)
        if self._step_end < inf and len(self.waiting) == 1:
            self._head_tried = False
            self._aim(self._first_end(self.waiting[0][0], self._step))

    def cancel(self, now: float, job: Job) -> None:
        if job.done:
            return
        job.done = True
        if job not in self.running:
            self.waiting = deque(item for item in self.waiting if item[1] is not job)
        passed = self._passed(now)
        if job in self.running:
            self._memory.settle(passed + 1)
            self._note_progress(job, passed)
            self._release(job, passed + 1)
        if self.running:
            self._changed = True
            self._aim(min(self._step, passed + 1))
        elif self._step_end < inf:
            self._steps.first, self._step_end, self._free_at = passed, inf, now

    def _start(self) -> float:
        """When the first step of an idle engine begins."""
        if self._step_end < inf or not self.waiting:
            return inf
        return max(self._free_at, self.waiting[0][0])

    def _event(self, now: float, out: list[Emission]) -> bool:
        at, start = self._step_end, self._start()
        if min(at, start) > now or min(at, start) == inf:
            return False
        if start < at:
            self._now = start
            self._begin(start, self._steps.first)
        else:
            self._now = at
            self._end_step(at, out)
        return True

    def _end_step(self, at: float, out: list[Emission]) -> None:
        """Tokens leave, and the next step begins: another one, or one more of the same."""
        number = self._step
        self._memory.settle(number)
        self._note_longest(number)
        left = self._decoded(at, number, out) + self._prefilled(at, number, out)
        for job in left:
            job.done = True
            self._release(job, number)
        changed = bool(left or self._prefill or self._changed)
        if changed or self._head_fits(at, number + 1) or self._memory.room(number + 1) < 0:
            self._begin(at, number)
        else:
            self._head_tried = True
            self._aim(self._next_change(at, number))

    def _decoded(self, at: float, number: int, out: list[Emission]) -> list[Job]:
        """One step's tokens of those that decode, or all that are left of those that end; the latter."""
        if self._every_step:
            decoding = [job for job in self.running if job not in self._prefilling]
            return [job for job in decoding if self._emit(at, job, self.config.tokens_per_chunk, out)]
        left = []
        while self._next_end() == number:
            job = heappop(self._ends)[2]
            job.max_gap_s = max(job.max_gap_s, self._longest_step(job.joined))
            self._emit(at, job, job.max_tokens, out)
            left.append(job)
        return left

    def _prefilled(self, at: float, number: int, out: list[Emission]) -> list[Job]:
        """Prompts have got further; those that end yield a token, and those that end with it."""
        if not self._prefill:
            return []
        left = []
        for job in [job for job in self._prefilling if job.chunk]:
            job.to_compute -= job.chunk
            job.chunk = 0
            if job.to_compute:
                continue
            del self._prefilling[job]
            self._memory.computed(job, self._blocks(job), number)
            if job.generated:
                job.max_gap_s = max(job.max_gap_s, at - job.last_at)
            job.joined = number
            if self._emit(at, job, 1, out):
                left.append(job)
                continue
            job.joined_with = job.generated
            steps = -((job.generated - job.max_tokens) // self.config.tokens_per_chunk)
            heappush(self._ends, (number + steps, job.order, job))
        return left

    def _begin(self, at: float, number: int) -> None:
        """Plan the step after number `number`, which ended at `at`: who decodes, which prompts go on, who comes."""
        preempted = False
        while self._memory.room(number + 1) < 0:
            self._preempt(at, number)
            preempted = True
        self._memory.settle(number + 1)
        decoding = self._memory.decoding
        budget = self.config.step_tokens - decoding.count * self.config.tokens_per_chunk
        left = budget
        for job in self._prefilling:
            job.chunk = min(job.to_compute, left)
            left -= job.chunk
        self._head_tried = not preempted
        if not preempted:
            left = self._admit(at, number, left)
        self._steps.epoch, self._steps.first, self._noted, self._changed = at, number, number, False
        if not self.running:
            self._step_end, self._free_at = inf, at
            return
        self._prefill = budget - left
        self._plan_times(number)
        self._aim(self._next_change(at, number))

    def _plan_times(self, number: int) -> None:
        """How long the steps after number `number` are."""
        config, decoding, steps = self.config, self._memory.decoding, self._steps
        batch_s = config.decode_base_s + config.decode_per_request_s * (decoding.count - 1)
        steps.flat_s = max(batch_s, 0.0) + self._prefill / config.prefill_tok_s
        steps.context = decoding.tokens(number) + decoding.count
        steps.growth = decoding.count * config.tokens_per_chunk

    def _admit(self, at: float, number: int, budget: int) -> int:
        """Give slots to the first in the queue, as long as there is room; what is left of the step's tokens."""
        while budget and self._head_fits(at, number + 1):
            job = self.waiting.popleft()[1]
            tokens, blocks = job.prompt_tokens + job.generated, self._blocks(job)
            if not job.order:
                self._count_start(at, job)
            hits = self.cache.cached_tokens(blocks, tokens)
            self._order += 1
            job.order, job.to_compute = self._order, tokens - hits
            job.chunk = min(job.to_compute, budget)
            budget -= job.chunk
            self.running[job] = self._prefilling[job] = None
            self._memory.enter(job, self.cache.head(blocks, hits // self.config.block_tokens), number + 1)
        return budget

    def _preempt(self, at: float, number: int) -> None:
        """The last that got a slot loses it, and is the first in the queue."""
        job = next(reversed(self.running))
        self._note_progress(job, number)
        self._release(job, number)
        job.to_compute = job.chunk = 0
        self.waiting.appendleft((at, job))
        self.tally.preemptions += 1

    def _next_change(self, at: float, number: int) -> int:
        """The number of the next step whose end is an event, step `number` having ended at `at`."""
        if self._every_step or self._prefill:
            return number + 1
        nearest = self._next_end()
        if self.waiting and not (self._head_tried and self.waiting[0][0] <= at):
            nearest = max(self._first_end(self.waiting[0][0], nearest), number + 1)
        room = self._memory.room(number + 1)
        per_step = self.config.tokens_per_chunk / self.config.block_tokens
        steps = floor((room / self._memory.decoding.count - 1) / per_step)  # each may take a block more than it fills
        return min(nearest, number + max(steps, 1))

    def _aim(self, number: int) -> None:
        """The end of step `number` is the next one that is an event."""
        self._step, self._step_end = number, self._steps.end(number)

    def _passed(self, at: float) -> int:
        """The number of the last step that ended by `at`."""
        return self._step - 1 if self._every_step else self._steps.last_ended(at, self._step)

    def _first_end(self, at: float, most: int) -> int:
        """The number of the first step that ends at `at` or later; at most `most`."""
        return self._step if self._every_step else self._steps.first_ending(at, most)

    def _next_end(self) -> int:
        """The number of the step in which the next request ends; one that no step has where none decodes."""
        while self._ends and (self._ends[0][1] != self._ends[0][2].order or self._ends[0][2] not in self.running):
            heappop(self._ends)
        return self._ends[0][0] if self._ends else 1 << 62

    def _generated(self, job: Job, number: int) -> int:
        """Tokens that a request has got by the end of step `number`."""
        if job.to_compute:
            return job.generated
        return min(job.joined_with + (number - job.joined) * self.config.tokens_per_chunk, job.max_tokens)

    def _note_progress(self, job: Job, passed: int) -> None:
        """What a request has got by the end of step `passed`, in which it did not end."""
        if job.to_compute:
            return
        self._note_longest(passed)
        if passed > job.joined and not self._every_step:
            job.max_gap_s = max(job.max_gap_s, self._longest_step(job.joined))
            tokens = self._generated(job, passed) - job.generated
            job.generated += tokens
            self.tally.generated_tokens += tokens
        job.last_at = self._steps.end(passed)

    def _note_longest(self, number: int) -> None:
        """Note the longest step since the last time: contexts grow, so it is the last."""
        if number > self._noted and not self._every_step:
            self._note_step(self._noted, self._steps.end(number) - self._steps.end(number - 1))
            self._noted = number

    def _blocks(self, job: Job) -> Sequence[Any]:
        """The whole blocks of what must be computed for a request's next token."""
        return job.computed(self.config.block_tokens) or job.blocks

    def _head_fits(self, at: float, number: int) -> bool:
        """Whether the first in the queue is ready, and there are a slot and memory for it beside step `number`."""
        if not self.waiting or self.waiting[0][0] > at or len(self.running) >= self.config.max_running:
            return False
        return self._memory.fits(self.waiting[0][1], number)

    def _release(self, job: Job, number: int) -> None:
        """A request leaves its slot in step `number`."""
        del self.running[job]
        self._prefilling.pop(job, None)
        self._memory.leave(job, number)
