"""Text of exactly n tokens for a tokenizer whose words merge or fall apart: drawn, counted, and fitted at the end.

Exact, but slow (every text is encoded a few times), so it stands in only where a vocabulary has too few pieces.
"""

from __future__ import annotations

import random
import string
from array import array
from collections.abc import Callable, Hashable, Sequence
from hashlib import blake2b
from itertools import accumulate
from typing import Any, Protocol

from trie.errors import PromptError
from trie.prompts.vocabulary import Vocabulary

Count = Callable[[str], int]

CORE = 16  # tokens at the end of a text that are searched for; what is before is drawn by estimate
ROUNDS = 2000
NEAR = 64  # letters before the end that an ending is tried behind, before the whole text is counted


Pieces = tuple[bytes | memoryview, ...]


class ExactText(Protocol):
    """Texts of exact numbers of tokens, always the same for the same key."""

    def texts(self, lengths: Sequence[int], key: Hashable) -> tuple[Pieces, ...]: ...


class FittedText:
    """Exact texts by `count`, the number of tokens that a text adds behind another one."""

    def __init__(self, count: Count, words: Sequence[str], *, seed: int) -> None:
        self._count = count
        self._words = [" " + word for word in (words or string.ascii_lowercase)]
        self._seed = seed

    def texts(self, lengths: Sequence[int], key: Hashable) -> tuple[Pieces, ...]:
        """For each length, one text of exactly so many tokens.

        Raises:
            PromptError: when none is found.
        """
        return tuple(
            (self._text(tokens, random.Random(repr((self._seed, key, number)))).encode(),) if tokens > 0 else ()
            for number, tokens in enumerate(lengths)
        )

    def _text(self, tokens: int, draw: random.Random) -> str:
        body = self._body(tokens, draw)
        rest = tokens - self._count(body)
        near = body[-NEAR:]
        base = self._count(near)
        for attempt in range(ROUNDS):
            ending = self._ending(rest, attempt, draw, glued=bool(body))
            if self._count(near + ending) - base == rest and self._count(body + ending) == tokens:
                return body + ending
        raise PromptError(f"no text of exactly {tokens} tokens found; use another tokenizer_model, or words")

    def _body(self, tokens: int, draw: random.Random) -> str:
        """Words for all but the last few tokens; each round draws fewer than the tokens per word so far allow."""
        body, used, words, per_word = "", 0, 0, 8.0
        while tokens - used > CORE:
            more = max(int(0.8 * (tokens - used) / per_word), 1)
            longer = body + "".join(draw.choices(self._words, k=more))
            count = self._count(longer)
            if count > tokens and more == 1:
                break
            if count > tokens:
                per_word *= 2
                continue
            body, used, words = longer, count, words + more
            per_word = max(used / words, 0.1)
        return body

    def _ending(self, rest: int, attempt: int, draw: random.Random, *, glued: bool) -> str:
        """Words, or letters of their own: what comes in single tokens differs from kind to kind.

        `glued`: letters may also continue the word before; they never begin a text, which belongs behind a space.
        """
        if attempt % 2:
            return "".join(draw.choices(self._words, k=draw.randint(0, max(rest, 0))))
        letters = "".join(draw.choices(string.ascii_lowercase, k=draw.randint(0, max(rest, 1) * 2)))
        return letters if glued and attempt % 4 else " " + letters


HEAD = 4  # own words at the front of every text
DRAWS = 1 << 16  # size of the table by which two random bytes pick a piece


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

    def __getstate__(self) -> dict[str, Any]:
        """What another process makes the same texts of."""
        return {**self.__dict__, "_text": self._text.tobytes()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _text=memoryview(state["_text"]))

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
