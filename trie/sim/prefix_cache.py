"""The embedded endpoint's prefix cache: whole blocks, least recently used ones evicted first, tails before heads."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Hashable, Sequence
from typing import Any, Protocol


class Cache(Protocol):
    """What the models need of a prefix cache; chains are the blocks of a prompt, as the cache knows them.

    Pinned blocks are in use by a running request: they are held whatever the capacity.
    """

    capacity: int

    def __len__(self) -> int: ...

    @property
    def pinned(self) -> int:
        """How many blocks are."""

    def blocks(self, chain: Sequence[Any]) -> int:
        """How many a chain has."""

    def head(self, chain: Sequence[Any], blocks: int) -> Sequence[Any]:
        """The first blocks of a chain."""

    def cached_tokens(self, chain: Sequence[Any], prompt_tokens: int) -> int:
        """Tokens of a prompt that need no computing: its longest held prefix, but never the whole prompt."""

    def insert(self, chain: Sequence[Any]) -> None:
        """Hold a chain as the most recently used."""

    def pin(self, chain: Sequence[Any]) -> None:
        """Hold a chain, and keep it until it is unpinned as often."""

    def unpin(self, chain: Sequence[Any]) -> None:
        """Let go of a chain that was pinned: what nobody else has pinned is now the most recently used."""

    def trim(self) -> None:
        """Evict what is beyond the capacity, as far as it is not pinned."""

    def clear(self) -> None: ...


class PrefixCache:
    """Whole blocks of token chains, told apart by their tokens and all before them."""

    def __init__(self, capacity: int, block_tokens: int) -> None:
        self.capacity = capacity
        self._block = block_tokens
        self._held: OrderedDict[int, None] = OrderedDict()
        self._pins: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._held) + len(self._pins)

    @property
    def pinned(self) -> int:
        return len(self._pins)

    def blocks(self, chain: Sequence[int]) -> int:
        return len(chain)

    def head(self, chain: Sequence[int], blocks: int) -> Sequence[int]:
        return chain[:blocks]

    def cached_tokens(self, chain: Sequence[int], prompt_tokens: int) -> int:
        hits = 0
        for block in chain:
            if block not in self._held and block not in self._pins:
                break
            hits += 1
        usable = max(prompt_tokens - 1, 0) // self._block
        return min(hits, usable) * self._block

    def insert(self, chain: Sequence[int]) -> None:
        for block in reversed(chain):
            if block not in self._pins:
                self._held[block] = None
                self._held.move_to_end(block)
        self.trim()

    def pin(self, chain: Sequence[int]) -> None:
        for block in chain:
            self._held.pop(block, None)
            self._pins[block] = self._pins.get(block, 0) + 1
        self.trim()

    def unpin(self, chain: Sequence[int]) -> None:
        for block in reversed(chain):
            self._pins[block] -= 1
            if not self._pins[block]:
                del self._pins[block]
                self._held[block] = None
        self.trim()

    def trim(self) -> None:
        while len(self) > self.capacity and self._held:
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
    first blocks: those that are pinned, and then stretches of which each was used no later than the one before it.
    Work is done for each stretch, not for each block.
    """

    def __init__(self, capacity: int, block_tokens: int) -> None:
        self.capacity = capacity
        self._block = block_tokens
        self._blocks = self._pinned = 0
        self._stretches: OrderedDict[Stretch, None] = OrderedDict()  # least recently used first
        self._texts: defaultdict[Hashable, list[Stretch]] = defaultdict(list)  # the last stretch of each first
        self._pins: defaultdict[Hashable, list[int]] = defaultdict(list)  # how many blocks each pin holds

    def __len__(self) -> int:
        return self._blocks

    @property
    def pinned(self) -> int:
        return self._pinned

    def blocks(self, chain: Sequence[tuple[Hashable, int]]) -> int:
        return sum(blocks for _, blocks in chain)

    def head(self, chain: Sequence[tuple[Hashable, int]], blocks: int) -> Sequence[tuple[Hashable, int]]:
        first = []
        for text, held in chain:
            first.append((text, min(held, blocks)))
            blocks -= first[-1][1]
        return first

    def cached_tokens(self, chain: Sequence[tuple[Hashable, int]], prompt_tokens: int) -> int:
        hits = 0
        for text, blocks in chain:
            held = self._holds(text)
            hits += min(held, blocks)
            if held < blocks:
                break
        usable = max(prompt_tokens - 1, 0) // self._block
        return min(hits, usable) * self._block

    def insert(self, chain: Sequence[tuple[Hashable, int]]) -> None:
        for text, blocks in reversed(chain):
            if blocks > (self._level(text) if self._pins else 0):
                self._use(text, blocks)
        if self._blocks > self.capacity:
            self.trim()

    def pin(self, chain: Sequence[tuple[Hashable, int]]) -> None:
        for text, blocks in chain:
            held, stretches = self._holds(text), self._texts.get(text)
            self._pinned += max(blocks - self._level(text), 0)
            self._pins[text].append(blocks)
            while stretches and stretches[-1].end <= blocks:
                del self._stretches[stretches.pop()]
            self._blocks += max(blocks - held, 0)
        self.trim()

    def unpin(self, chain: Sequence[tuple[Hashable, int]]) -> None:
        for text, blocks in reversed(chain):
            pins, before = self._pins[text], self._level(text)
            pins.remove(blocks)
            if before > self._level(text):
                self._add(text, before)
                self._pinned -= before - self._level(text)
            if not pins:
                del self._pins[text]
        self.trim()

    def trim(self) -> None:
        while self._blocks > self.capacity and self._stretches:
            self._evict(self._blocks - self.capacity)

    def clear(self) -> None:
        for text in [text for text in self._texts if self._texts[text]]:
            self._blocks -= self._holds(text) - self._level(text)
        self._stretches.clear()
        self._texts.clear()

    def _level(self, text: Hashable) -> int:
        """How many of a text's first blocks are pinned."""
        return max(self._pins[text], default=0) if text in self._pins else 0

    def _holds(self, text: Hashable) -> int:
        """How many of a text's first blocks are held."""
        stretches = self._texts.get(text)
        return stretches[0].end if stretches else self._level(text)

    def _use(self, text: Hashable, blocks: int) -> None:
        """The first blocks of a text are used: what is not pinned of them is one stretch now."""
        stretches = self._texts[text]
        if len(stretches) == 1 and stretches[0].end <= blocks:  # the usual case: a text that grows
            stretch = stretches[0]
            self._blocks += blocks - stretch.end
            stretch.end = blocks
            self._stretches.move_to_end(stretch)
            return
        self._blocks += max(blocks - self._holds(text), 0)
        while stretches and stretches[-1].end <= blocks:
            del self._stretches[stretches.pop()]
        self._add(text, blocks)

    def _add(self, text: Hashable, end: int) -> None:
        """The most recently used stretch, in front of the others of its text."""
        stretch = Stretch(text, end)
        self._texts[text].append(stretch)
        self._stretches[stretch] = None

    def _evict(self, blocks: int) -> None:
        """Let go of so many blocks at the end of the least recently used stretch, or of all it has."""
        oldest = next(iter(self._stretches))
        stretches = self._texts[oldest.text]
        start = stretches[1].end if len(stretches) > 1 else self._level(oldest.text)
        gone = min(blocks, oldest.end - start)
        oldest.end -= gone
        self._blocks -= gone
        if oldest.end == start:
            del self._stretches[oldest], stretches[0]
            if not stretches:
                del self._texts[oldest.text]
