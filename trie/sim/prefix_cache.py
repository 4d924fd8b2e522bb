"""The embedded endpoint's prefix cache: whole blocks, least recently used ones evicted first, tails before heads."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence


class PrefixCache:
    """Whole blocks of token chains, least recently used out first; a chain's tail goes before its head."""

    def __init__(self, capacity: int, block_tokens: int) -> None:
        self._capacity = capacity
        self._block = block_tokens
        self._held: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def cached_tokens(self, chain: Sequence[int], prompt_tokens: int) -> int:
        """Tokens of a prompt that need no computing: its longest held prefix, but never the whole prompt."""
        hits = 0
        for block in chain:
            if block not in self._held:
                break
            hits += 1
        usable = max(prompt_tokens - 1, 0) // self._block
        return min(hits, usable) * self._block

    def insert(self, chain: Sequence[int]) -> None:
        """Hold a chain as the most recently used."""
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
