"""Memory for KV in blocks: what running requests need of it, and what is left for the prefix cache.

A request needs blocks for all of its tokens. Those that are whole and computed are pinned in the cache, where other
requests find them; the others are its own. The cache has all the rest of the memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trie.config import SimConfig
from trie.sim.jobs import Job
from trie.sim.prefix_cache import Cache


class GrowingTexts:
    """Texts that all grow by the same number of tokens with each step, and the blocks that they need together."""

    def __init__(self, block_tokens: int, per_step: int) -> None:
        self._block = block_tokens
        self._per_step = per_step
        self.count = 0
        self._blocks = 0  # whole ones of all texts, at step 0
        self._rests = [0] * block_tokens  # how many texts have so many tokens beyond these
        self._tokens = 0

    def add(self, tokens: int, sign: int = 1) -> None:
        """A text that has so many tokens at step 0, where that may be less than none; -1 removes it."""
        blocks, rest = divmod(tokens, self._block)
        self.count += sign
        self._tokens += sign * tokens
        self._blocks += sign * blocks
        self._rests[rest] += sign

    def tokens(self, step: int) -> int:
        return self._tokens + self.count * self._per_step * step

    def blocks(self, step: int) -> int:
        """The blocks that the texts need at a step, each rounded up."""
        whole, rest = divmod(self._per_step * step, self._block)
        begun = self.count - (0 if rest else self._rests[0])
        second = sum(self._rests[self._block - rest + 1 :]) if rest else 0
        return self._blocks + self.count * whole + begun + second


class KvMemory:
    """The blocks of a model; `step` is the number of the step under way, or of the one that has just ended."""

    def __init__(self, config: SimConfig, cache: Cache) -> None:
        self.decoding = GrowingTexts(config.block_tokens, config.tokens_per_chunk)
        self._cache = cache
        self._total = config.cache_blocks
        self._block = config.block_tokens
        self._per_step = config.tokens_per_chunk
        self._prefilling = 0  # blocks of those that do not decode yet
        self._pinned = 0  # blocks that requests have in the cache, counted by each of them

    def room(self, step: int) -> int:
        """Blocks that no running request needs; below 0 there are too few."""
        return self._total - self._cache.pinned - self._own(step)

    def fits(self, job: Job, step: int) -> bool:
        """Whether a request that waits would find memory for all that it must compute."""
        return self._blocks(job) <= self.room(step)

    def settle(self, step: int) -> None:
        """Evict as much of the cache as step `step` needs."""
        self._update(step)
        self._cache.trim()

    def enter(self, job: Job, cached: Sequence[Any], step: int) -> None:
        """A request gets a slot; `cached` are the blocks that it need not compute."""
        self._prefilling += self._blocks(job)
        self._pin(job, cached, step)

    def computed(self, job: Job, blocks: Sequence[Any], step: int) -> None:
        """A request's prompt has been computed, these whole blocks, in step `step`: it decodes from now on."""
        self._prefilling -= self._blocks(job)
        self.decoding.add(self._at_step_0(job, step))
        self._pin(job, blocks, step)

    def leave(self, job: Job, step: int) -> None:
        """A request leaves its slot: what was computed stays in the cache, as the most recently used."""
        if job.to_compute:
            self._prefilling -= self._blocks(job)
        else:
            self.decoding.add(job.joined_tokens, -1)
        self._pinned -= self._cache.blocks(job.pinned)
        self._update(step)
        self._cache.unpin(job.pinned)
        job.pinned = ()
        self._cache.insert(job.computed(self._block))

    def _at_step_0(self, job: Job, step: int) -> int:
        """Tokens whose KV it needs, less the growth up to `step`."""
        job.joined_tokens = job.prompt_tokens + job.generated - self._per_step * step
        return job.joined_tokens

    def _blocks(self, job: Job) -> int:
        return -(-(job.prompt_tokens + job.generated) // self._block)

    def _pin(self, job: Job, blocks: Sequence[Any], step: int) -> None:
        before, job.pinned = job.pinned, blocks
        self._pinned += self._cache.blocks(blocks) - self._cache.blocks(before)
        self._update(step)
        self._cache.pin(blocks)
        self._cache.unpin(before)

    def _own(self, step: int) -> int:
        """Blocks that are not in the cache."""
        return self.decoding.blocks(step) + self._prefilling - self._pinned

    def _update(self, step: int) -> None:
        self._cache.capacity = self._total - self._own(step)
