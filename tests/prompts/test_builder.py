"""Whole prompts: by real tokenizers' own count, chosen as the settings say."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.bounds import AtMost
from tokenizers import Tokenizer

from trie.config import RunConfig
from trie.errors import PromptError
from trie.prompts.builder import Prompts, load
from trie.workload.trace import Trace

TRACE = Trace(5000, (10, 10, 10, 10), (300, 0, 1, 70), (0.0,) * 4, 50)
Folder = Callable[[str], Path]
Config = Callable[..., RunConfig]
Loaded = Callable[[str], Prompts]


def counter(folder: Path) -> Callable[[str], int]:
    """Tokens of a text by the tokenizer itself, not by the code under test; BOS included."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return lambda text: len(tokenizer.encode(text).ids)


# What each adds to every text: nothing, a BOS, or a BOS and the dummy space of Llama 2
ADDED = {"byte-bpe": 0, "byte-bpe-bos": 1, "prepend-bpe": 2, "unigram": 0, "unigram-unsplit": 0, "letters": 0}


@pytest.mark.parametrize(
    ("kind", "longest"),
    [
        *((kind, 2_000 if kind == "letters" else 20_000) for kind in ADDED),
        ("deepseek", 20_000),
        pytest.param("deepseek", 100_000, marks=pytest.mark.slow),
    ],
)
def test_lengths_are_exact_by_the_tokenizers_own_count(kind: str, longest: int, folder: Folder, loaded: Loaded) -> None:
    prompts = loaded(kind)
    count, added = counter(folder(kind)), ADDED.get(kind, 0)
    assert prompts.source == "tokenizer"
    assert prompts.adds_bos == added
    assert prompts.text(0, "none") == b""
    for tokens in (1, 2, 3, 4, 5, 16, 1000, longest):
        for key in range(3):
            assert count(prompts.text(tokens, key).decode()) == tokens + added


@pytest.mark.parametrize("kind", [*ADDED, "deepseek"])
def test_the_parts_of_a_session_add_up_behind_any_answer(kind: str, folder: Folder, loaded: Loaded) -> None:
    prompts = loaded(kind).of_session(TRACE, 3)
    count = counter(folder(kind))
    context = ""
    for plan, part in zip(TRACE.requests(), prompts.parts, strict=True):
        text = b"".join(part).decode()
        before = count(context) if context else ADDED.get(kind, 0)
        assert count(context + text) - before == plan.new_prompt_tokens
        context += text + " and so, it said: no. It is 3.5"  # what a server might answer


@pytest.mark.parametrize("zipf", [0.0, 1.0])
def test_the_word_list_is_exact_for_a_production_tokenizer(zipf: float, folder: Folder, config: Config) -> None:
    count = counter(folder("deepseek"))
    prompts = load(config("words", zipf=zipf), "m", 5)
    assert prompts.adds_bos is None
    assert [count(prompts.text(n, n).decode()) for n in (1, 16, 50_000)] == [1, 16, 50_000]
    trimmed = [count(prompts.text(5, key).decode().strip()) for key in range(200)]
    assert trimmed == [5] * 200, "a template that trims the text leaves its length"


def test_a_bos_is_taken_off_the_first_prompt_only(config: Config) -> None:
    prompts = load(config(), "m", 5)
    parts = prompts.of_session(TRACE, 0, bos_tokens=1).parts
    assert [b"".join(part).count(b" ") for part in parts] == [4999, 300, 0, 1, 70]
    short = Trace(1, (), (), (), 1)
    assert b"".join(prompts.of_session(short, 0, bos_tokens=3).parts[0]).count(b" ") == 1


def test_prompts_are_the_same_for_the_same_seed_and_session_only(config: Config) -> None:
    def text(seed: int, session: int) -> bytes:
        return b"".join(b"".join(part) for part in load(config(), "m", seed).of_session(TRACE, session).parts)

    assert text(1, 2) == text(1, 2)
    assert len({text(1, 2), text(1, 3), text(2, 2)}) == 3


