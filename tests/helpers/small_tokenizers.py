"""Small real tokenizers, trained on a few invented sentences: one of each kind that matters."""

from __future__ import annotations

import random
import string
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

KINDS = ("byte-bpe", "byte-bpe-bos", "prepend-bpe", "unigram", "unigram-unsplit", "letters")


def corpus(words_per_sentence: int) -> list[str]:
    rng = random.Random(3)
    syllables = [a + b for a in "bcdfghklmnprst" for b in "aeiou"]
    words = ["".join(rng.choices(syllables, k=rng.randint(1, 3))) for _ in range(900)]
    weights = [1 / (i + 5) for i in range(900)]
    sentences = 2500 if words_per_sentence == 3 else 6000
    return [" ".join(rng.choices(words, weights, k=words_per_sentence)) + "." for _ in range(sentences)]


def train(kind: str) -> Tokenizer:
    alphabet = list(string.ascii_letters)
    if kind == "letters":  # every letter and space a token of its own: no piece at all
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(vocab_size=256, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
        tokenizer.train_from_iterator(["a"], trainer)
        return tokenizer
    if kind.startswith("byte-bpe"):
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=1500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<s>"]
        )
    elif kind == "prepend-bpe":  # as Llama 2: no pre-tokenizer, a space before the text
        tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")  # for training, removed below
        trainer = trainers.BpeTrainer(
            vocab_size=1500, initial_alphabet=[*alphabet, "▁"], special_tokens=["<unk>", "<s>"]
        )
    else:
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(split=kind == "unigram")
        trainer = trainers.UnigramTrainer(
            vocab_size=1500, initial_alphabet=[*alphabet, "▁"], special_tokens=["<unk>"], unk_token="<unk>"
        )
    tokenizer.train_from_iterator(corpus(3 if kind == "unigram-unsplit" else 12), trainer)
    if kind == "prepend-bpe":
        tokenizer.pre_tokenizer = None
    if kind in {"byte-bpe-bos", "prepend-bpe"}:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
        )
    return tokenizer


def save(kind: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    train(kind).save(str(folder / "tokenizer.json"))
    return folder
