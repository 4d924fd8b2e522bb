"""The word list, and the pieces of a vocabulary that never merge."""

from __future__ import annotations

import re

from trie.prompts.vocabulary import PIECE, bundled, from_vocabulary, never_spanned, verified


def test_the_word_list_is_lowercase_words_without_repetition_most_frequent_first() -> None:
    words = bundled()
    assert len(words.pieces) > 15_000
    assert len(set(words.pieces)) == len(words.pieces)
    assert all(re.fullmatch(r" [a-z]{2,}", piece) for piece in words.pieces)
    assert words.pieces.index(" the") < words.pieces.index(" house") < words.pieces.index(" conceptual")
    assert len(words.first) > 3000
    assert len({words.pieces[index] for index in words.first}) == len(words.first)


def test_the_fingerprint_is_of_the_pieces() -> None:
    assert bundled().fingerprint == bundled().fingerprint
    assert re.fullmatch(r"[0-9a-f]{16}", bundled().fingerprint)


def greedy(entries: list[str]) -> dict[str, int]:
    return {entry: index for index, entry in enumerate(entries)}


def encoder(vocab: dict[str, int]):
    """Longest match first, over spaces too: the simplest tokenizer in which words merge."""
    entries = sorted(vocab, key=len, reverse=True)

    def one(text: str) -> list[int]:
        ids, place = [], 0
        while place < len(text):
            entry = next(entry for entry in entries if text.startswith(entry, place))
            ids.append(vocab[entry])
            place += len(entry)
        return ids

    return lambda texts: [one(text) for text in texts]


LETTERS = [" ", *"abcdefghijklmnopqrstuvwxyz"]


def test_pieces_that_are_not_one_token_or_merge_with_another_are_dropped() -> None:
    vocab = greedy([*LETTERS, " cat", " dog", " cow", " hen", " cat dog", " in1", "row"])
    candidates = [(index, text) for text, index in vocab.items() if PIECE.fullmatch(text)]
    kept = {text for _, text in verified([*candidates, (99, " row")], encoder(vocab))}
    assert " row" not in kept
    assert {" cow", " hen"} <= kept
    assert not {" cat", " dog"} <= kept


def test_an_entry_that_spans_a_joint_costs_the_smaller_side() -> None:
    pieces = [" of", " off", " the", " then", " cats", " dogs", " as", " at"]
    assert never_spanned(pieces, [" of the"]) == set(pieces) - {" of"}  # " of" alone, against " the" and " then"
    assert never_spanned(pieces, [" of the "]) in (set(pieces) - {" of"}, set(pieces) - {" the"})
    assert never_spanned(pieces, ["s a"]) == set(pieces) - {" as", " at"}
    assert never_spanned(pieces, ["gs "]) == set(pieces) - {" dogs"}
    assert never_spanned(pieces, ["1 a", " a.b", " cats", "cats"]) == set(pieces)


def test_what_never_spans_is_what_a_merging_encoder_keeps_apart() -> None:
    vocab = greedy([*LETTERS, " cat", " cats", " dog", " dogs", " as", " of", " the", "s d", " of the", "g a"])
    found = from_vocabulary(vocab, encoder(vocab), "greedy")
    encode = encoder(vocab)
    for one in found.pieces:
        for other in found.pieces:
            assert len(encode([one + other])[0]) == 2
    assert len(found.pieces) >= 4
