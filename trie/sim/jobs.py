"""One request inside the model, what leaves for it, and what an engine counts."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from trie.config import SimConfig
from trie.sim.prefix_cache import chain


@dataclass(slots=True, eq=False)
class Job:
    """One request inside the model; times are seconds on the caller's clock."""

    blocks: Sequence[Any]  # the prompt's whole blocks, as the cache knows them
    prompt_tokens: int
    max_tokens: int
    tail: Sequence[Hashable] = ()  # the prompt's tokens after its last whole block
    answer: Sequence[Hashable] = ()  # what it will generate, for the prefix cache; empty: not kept
    generated: int = 0
    cached_tokens: int = 0  # known once its prefill has begun
    arrived: float = 0.0
    first_at: float = 0.0  # when its first token left
    last_at: float = 0.0  # when its last one did, once it has ended or been cancelled
    first_gap_s: float = 0.0  # from its first chunk to its second
    max_gap_s: float = 0.0  # the longest between two chunks; 0 while there is one at most
    joined: int = 0  # number of the step after which it shares steps
    joined_with: int = 0  # tokens that it had got by then
    order: int = 0  # in which it got its slot, counted from 1
    to_compute: int = 0  # tokens of its prompt that are still to be computed
    chunk: int = 0  # of them, those in the step under way
    pinned: Sequence[Any] = ()  # blocks that it keeps in the cache
    joined_tokens: int = 0  # of context, less the growth until then
    done: bool = False

    @classmethod
    def of(
        cls, tokens: Sequence[Hashable], max_tokens: int, config: SimConfig, answer: Sequence[Hashable] = ()
    ) -> Self:
        """The job of generating `max_tokens` after `tokens`."""
        blocks = chain(tokens, config.block_tokens)
        return cls(blocks, len(tokens), max_tokens, tail=tokens[len(blocks) * config.block_tokens :], answer=answer)

    def computed(self, block_tokens: int) -> Sequence[Any]:
        """The blocks of prompt and answer whose KV exists: the last token was sampled, but never computed."""
        answer = self.answer[: self.generated - 1] if self.generated else ()
        return chain([*self.tail, *answer], block_tokens, self.blocks) if answer else ()


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


@dataclass(slots=True)
class Tally:
    """What an engine counts: tokens, requests, and times as its histograms sum them."""

    prompt_tokens: int = 0
    generated_tokens: int = 0
    queries_tokens: int = 0  # prompt tokens looked up in the cache
    hit_tokens: int = 0
    finished: int = 0
    preemptions: int = 0
    queue_time: Span = field(default_factory=Span)  # arrival to prefill
    time_to_first_token: Span = field(default_factory=Span)
    inter_token_latency: Span = field(default_factory=Span)
    e2e_request_latency: Span = field(default_factory=Span)

    @property
    def spans(self) -> dict[str, Span]:
        """The times by the names that /metrics gives them."""
        names = ("queue_time", "time_to_first_token", "e2e_request_latency", "inter_token_latency")
        return {name: getattr(self, name) for name in names}
