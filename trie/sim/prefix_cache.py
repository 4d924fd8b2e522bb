"""The embedded endpoint's prefix cache: whole blocks, least recently used ones evicted first, tails before heads."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Hashable, Sequence
from typing import Any, Protocol


class Cache(Protocol):
    """What the model needs of a prefix cache; chains are the blocks of a prompt, as the cache knows them."""

    def __len__(self) -> int: ...

    def cached_tokens(self, chain: Sequence[Any], prompt_tokens: int) -> int:
        """Tokens of a prompt that need no computing: its longest held prefix, but never the whole prompt."""

    def insert(self, chain: Sequence[Any]) -> None:
        """Hold a chain as the most recently used."""

    def clear(self) -> None: ...


class PrefixCache:
    """Whole blocks of token chains, told apart by their tokens and all before them."""

    def __init__(self, capacity: int, block_tokens: int) -> None:
        self._capacity = capacity
        self._block = block_tokens
        self._held: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def cached_tokens(self, chain: Sequence[int], prompt_tokens: int) -> int:
        hits = 0
        for block in chain:
            if block not in self._held:
                break
            hits += 1
        usable = max(prompt_tokens - 1, 0) // self._block
        return min(hits, usable) * self._block

    def insert(self, chain: Sequence[int]) -> None:
        for block in reversed(chain):
            self._held[block] = None
            self._held.move_to_end(block)
        while len(self._held) > self._capacity:
            self._held.popitem(last=False)

    def clear(self) -> None:
        self._held.clear()


def chain(tokens: Sequence[Hashable], block_tokens: int, start: Sequence[int] = ()) -> list[int]:
    """Hashes of the whole blocks of `tokens`, each including all before it; continues `start` when given."""
    hashes = list(start)
    before = hashes[-1] if hashes else 0
    for at in range(0, len(tokens) - block_tokens + 1, block_tokens):
        before = hash((before, *tokens[at : at + block_tokens]))
        hashes.append(before)
    return hashes


class Stretch:
    """Neighbouring blocks of one text that were used last at one time, up to number `end`."""

    __slots__ = ("end", "text")

    def __init__(self, text: Hashable, end: int) -> None:
        self.text = text
        self.end = end


class SessionCache:
    """The same cache where it is known which text repeats which, so that no token is looked at.

    A chain is a list of texts with the number of their blocks, such as a shared prefix and what a session has on top
    of it: `[("prefix", 12), (session, 40)]`. A text is used from its first block on, so what is held of it are its
    first blocks, in stretches of which each was used no later than the one before it. Work is done for each stretch,
    not for each block.
    """

    def __init__(self, capacity: int, block_tokens: int) -> None:
        self._capacity = capacity
        self._block = block_tokens
        self._blocks = 0
        self._stretches: OrderedDict[Stretch, None] = OrderedDict()  # least recently used first
        self._texts: defaultdict[Hashable, list[Stretch]] = defaultdict(list)  # the last stretch of each first

    def __len__(self) -> int:
        return self._blocks

    def cached_tokens(self, chain: Sequence[tuple[Hashable, int]], prompt_tokens: int) -> int:
        hits = 0
        for text, blocks in chain:
            stretches = self._texts.get(text)
            held = stretches[0].end if stretches else 0
            hits += min(held, blocks)
            if held < blocks:
                break
        usable = max(prompt_tokens - 1, 0) // self._block
        return min(hits, usable) * self._block

    def insert(self, chain: Sequence[tuple[Hashable, int]]) -> None:
        for text, blocks in reversed(chain):
            if blocks:
                self._use(text, blocks)
        while self._blocks > self._capacity:
            self._evict(self._blocks - self._capacity)

    def clear(self) -> None:
        self._blocks = 0
        self._stretches.clear()
        self._texts.clear()

    def _use(self, text: Hashable, blocks: int) -> None:
        """The first blocks of a text are used: one stretch now, whatever they were before."""
        stretches = self._texts[text]
        held = stretches[0].end if stretches else 0
        if len(stretches) == 1 and held <= blocks:  # the usual case: a text that grows
            stretches[0].end = blocks
            self._stretches.move_to_end(stretches[0])
            self._blocks += blocks - held
            return
        while stretches and stretches[-1].end <= blocks:
            del self._stretches[stretches.pop()]
        stretches.append(used := Stretch(text, blocks))
        self._stretches[used] = None
        self._blocks += max(blocks - held, 0)

    def _evict(self, blocks: int) -> None:
        """Let go of so many blocks at the end of the least recently used stretch, or of all it has."""
        oldest = next(iter(self._stretches))
        stretches = self._texts[oldest.text]
        start = stretches[1].end if len(stretches) > 1 else 0
        gone = min(blocks, oldest.end - start)
        oldest.end -= gone
        self._blocks -= gone
        if oldest.end == start:
            del self._stretches[oldest], stretches[0]
            if not stretches:
                del self._texts[oldest.text]
