"""Text of exactly n tokens for a tokenizer whose words merge or fall apart: drawn, counted, and fitted at the end.

Exact, but slow (every text is encoded a few times), so it stands in only where a vocabulary has too few pieces.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Hashable, Sequence

from trie.errors import PromptError
from trie.prompts.pool import Pieces

Count = Callable[[str], int]

CORE = 16  # tokens at the end of a text that are searched for; what is before is drawn by estimate
ROUNDS = 2000
NEAR = 64  # letters before the end that an ending is tried behind, before the whole text is counted


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
