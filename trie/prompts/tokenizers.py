"""Tokenizers of real models, through `transformers`: loaded only when a run uses one."""

from __future__ import annotations

import random
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from trie.errors import PromptError
from trie.prompts.pool import Pieces
from trie.prompts.vocabulary import Vocabulary, from_tokenizer

PROBE = "Hello world"
CORE = 16  # tokens that are searched for at the end of a fitted text
ROUNDS = 400


def load(name: str) -> Any:
    """The tokenizer of a hub id or a folder; a folder with nothing but a tokenizer.json will do.

    Raises:
        PromptError: when it can't be loaded; no code from a hub is run.
    """
    import transformers  # noqa: PLC0415 - a second of start-up, only for runs that need it
    from transformers.utils import logging  # noqa: PLC0415

    logging.set_verbosity_error()
    folder = Path(name).expanduser()
    try:
        if folder.is_dir() and not (folder / "config.json").exists() and (folder / "tokenizer.json").is_file():
            return transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
        return transformers.AutoTokenizer.from_pretrained(str(folder) if folder.is_dir() else name)
    except (OSError, ValueError, ImportError, KeyError, TypeError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        choice = "name a folder that holds its tokenizer.json, a mirror through HF_ENDPOINT, or tokenizer_model=words"
        raise PromptError(f"tokenizer_model={name}: can't load it ({reason[0][:160]}); {choice}") from error


def vocabulary(tokenizer: Any, name: str) -> Vocabulary:
    """The pieces of a tokenizer that never merge."""
    return from_tokenizer(tokenizer, name)


def added_tokens(tokenizer: Any) -> int:
    """How many tokens the tokenizer puts around a text by itself, such as one BOS."""
    return len(tokenizer.encode(PROBE)) - len(tokenizer.encode(PROBE, add_special_tokens=False))


class FittedText:
    """Exact lengths for a tokenizer whose words merge: drawn, counted and fitted at the end. Slow, for threads only."""

    def __init__(self, tokenizer: Any, seed: int) -> None:
        self._tokenizer = tokenizer
        self._seed = seed
        words = (token.replace("Ġ", "").replace("▁", "") for token in sorted(tokenizer.get_vocab()))
        self._words = [" " + word for word in words if word.isascii() and word.isalpha()] or [" a", " b", " c"]

    def text(self, tokens: int, key: Hashable) -> Pieces:
        """Text of exactly `tokens` tokens.

        Raises:
            PromptError: when none is found.
        """
        if tokens <= 0:
            return ()
        draw = random.Random(repr((self._seed, key)))
        words: list[str] = []
        rest = tokens
        while rest > CORE or (rest < 0):
            words = words + draw.choices(self._words, k=max(rest // 3, 1)) if rest > 0 else words[: len(words) // 2]
            rest = tokens - self._count("".join(words))
        return (self._fit("".join(words), tokens, draw).encode(),)

    def _fit(self, body: str, tokens: int, draw: random.Random) -> str:
        if self._count(body) == tokens:
            return body
        for attempt in range(ROUNDS):
            text = body + "".join(draw.choices(self._words, k=attempt % CORE + 1))
            if self._count(text) == tokens:
                return text
        raise PromptError(f"no text of exactly {tokens} tokens found; use another tokenizer_model, or words")

    def _count(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False)) if text else 0
