"""Where a run's prompts come from: the choice between the word list and a tokenizer, and scripts out of either."""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from trie.config import RunConfig
from trie.errors import PromptError
from trie.prompts import tokenizers
from trie.prompts.pool import Pieces, Pool
from trie.prompts.script import Script
from trie.prompts.vocabulary import ENOUGH, Vocabulary, bundled
from trie.trace import Trace

WORDS = "words"  # as tokenizer_model: the word list whatever the model
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


class ExactText(Protocol):
    """Text of an exact number of tokens, always the same for the same key."""

    def text(self, tokens: int, key: Hashable) -> Pieces: ...


@dataclass(frozen=True, slots=True)
class Prompts:
    """The prompts of a run; safe to use from one worker thread."""

    source: Literal["words", "tokenizer"]
    name: str
    fingerprint: str
    maker: ExactText
    adds_bos: int | None = None  # tokens that the tokenizer puts before a text; None: unknown
    note: str | None = None  # for people: why the word list stands in for a tokenizer

    def text(self, tokens: int, key: Hashable) -> bytes:
        """One text of exactly `tokens` tokens."""
        return b"".join(self.maker.text(tokens, key))

    def script(self, trace: Trace, session_id: int, *, bos_tokens: int = 0) -> Script:
        """All texts of one session; `bos_tokens` that the server adds are taken off the first prompt."""
        parts = []
        for plan in trace.requests():
            tokens = plan.new_prompt_tokens
            if plan.turn == 0:
                tokens = max(tokens - bos_tokens, 1)
            parts.append(self.maker.text(tokens, (session_id, plan.turn)))
        return Script(trace, session_id, tuple(parts))


def load(config: RunConfig, model: str, seed: int) -> Prompts:
    """The prompts for a run against `model`.

    A named tokenizer is used or refused. Without one, the model's own is used when the model is a folder or a hub id
    and can be loaded; otherwise the word list, which calibration then has to prove.

    Raises:
        PromptError: when a named tokenizer can't be loaded or can't make exact lengths.
    """
    named = config.tokenizer_model
    if named == WORDS:
        return _from_vocabulary("words", bundled(), config, seed)
    if named is not None:
        return _from_tokenizer(tokenizers.load(named), named, config, seed)
    if Path(model).is_dir() or HUB_ID.fullmatch(model):
        try:
            return _from_tokenizer(tokenizers.load(model), model, config, seed)
        except PromptError as error:
            return _from_vocabulary("words", bundled(), config, seed, note=str(error))
    return _from_vocabulary("words", bundled(), config, seed)


def _from_tokenizer(tokenizer: Any, name: str, config: RunConfig, seed: int) -> Prompts:
    vocabulary = tokenizers.vocabulary(tokenizer, name)
    adds_bos = tokenizers.added_tokens(tokenizer)
    if len(vocabulary.pieces) >= ENOUGH:
        return _from_vocabulary("tokenizer", vocabulary, config, seed, adds_bos=adds_bos)
    fitted = tokenizers.FittedText(tokenizer, seed)
    return Prompts("tokenizer", f"{name} (fitted)", vocabulary.fingerprint, fitted, adds_bos)


def _from_vocabulary(
    source: Literal["words", "tokenizer"],
    vocabulary: Vocabulary,
    config: RunConfig,
    seed: int,
    *,
    adds_bos: int | None = None,
    note: str | None = None,
) -> Prompts:
    pool = Pool(vocabulary, seed=seed, size=config.prompts.pool_tokens, zipf=config.prompts.zipf)
    return Prompts(source, vocabulary.name, vocabulary.fingerprint, pool, adds_bos, note)
