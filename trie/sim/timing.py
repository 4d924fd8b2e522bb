"""A pure model of an inference server: given arrivals, it says when each token leaves. No clock, no I/O.

One prompt is prefilled at a time, in order of arrival, at `prefill_tok_s`; what the prefix cache holds costs nothing.
The end of a prefill yields the first token. Running requests then share decode steps of
`decode_base_s + decode_per_request_s * (batch - 1)`; a request joins at the next step's start. Prefill and decode run
side by side. At most `max_running` requests are past the queue. docs/simulator.md states this in closed form.

Theory of operation. Every start and end is an event with its own instant, which follows from the arrivals alone: a
caller that asks late gets the same instants, so its lateness never adds up. Steps are numbered through the life of the
model. While the batch stays as it is all steps are equally long, so step `n` ends at

    epoch + (n - first) * step

where `epoch` is the instant at which the batch last changed, `first` the number of the step that ended then. A server
in real time asks for every step (`every_step`): tokens leave at its end. In virtual time nothing but a change of the
batch is an event, and the steps between two changes cost no work. Both use this one formula, so their instants are
the same floating-point numbers.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from math import floor, inf

from trie.config import SimConfig
from trie.sim.jobs import Emission, Job
from trie.sim.prefix_cache import Cache
from trie.sim.scheduler import Scheduler


class Model(Scheduler):
    """Prefill beside decode."""

    def __init__(self, config: SimConfig, cache: Cache | None = None, *, every_step: bool = True) -> None:
        super().__init__(config, cache, every_step=every_step)
        self.running: dict[Job, None] = {}  # in the current decode step, in the order in which they joined
        self._joining: list[Job] = []  # prefilled since it began
        self._prefilling: Job | None = None
        self._prefill_end = inf
        self._free_at = 0.0  # since when nothing but a lack of requests keeps the next prefill from starting
        self._epoch, self._first, self._step_s = 0.0, 0, 0.0
        self._step = 0  # number of the step whose end is the next event, at
        self._step_end = inf
        self._changed = False  # a request left in mid-step: the next step is another one
        self._ends: list[tuple[int, int, Job]] = []  # heap: number of the step of a job's last token, order, job
        self._order = 0

    @property
    def active(self) -> int:
        """Requests that hold a slot."""
        return len(self.running) + len(self._joining) + (self._prefilling is not None)

    def cancel(self, now: float, job: Job) -> None:
        """The client is gone: its slot is free at once, and what was computed for it stays in the cache."""
        if job.done:
            return
        if job is self._prefilling:
            self._prefilling, self._prefill_end = None, inf
            self._free_at = now
        elif job in self.running or job in self._joining:
            self._free_slot(now)
            self._drop(now, job)
        else:
            self.waiting = deque(item for item in self.waiting if item[1] is not job)
        self._leave(job)

    def next_event_at(self) -> float:
        """When `advance` has something to do; infinity when idle."""
        return min(self._prefill_end, self._step_end, self._prefill_start())

    def _event(self, now: float, out: list[Emission]) -> bool:
        """The next event, if it is not after `now`; of those at one instant, prefills end first and begin last."""
        at, handle = self._prefill_end, self._end_prefill
        if self._step_end < at:
            at, handle = self._step_end, self._end_step
        if self._prefilling is None and self.waiting and (start := self._prefill_start()) < at:
            at, handle = start, self._begin_prefill
        if at > now or at == inf:
            return False
        self._now = at
        handle(at, out)
        return True

    def _prefill_start(self) -> float:
        """When the first in the queue gets the prefill unit and a slot, as far as that is known."""
        if self._prefilling is not None or not self.waiting or self.active >= self.config.max_running:
            return inf
        ready = self.waiting[0][0]
        return max(self._free_at, ready)

    def _begin_prefill(self, at: float, out: list[Emission]) -> None:  # noqa: ARG002 - as all events
        job = self.waiting.popleft()[1]
        self._count_start(at, job)
        self._prefilling = job
        self._prefill_end = at + (job.prompt_tokens - job.cached_tokens) / self.config.prefill_tok_s

    def _end_prefill(self, at: float, out: list[Emission]) -> None:
        job = self._prefilling
        assert job is not None
        self._prefilling, self._prefill_end, self._free_at = None, inf, at
        self.cache.insert(job.blocks)
        if self._emit(at, job, 1, out):
            self._leave(job)
            return
        self._joining.append(job)
        if self._step_end == inf:
            self._begin_batch(at, self._first)
        elif not self._every_step:
            self._await(min(self._step, self._ended(at, before=True) + 1))

    def _begin_batch(self, at: float, number: int) -> None:
        """The batch is another one from `at` on, when step `number` ended: whoever was prefilled joins."""
        batch = len(self.running) + len(self._joining)
        self._epoch, self._first, self._changed = at, number, False
        self._step_s = self.config.decode_base_s + self.config.decode_per_request_s * (batch - 1)
        for job in self._joining:
            self.running[job] = None
            job.joined, job.first_gap_s = number, at + self._step_s - job.first_at
            if not self._every_step:
                steps = -((1 - job.max_tokens) // self.config.tokens_per_chunk)
                self._order += 1
                heappush(self._ends, (number + steps, self._order, job))
        self._joining = []
        if not batch:
            self._step_end = inf
            return
        if not self._every_step:
            self._note_step(number, self._step_s)
        self._await(number + 1 if self._every_step else self._next_end())

    def _await(self, number: int) -> None:
        """The end of step `number` is the next one that is an event."""
        self._step = number
        self._step_end = self._epoch + (number - self._first) * self._step_s

    def _end_step(self, at: float, out: list[Emission]) -> None:
        number = self._step
        left = self._emit_step(at, out) if self._every_step else self._emit_ends(at, number, out)
        if left:
            self._free_slot(at)
            for job in left:
                del self.running[job]
                self._leave(job)
        if left or self._joining or self._changed:
            self._begin_batch(at, number)
        else:
            self._await(number + 1 if self._every_step else self._next_end())

    def _emit_step(self, at: float, out: list[Emission]) -> list[Job]:
        """One step's tokens of the whole batch; those that have ended with it."""
        return [job for job in self.running if self._emit(at, job, self.config.tokens_per_chunk, out)]

    def _emit_ends(self, at: float, number: int, out: list[Emission]) -> list[Job]:
        """All tokens that are left of the requests that end with step `number`."""
        left = []
        while self._ends and self._ends[0][0] == number:
            job = heappop(self._ends)[2]
            if not job.done:
                job.max_gap_s = self._longest_gap(job)
                self._emit(at, job, job.max_tokens, out)
                left.append(job)
        return left

    def _next_end(self) -> int:
        """The number of the step in which the next request ends."""
        while self._ends[0][2].done:
            heappop(self._ends)
        return self._ends[0][0]

    def _ended(self, at: float, *, before: bool = False) -> int:
        """The number of the last step that ended by `at`, or `before` it, while the batch stays as it is."""
        if self._every_step:
            return self._step - 1
        if not self._step_s:
            return self._first
        epoch, step_s = self._epoch, self._step_s
        steps = max(floor((at - epoch) / step_s), 0)
        while epoch + (steps + 1) * step_s < at or (not before and epoch + (steps + 1) * step_s == at):
            steps += 1
        while steps and (epoch + steps * step_s > at or (before and epoch + steps * step_s == at)):
            steps -= 1
        return self._first + steps

    def _longest_gap(self, job: Job) -> float:
        """The longest between two chunks of a job that shared steps until now."""
        return max(job.first_gap_s, self._longest_step(job.joined))

    def _drop(self, now: float, job: Job) -> None:
        """Take a cancelled request out of the batch; the step under way goes on as it is."""
        ended = self._ended(now)
        job.last_at = job.first_at
        if job in self._joining:
            self._joining.remove(job)
        else:
            del self.running[job]
            self._changed = True
            if not self._every_step:
                self._note_progress(job, ended)
        if not self.running and not self._joining:
            self._first, self._step_end = ended, inf
        elif not self._every_step:
            self._await(min(self._step, ended + 1))

    def _note_progress(self, job: Job, ended: int) -> None:
        """What a request has got by the end of step `ended`, in which it did not end."""
        steps = ended - job.joined
        tokens = steps * self.config.tokens_per_chunk
        job.generated += tokens
        self.tally.generated_tokens += tokens
        if steps:
            job.last_at = self._epoch + (ended - self._first) * self._step_s
            job.max_gap_s = self._longest_gap(job) if steps > 1 else job.first_gap_s

    def _free_slot(self, at: float) -> None:
        """Note when a full batch gets a free slot, if that is what the queue waits for; call it before the change."""
        if self.active >= self.config.max_running:
            self._free_at = max(self._free_at, at)

    def _leave(self, job: Job) -> None:
        """Hold a leaving job's KV."""
        job.done = True
        computed = job.computed(self.config.block_tokens)
        if computed:
            self.cache.insert(computed)
