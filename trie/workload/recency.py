"""Reuse distances of texts under least-recently-used eviction (Mattson's stack, 1970)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable


class Recency:
    """Texts of active sessions in blocks, from the one used longest ago, and what sessions that ended left."""

    def __init__(self) -> None:
        self._sizes: OrderedDict[Hashable, int] = OrderedDict()
        self._ended = 0  # blocks of ended sessions, all told
        self._ended_before: dict[Hashable, int] = {}  # the same when a text was used last

    def held(self, text: Hashable, capacity: float) -> float:
        """Blocks of a text that a cache of so many still holds: what the texts used since then leave, at most all."""
        if text not in self._sizes:
            return 0
        between = self._ended - self._ended_before[text]
        for other in reversed(self._sizes):
            if other == text:
                break
            between += self._sizes[other]
        return min(max(capacity - between, 0), self._sizes[text])

    def use(self, text: Hashable, blocks: int) -> None:
        """A text is used now, and has so many blocks."""
        self._sizes[text] = blocks
        self._sizes.move_to_end(text)
        self._ended_before[text] = self._ended

    def size(self, text: Hashable) -> int:
        """Blocks of a text when it was used last."""
        return self._sizes.get(text, 0)

    def end(self, text: Hashable, left: int | None = None) -> None:
        """A text will not be used again; or only its first blocks, with which its session goes on."""
        if left is None:
            self._ended += self._sizes.pop(text)
            del self._ended_before[text]
            return
        self._ended += max(self._sizes[text] - left, 0)
        self._sizes[text] = min(self._sizes[text], left)
