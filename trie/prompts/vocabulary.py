"""Pieces of text that are one token each and never merge, from the bundled word list or out of a tokenizer.

A piece is a space and ASCII letters. Pre-tokenizers cut before the space, and no vocabulary entry of the SentencePiece
kind has a space after a letter, so n pieces are n tokens in any order, and also after any foreign text that does not
end in white space. Where a vocabulary breaks that rule, verification drops the pieces concerned.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from importlib import resources
from typing import Any

PIECE = re.compile(r" [A-Za-z]+")
ANCHOR = " a"  # candidates are encoded behind it, so that what a tokenizer does at a text's start stays out
ENOUGH = 256  # distinct pieces below which prompts would be too uniform to be useful
CLEAN_ROUNDS = 3  # shuffled joins in a row without a difference before a vocabulary counts as verified

Encode = Callable[[str], list[int]]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Pieces in order of frequency (most frequent first, as far as the source knows one)."""

    pieces: tuple[str, ...]
    first: tuple[int, ...]  # indices of pieces that stay one token when the space before them is trimmed
    fingerprint: str
    name: str

    @classmethod
    def of(cls, pieces: Sequence[str], first: Sequence[int], name: str) -> Vocabulary:
        """A vocabulary with the fingerprint of its pieces; without `first`, every piece may stand first."""
        digest = blake2b("\n".join(pieces).encode(), digest_size=8).hexdigest()
        return cls(tuple(pieces), tuple(first) or tuple(range(len(pieces))), digest, name)


def bundled() -> Vocabulary:
    """The word list: each word one token in every current vocabulary (see docs/traces.md for which)."""
    lines = resources.files("trie.prompts").joinpath("words.txt").read_text("ascii").split()
    first = [i for i, line in enumerate(lines) if line.endswith("*")]
    pieces = [" " + line.rstrip("*") for line in lines]
    return Vocabulary.of(pieces, first, f"word list ({len(pieces)} words)")


def from_tokenizer(tokenizer: Any, name: str) -> Vocabulary:
    """The pieces of a `transformers` tokenizer, each verified alone and joined with the others.

    The result may hold few pieces or none: the caller decides what is enough.
    """

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    vocab: dict[str, int] = tokenizer.get_vocab()
    marked = sum(token.startswith("Ġ") for token in vocab) > len(vocab) // 100
    mark = "Ġ" if marked else "▁"
    texts = sorted((index, token.replace(mark, " ")) for token, index in vocab.items())
    candidates = [(index, text) for index, text in texts if PIECE.fullmatch(text)]
    found = verified(candidates, encode)
    first = [i for i, (_, text) in enumerate(found) if len(encode(text[1:])) == 1 and len(encode(text)) == 1]
    return Vocabulary.of([text for _, text in found], first, name)


def verified(candidates: list[tuple[int, str]], encode: Encode) -> list[tuple[int, str]]:
    """Those (id, text) that encode to their id alone and in any company, in order of id."""
    base = encode(ANCHOR)
    kept = [item for item in candidates if encode(ANCHOR + item[1]) == [*base, item[0]]]
    shuffler = random.Random(0)
    clean = 0
    while clean < CLEAN_ROUNDS and kept:
        shuffler.shuffle(kept)
        bad = set(_merging(kept, base, encode))
        clean = 0 if bad else clean + 1
        kept = [item for item in kept if item not in bad] if bad else kept
    return sorted(kept)


def _merging(items: list[tuple[int, str]], base: list[int], encode: Encode) -> list[tuple[int, str]]:
    """Neighbours that encode differently together than apart, found by halving."""
    joined = ANCHOR + "".join(text for _, text in items)
    if encode(joined) == base + [index for index, _ in items]:
        return []
    half = len(items) // 2
    if half < 2:
        return items
    apart = _merging(items[:half], base, encode) + _merging(items[half:], base, encode)
    return apart or items[half - 1 : half + 1]  # each half is clean: the pair at the joint is not
