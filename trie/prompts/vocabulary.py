"""Pieces of text that are one token each and never merge, from the bundled word list or out of a tokenizer.

A piece is a space and ASCII letters. Pre-tokenizers cut before the space, and vocabularies of the SentencePiece kind
have hardly an entry with a space after a letter, so n pieces are n tokens in any order, and also after any foreign text
that does not end in white space. Where a vocabulary breaks that rule, the pieces concerned are left out.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from importlib import resources

PIECE = re.compile(r" [A-Za-z]+")
SPANNING = re.compile(r" ?[A-Za-z]+(?: [A-Za-z]*)+")
ANCHOR = " a"  # candidates are encoded behind it, so that what a tokenizer does at a text's start stays out
ENOUGH = 256  # distinct pieces below which prompts would be too uniform to be useful
MOST = 1 << 14  # pieces that are looked at, the commonest first: about as many as the word list has
ENOUGH_FIRST = 64  # the same for the first word of a text
CLEAN_ROUNDS = 3  # shuffled joins in a row without a difference before a vocabulary counts as verified

EncodeAll = Callable[[Sequence[str]], list[list[int]]]  # token ids of each text, nothing added around it


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Pieces in order of frequency (most frequent first, as far as the source knows one)."""

    pieces: tuple[str, ...]
    first: tuple[int, ...]  # indices of pieces that stay one token when the space before them is trimmed
    fingerprint: str
    name: str
    ids: tuple[int, ...] = ()  # of the pieces; none in the word list, which belongs to no tokenizer

    @classmethod
    def of(cls, pieces: Sequence[str], first: Sequence[int], name: str, ids: Sequence[int] = ()) -> Vocabulary:
        """A vocabulary with the fingerprint of its pieces; without `first`, every piece may stand first."""
        digest = blake2b("\n".join(pieces).encode(), digest_size=8).hexdigest()
        return cls(tuple(pieces), tuple(first) or tuple(range(len(pieces))), digest, name, tuple(ids))

    def as_ids(self) -> Vocabulary:
        """The same tokens written as members of a JSON list, a comma before each: `,17` in the place of ` the`."""
        return Vocabulary.of([f",{index}" for index in self.ids], self.first, self.name, self.ids)


def bundled() -> Vocabulary:
    """The word list: each word one token in every current vocabulary (see docs/prompts.md for which)."""
    lines = resources.files("trie.prompts").joinpath("words.txt").read_text("ascii").split()
    first = [i for i, line in enumerate(lines) if line.endswith("*")]
    pieces = [" " + line.rstrip("*") for line in lines]
    return Vocabulary.of(pieces, first, f"word list ({len(pieces)} words)")


def from_vocabulary(vocab: dict[str, int], encode: EncodeAll, name: str) -> Vocabulary:
    """The pieces of a tokenizer's vocabulary, in order of id, each verified alone and joined with others.

    The result may hold few pieces or none: the caller decides what is enough.
    """
    texts = _as_text(vocab)
    candidates = [(index, text) for index, text in texts if PIECE.fullmatch(text)][:MOST]
    apart = never_spanned([text for _, text in candidates], (text for _, text in texts))
    found = verified([item for item in candidates if item[1] in apart], encode)
    pieces = [text for _, text in found]
    return Vocabulary.of(pieces, _first(pieces, encode), name, [index for index, _ in found])


def _as_text(vocab: dict[str, int]) -> list[tuple[int, str]]:
    """(id, entry) in order of id, the mark for a space (of byte-level BPE or of SentencePiece) turned into one."""
    byte_level = sum(token.startswith("Ġ") for token in vocab) > sum(token.startswith("▁") for token in vocab)
    mark = "Ġ" if byte_level else "▁"
    return sorted((index, token.replace(mark, " ")) for token, index in vocab.items())


def _first(pieces: Sequence[str], encode: EncodeAll) -> list[int]:
    """Indices of pieces that may begin a text: like most others there, and one token when trimmed, if enough are."""
    counts = [len(ids) for ids in encode(pieces)]
    usual = Counter(counts).most_common(1)[0][0] if counts else 1
    plain = [i for i, count in enumerate(counts) if count == usual]
    trimmed = encode([pieces[i][1:] for i in plain])
    proof = [i for i, ids in zip(plain, trimmed, strict=True) if len(ids) == 1]
    return proof if len(proof) >= ENOUGH_FIRST else plain


def never_spanned(pieces: Sequence[str], entries: Iterable[str]) -> set[str]:
    """Those pieces whose joints no entry of the vocabulary spans, such as " of the" or "s a" of an unsplit Unigram.

    For each such entry, the pieces on one side of its first joint go: the side with fewer of them.
    """
    alive = set(pieces)
    spanning = [entry for entry in entries if SPANNING.fullmatch(entry)]
    if not spanning:
        return alive
    ending, beginning = _by_ends(pieces)
    for entry in spanning:
        left, right, *more = entry.removeprefix(" ").split(" ")
        lefts = {" " + left} & alive if entry.startswith(" ") else ending.get(left, set()) & alive
        rights = {" " + right} & alive if more else beginning.get(right, set()) & alive
        alive -= min(lefts, rights, key=len)
    return alive


def _by_ends(pieces: Sequence[str]) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """The pieces by each ending and by each beginning of their word; every piece begins with nothing."""
    ending: dict[str, set[str]] = {}
    beginning: dict[str, set[str]] = {"": set(pieces)}
    for piece in pieces:
        for cut in range(1, len(piece)):
            ending.setdefault(piece[cut:], set()).add(piece)
            beginning.setdefault(piece[1 : cut + 1], set()).add(piece)
    return ending, beginning


def verified(candidates: Sequence[tuple[int, str]], encode: EncodeAll) -> list[tuple[int, str]]:
    """Those (id, text) that encode to their id alone and in any company, in order of id."""
    (base,) = encode([ANCHOR])
    alone = encode([ANCHOR + text for _, text in candidates])
    kept = [item for item, ids in zip(candidates, alone, strict=True) if ids == [*base, item[0]]]
    shuffler = random.Random(0)
    clean = 0
    while clean < CLEAN_ROUNDS and kept:
        shuffler.shuffle(kept)
        bad = set(_merging(kept, base, encode))
        clean = 0 if bad else clean + 1
        kept = [item for item in kept if item not in bad] if bad else kept
    return sorted(kept)


def _merging(items: list[tuple[int, str]], base: list[int], encode: EncodeAll) -> list[tuple[int, str]]:
    """Neighbours that encode differently together than apart, found by halving."""
    (ids,) = encode([ANCHOR + "".join(text for _, text in items)])
    if ids == base + [index for index, _ in items]:
        return []
    half = len(items) // 2
    if half < 2:
        return items
    apart = _merging(items[:half], base, encode) + _merging(items[half:], base, encode)
    return apart or items[half - 1 : half + 1]  # each half is clean: the pair at the joint is not
