"""What the endpoint takes for tokens, and that a recognised next turn is cut as if it were read afresh."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trie.config import SimConfig
from trie.errors import ConfigError
from trie.sim import tokens
from trie.sim.prefix_cache import chain


def config(**changed) -> SimConfig:
    return SimConfig(**{"block_tokens": 4, **changed})


def read(prompt, **changed) -> tokens.Prompt:
    return tokens.Reader(config(**changed)).read(prompt)


def test_a_token_is_a_run_of_characters_without_white_space():
    prompt = read(" one two\n\tthree  four five")
    assert prompt.tokens == 5
    assert prompt.blocks == chain(["one", "two", "three", "four"], 4)
    assert list(prompt.tail) == ["five"]


def test_white_space_alone_is_one_token():
    assert read("\n").tokens == 1


@pytest.mark.parametrize("prompt", [[1, 2, 3, 4, 5], [[1, 2, 3, 4, 5]]])
def test_token_ids_are_taken_as_they_are(prompt):
    assert read(prompt, add_bos=True)[:2] == (5, chain([1, 2, 3, 4], 4))


@pytest.mark.parametrize("prompt", [None, "", [], [""], 7, {"a": 1}, ["a", "b"], [1, "a"], [True], [[1], [2]], [1.5]])
def test_anything_else_is_refused(prompt):
    with pytest.raises(ValueError, match="prompt: must"):
        read(prompt)


def test_add_bos_counts_one_token_more_in_front_of_a_text():
    plain, with_bos = read("a b c d"), read(["a b c d"], add_bos=True)
    assert (plain.tokens, with_bos.tokens) == (4, 5)
    assert with_bos.blocks[0] not in plain.blocks


WORDS = st.lists(st.sampled_from(["a", "bb", "ccc", " d", "e\n"]), max_size=30).map(" ".join)


@given(st.lists(WORDS, min_size=1, max_size=6), st.booleans())
def test_a_prompt_that_goes_on_from_an_earlier_one_is_cut_the_same(pieces, add_bos):
    reader = tokens.Reader(config(add_bos=add_bos))
    so_far = "x" * tokens.HEAD_CHARS
    for piece in pieces:
        so_far += piece  # with and without a space at the joint
        known, fresh = reader.read(so_far), read(so_far, add_bos=add_bos)
        assert (known.tokens, known.blocks, list(known.tail)) == (fresh.tokens, fresh.blocks, list(fresh.tail))


def test_two_prompts_with_the_same_head_do_not_take_each_other_for_an_earlier_turn():
    reader = tokens.Reader(config())
    head = " same" * 100
    for prompt in (f"{head} a b c d e", f"{head} a b", f"{head} z", f"{head} a b c d e f"):
        assert reader.read(prompt) == read(prompt)


def test_no_more_text_is_kept_than_allowed(monkeypatch):
    monkeypatch.setattr(tokens, "KEPT_CHARS", 1000)
    reader = tokens.Reader(config())
    for n in range(50):
        reader.read(f"{n} " * 100)
    kept = [text for texts in reader._by_head.values() for text, _ in texts.values()]
    assert sum(map(len, kept)) == reader._kept_chars <= 1000
    assert len(kept) == len(reader._kept)


def test_a_chat_is_its_text_and_a_word_for_each_role_and_for_the_answer():
    asked = [{"role": "system", "content": "be brief"}, {"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    assert tokens.chat_text(asked).split() == ["<system>", "be", "brief", "<user>", "hi", "<assistant>"]


@pytest.mark.parametrize(
    "messages", [None, [], "hi", ["hi"], [{}], [{"role": "user"}], [{"role": "user", "content": [{"image": 1}]}]]
)
def test_a_chat_of_anything_else_is_refused(messages):
    with pytest.raises(ValueError, match="messages: "):
        tokens.chat_text(messages)


def called(*names: object) -> dict[str, object]:
    return {"role": "assistant", "content": "", "tool_calls": [{"id": name} for name in names]}


def output(name: str) -> dict[str, object]:
    return {"role": "tool", "tool_call_id": name, "content": "out"}


def test_a_chat_with_calls_has_a_word_for_each():
    found = tokens.chat_text([called("a", "b"), output("b"), output("a")])
    assert found.split() == ["<assistant>", "<call>", "<call>", "<tool>", "out", "<tool>", "out", "<assistant>"]


@pytest.mark.parametrize(
    "messages",
    [
        [output("a")],
        [called("a"), output("b")],
        [called("a"), output("a"), output("a")],
        [called("a", "b"), output("a"), {"role": "user", "content": "hi"}],
        [called(None), output("a")],
        [{"role": "assistant", "content": "", "tool_calls": "a"}],
    ],
)
def test_outputs_that_answer_no_call_and_calls_without_an_output_are_refused(messages):
    with pytest.raises(ValueError, match="messages: "):
        tokens.chat_text(messages)


def test_answers_are_lower_case_words_that_differ_and_come_in_any_pieces():
    whole = [tokens.answer_words(number, 0, 5000) for number in range(100)]
    assert all(word.isascii() and word.isalpha() and word.islower() for word in whole[0])
    assert len({tuple(words[:16]) for words in whole}) == 100
    pieces = [tokens.answer_words(7, at, at + 3) for at in range(0, 3000, 3)]
    assert [word for piece in pieces for word in piece] == whole[7][:3000]


def test_a_folder_without_a_tokenizer_is_one_clear_line(tmp_path):
    with pytest.raises(ConfigError, match=r"^sim\.tokenizer=.*: must be a folder that holds a tokenizer\.json$"):
        tokens.Reader(config(tokenizer=str(tmp_path)))


def test_a_tokenizer_json_counts_when_it_is_named(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    vocabulary = {"[UNK]": 0, "one": 1, "two": 2}
    built = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    built.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    built.save(str(tmp_path / "tokenizer.json"))
    reader = tokens.Reader(config(tokenizer=str(tmp_path)))
    assert reader.slow
    assert reader.read("one two, one").tail == []
    assert reader.read("one two, one").blocks == chain([1, 2, 0, 1], 4)
