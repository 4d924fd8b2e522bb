"""Texts out of the pool: exact in words, their own from the first word on, and shared memory."""

from __future__ import annotations

import re
import tracemalloc
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trie.prompts.exact_text import HEAD, Pool
from trie.prompts.vocabulary import Vocabulary, bundled

POOL = Pool(bundled(), seed=1, size=4096, zipf=1.0)
KNOWN = {piece.encode() for piece in bundled().pieces}


def words(text: bytes) -> list[bytes]:
    """The pieces of a text, by the definition: a space and letters."""
    found = re.findall(rb" [A-Za-z]+", text)
    assert b"".join(found) == text
    return found


def one(pool: Pool, tokens: int, key: object = 0) -> bytes:
    return b"".join(pool.texts([tokens], key)[0])


@pytest.mark.parametrize("tokens", [0, 1, 2, 3, 4, 5, 16, 4095, 4096, 4097, 100_000])
def test_a_text_of_n_tokens_is_n_known_words(tokens: int) -> None:
    found = words(one(POOL, tokens))
    assert len(found) == tokens
    assert set(found) <= KNOWN


@given(st.lists(st.integers(0, 9000), min_size=1, max_size=6), st.integers())
def test_any_lengths_are_exact_and_repeatable(lengths: list[int], key: int) -> None:
    texts = POOL.texts(lengths, key)
    assert [len(words(b"".join(text))) for text in texts] == lengths
    assert texts == POOL.texts(lengths, key)


def test_every_text_begins_with_a_space_and_a_first_word() -> None:
    vocabulary = bundled()
    first = {vocabulary.pieces[index].encode() for index in vocabulary.first}
    assert all(words(one(POOL, 1, key))[0] in first for key in range(500))


def test_no_two_texts_share_their_first_words() -> None:
    heads = {b"".join(words(b"".join(text))[:HEAD]) for key in range(5000) for text in POOL.texts([8, 8], key)}
    assert len(heads) == 10_000


def test_another_seed_is_another_text() -> None:
    assert one(Pool(bundled(), seed=2, size=4096, zipf=1.0), 64) != one(POOL, 64)


def test_a_session_repeats_nothing_before_the_pool_is_used_up() -> None:
    texts = POOL.texts([1000 + HEAD] * 4, "session")
    bodies = [words(b"".join(text))[HEAD:] for text in texts]
    runs = Counter(tuple(body[i : i + 8]) for body in bodies for i in range(len(body) - 7))
    assert max(runs.values()) == 1


def test_frequencies_follow_the_exponent() -> None:
    vocabulary = Vocabulary.of([f" {a}" for a in "abcd"], (), "four")
    counts = Counter(words(one(Pool(vocabulary, seed=0, size=40_000, zipf=2.0), 40_000)))
    weights = [(i + 21) ** -2.0 for i in range(4)]
    for index, piece in enumerate(b" a b c d".split(b" ")[1:]):
        assert counts[b" " + piece] / 40_000 == pytest.approx(weights[index] / sum(weights), abs=0.01)
    flat = Counter(words(one(Pool(vocabulary, seed=0, size=40_000, zipf=0.0), 40_000)))
    assert max(flat.values()) - min(flat.values()) < 1000


def test_a_thousand_sessions_of_a_hundred_thousand_tokens_share_their_memory() -> None:
    pool = Pool(bundled(), seed=1, size=1 << 16, zipf=1.0)
    lengths = [6000, *[4700] * 20]
    tracemalloc.start()
    kept = [pool.texts(lengths, session) for session in range(1000)]
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(len(piece) for piece in kept[0][0]) > 6000 * 2
    assert used < 24e6, "copies would be 560 MB"
