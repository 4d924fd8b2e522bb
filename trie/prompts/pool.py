"""Text of exactly n tokens at the cost of a slice: a pool of pieces drawn once, and a few own words in front.

What is asked for under one key is always the same text; under two keys it differs from the first words on, so that no
two of them share a block of a prefix cache, although most of their bytes are the same memory.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Hashable, Sequence
from hashlib import blake2b
from itertools import accumulate

from trie.prompts.vocabulary import Vocabulary

HEAD = 4  # own words at the front of every text
DRAWS = 1 << 16  # size of the table by which two random bytes pick a piece

Pieces = tuple[bytes | memoryview, ...]


class Pool:
    """A seeded pool of `size` tokens over a vocabulary; piece i is drawn with frequency (i + 21) ** -zipf."""

    def __init__(self, vocabulary: Vocabulary, *, seed: int, size: int, zipf: float) -> None:
        self._seed = seed
        self._size = size
        self._pieces = [piece.encode() for piece in vocabulary.pieces]
        self._first = vocabulary.first
        draws = array("H", random.Random(seed).randbytes(2 * size))
        chosen = list(map(_draw_table(len(self._pieces), zipf).__getitem__, draws))
        self._text = memoryview(b"".join(map(self._pieces.__getitem__, chosen)))
        lengths = list(map(len, self._pieces))
        self._offset = array("Q", accumulate(map(lengths.__getitem__, chosen), initial=0))

    def texts(self, lengths: Sequence[int], key: Hashable) -> tuple[Pieces, ...]:
        """For each length, pieces whose concatenation is exactly so many tokens of ASCII letters and spaces.

        A text begins with own words, the first of them one that stays a single token where a server trims the text;
        the rest is the pool from a place of the key's own, each text where the one before it ended, so that nothing
        comes twice before the whole pool was used. Memory is shared, not copied. Length 0 gives ().
        """
        place = self._digest(key) % self._size
        texts: list[Pieces] = []
        for number, tokens in enumerate(lengths):
            if tokens <= 0:
                texts.append(())
                continue
            head = self._head(self._digest((key, number)), min(tokens, HEAD))
            texts.append((head, *self._slices(place, tokens - HEAD)))
            place = (place + max(tokens - HEAD, 0)) % self._size
        return tuple(texts)

    def _digest(self, key: Hashable) -> int:
        return int.from_bytes(blake2b(repr((self._seed, key)).encode(), digest_size=32).digest(), "little")

    def _head(self, state: int, words: int) -> bytes:
        state, index = divmod(state, len(self._first))
        head = [self._pieces[self._first[index]]]
        for _ in range(words - 1):
            state, index = divmod(state, len(self._pieces))
            head.append(self._pieces[index])
        return b"".join(head)

    def _slices(self, place: int, tokens: int) -> list[memoryview]:
        """Runs of the pool from `place` on, around its end as often as needed."""
        slices = []
        while tokens > 0:
            end = min(place + tokens, self._size)
            slices.append(self._text[self._offset[place] : self._offset[end]])
            tokens -= end - place
            place = 0
        return slices


def _draw_table(pieces: int, zipf: float) -> array[int]:
    """For each of the 65,536 values of two bytes the piece it picks, so that a draw costs one look-up."""
    bounds = list(accumulate((i + 21) ** -zipf for i in range(pieces)))
    table, piece = array("I"), 0
    for quantile in range(DRAWS):
        target = (quantile + 0.5) / DRAWS * bounds[-1]
        while bounds[piece] < target:
            piece += 1
        table.append(piece)
    return table
