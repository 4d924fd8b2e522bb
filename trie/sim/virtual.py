"""The embedded endpoint in virtual time: the same model, without a clock, a socket or a text.

Requests are told apart by the session that they belong to, and what each of them holds of it is counted. An answer is
described by its instants; nobody waits for them.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple
from zlib import crc32

from trie.config import SimConfig
from trie.sim.faults import NATURAL_TOKENS, STALL_S, Faults
from trie.sim.jobs import Job
from trie.sim.models import model_of
from trie.sim.prefix_cache import SessionCache

BROKEN = frozenset({"reset", "error_event"})  # faults that end a stream at its second chunk


class Prompt(NamedTuple):
    """A prompt by its place: the first tokens of a session's text, behind others such as a prefix that it shares."""

    session: Hashable
    tokens: int  # all of them
    heads: tuple[tuple[Hashable, int], ...] = ()  # the texts before it, each with the place at which it ends
    recited: bool = False  # the next prompt repeats this one, but not the answer to it

    def blocks(self, tokens: int, block_tokens: int) -> list[tuple[Hashable, int]]:
        """The whole blocks of the first `tokens` of the session; one with two texts in it belongs to the later one."""
        chain, before = [], 0
        for text, end in self.heads:
            if end // block_tokens > before:
                chain.append((text, end // block_tokens - before))
                before = end // block_tokens
        return [*chain, (self.session, tokens // block_tokens - before)]


@dataclass(slots=True, eq=False, kw_only=True)
class SessionJob(Job):
    """A job whose prompt and answer are known by their session alone."""

    prompt: Prompt
    fault: str | None
    finish: str

    def computed(self, block_tokens: int) -> Sequence[tuple[Hashable, int]]:
        prompt = self.prompt
        if self.generated < 2:
            return ()
        tokens = prompt.tokens + self.generated - 1
        if not prompt.recited:
            return prompt.blocks(tokens, block_tokens)
        answer = tokens // block_tokens - prompt.tokens // block_tokens
        return [*prompt.blocks(prompt.tokens, block_tokens), ((prompt.session, prompt.tokens), answer)]


class Reply(NamedTuple):
    """What a client saw of an answer until it ended or was cut off; None where it did not come to that."""

    end_s: float
    first_s: float | None = None
    last_s: float | None = None
    chunks: int = 0
    max_gap_s: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    finish: str | None = None


# The instants of the first and the last chunk, how many there were, the longest gap, and the end.
Seen = tuple[float | None, float | None, int, float | None, float]


class VirtualEndpoint:
    """Takes requests at any instant that is not before the last one, and says when their answers end."""

    def __init__(self, config: SimConfig, *, stream: bool = True) -> None:
        self.config = config
        self.model = model_of(config, SessionCache(config.cache_blocks, config.block_tokens), every_step=False)
        self._faults = Faults(config)
        self._stream = stream

    def fault(self) -> str | None:
        """What goes wrong with the next request; those of REFUSED and `disconnect` end it at once."""
        return self._faults.next()

    def ask(
        self, at: float, prompt: Prompt, max_tokens: int, *, fault: str | None, natural: bool = False
    ) -> SessionJob:
        """A request arrives.

        Args:
            at: its instant.
            prompt: which leaves room for an answer in `max_model_len`.
            max_tokens: asked for.
            fault: as `fault` said.
            natural: the answer may end by itself.
        """
        length, finish = self._length(prompt, max_tokens, natural=natural)
        if self._stream and fault in BROKEN:
            length = min(length, 1 + self.config.tokens_per_chunk)
        blocks = prompt.blocks(prompt.tokens, self.config.block_tokens)
        job = SessionJob(blocks, prompt.tokens, length, prompt=prompt, fault=fault, finish=finish)
        self.model.submit(at, job)
        return job

    def _length(self, prompt: Prompt, max_tokens: int, *, natural: bool) -> tuple[int, str]:
        """The answer's length and why it ends there, by the rule of the server in real time."""
        limit = min(max_tokens, self.config.max_model_len - prompt.tokens)
        if not natural:
            return limit, "length"
        within = min(limit, NATURAL_TOKENS)
        length = within - crc32(f"{self.config.seed} {prompt.tokens} {prompt.session}".encode()) % (within // 2 + 1)
        return length, "stop" if length < limit else "length"

    def until_end(self, now: float) -> list[SessionJob]:
        """The jobs that end at the next instant at which any does, if that is not after `now`."""
        return [event.job for event in self.model.until_end(now)]  # type: ignore[misc]

    def next_event_at(self) -> float:
        """When the model has something to do; infinity when idle."""
        return self.model.next_event_at()

    def cancel(self, now: float, job: SessionJob) -> None:
        """The client of a job is gone; everything until `now` must have happened."""
        self.model.cancel(now, job)

    def reply(self, job: SessionJob, until: float = inf) -> Reply:
        """What the client of a job that has ended, or was cancelled at `until`, saw of it."""
        first, last, chunks, gap, end = self._streamed(job, until) if self._stream else self._whole(job)
        if until < inf:
            return Reply(until, first, last, chunks, gap)
        fault, config = job.fault, self.config
        if fault in BROKEN or fault == "truncated":
            return Reply(end, first, last, chunks, gap)
        usage = config.report_usage and fault != "no_usage"
        return Reply(
            end,
            first,
            last,
            chunks,
            gap,
            job.prompt_tokens if usage else None,
            (0 if fault == "empty" else job.generated) if usage else None,
            job.cached_tokens if usage and config.report_cached_tokens else None,
            None if fault == "empty" and self._stream else job.finish,
        )

    def _streamed(self, job: SessionJob, until: float) -> Seen:
        """The chunks of a stream as a fault leaves them."""
        chunks = 1 - ((1 - job.generated) // self.config.tokens_per_chunk) if job.generated else 0
        first, last, gap, end = job.first_at, job.last_at, job.max_gap_s, job.last_at
        if job.fault in BROKEN and until == inf:
            chunks, last, gap = chunks - 1, first, 0.0  # the last of them was the break
        if job.fault == "stall" and chunks:
            resumed = first + STALL_S
            end = max(end, resumed)
            if until < resumed:
                chunks = 1
            last, gap = (first, 0.0) if chunks == 1 else (end, max(gap, STALL_S))
        if job.fault == "empty" or not chunks:
            return None, None, 0, None, end
        return first, last, chunks, gap if chunks > 1 else None, end

    def _whole(self, job: SessionJob) -> Seen:
        """An answer in one piece, which shows nothing before its end."""
        return None, None, 0, None, job.last_at + STALL_S if job.fault == "stall" else job.last_at