def test_without_a_name_a_plain_model_means_the_word_list(config: Config) -> None:
    prompts = load(config(), "some-model", 0)
    assert (prompts.source, prompts.note) == ("words", None)


def test_without_a_name_a_model_that_is_a_folder_means_its_tokenizer(folder: Folder, config: Config) -> None:
    assert load(config(), str(folder("byte-bpe")), 0).source == "tokenizer"


def test_a_named_folder_without_a_tokenizer_is_refused_in_one_line(tmp_path: Path, config: Config) -> None:
    for content in (None, "not json", '{"model": {"type": "Unheard"}}'):
        if content is not None:
            (tmp_path / "tokenizer.json").write_text(content)
        with pytest.raises(PromptError) as caught:
            load(config(str(tmp_path)), "m", 0)
        text = str(caught.value)
        assert text.startswith(f"tokenizer_model={tmp_path}: can't load it")
        assert "tokenizer_model=words" in text
        assert "\n" not in text


def test_a_hub_id_without_a_hub_falls_back_to_words_soon(tmp_path: Path, at_most: AtMost) -> None:
    code = (
        "from trie.config import *; from trie.prompts.builder import load\n"
        "prompts = load(RunConfig(WorkloadConfig(bundled='x')), 'some-org/some-model', 0)\n"
        "print(prompts.source, prompts.note)"
    )
    with socket.socket() as taken:  # bound, not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        env = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path)}
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=env,
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
        )
    assert time.perf_counter() - began < at_most(15), "no minute of silent retries"
    assert done.stdout.startswith("words tokenizer_model=some-org/some-model: can't load it")
    assert done.stdout.count("\n") == 1


def test_a_trace_without_further_fields_has_the_prompts_it_always_had(config: Config) -> None:
    """The hash was taken before traces could share, lose or start anything."""
    prompts = load(config("words", pool_tokens=1 << 18), "m", 7)
    session = prompts.of_session(Trace(500, (20, 30), (0, 900), (0.0, 1.5), 40, row=3), 5, bos_tokens=1, answers=True)
    text = b"|".join(b"".join(pieces) for pieces in (*session.parts, *session.answers))
    assert hashlib.sha256(text).hexdigest() == "652f8d65a9136d73d1f2c3e527c637d9e7d105c383142b78c3565fe8f10299bd"


def common_beginning(one: str, other: str) -> str:
    return one[: next(place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1])]


@pytest.mark.parametrize("kind", ["byte-bpe-bos", "letters"])
def test_what_is_shared_is_the_same_text_and_what_a_reset_leaves_is_its_beginning(
    kind: str, folder: Folder, loaded: Loaded
) -> None:
    """The first prompt of 900 tokens shares 600; 700 of its tokens survive before the last request."""
    prompts, count, bos = loaded(kind), counter(folder(kind)), ADDED.get(kind, 0)
    trace = Trace(
        900, (10, 12), (50, 31), (0.0,) * 2, 5, shared_prefix_id="a", shared_prefix_length=600,
        context_reset=(None, None, 700), reasoning_length=(4, 0, 0),
    )  # fmt: skip
    first, other = (prompts.of_session(trace, number, bos_tokens=bos).parts for number in (1, 2))
    texts, others = ([b"".join(part).decode() for part in parts] for parts in (first, other))
    assert [count(text) for text in texts] == [900, 50 + bos, 731]
    shared = common_beginning(texts[0], others[0])
    assert 600 <= count(shared) <= 602, "own words may begin with the same letters"
    assert 700 <= count(common_beginning(texts[0], texts[2])) <= 702
    shorter = prompts.of_session(replace(trace, shared_prefix_length=512), 3, bos_tokens=bos).parts[0]
    assert 512 <= count(common_beginning(texts[0], b"".join(shorter).decode())) <= 514
