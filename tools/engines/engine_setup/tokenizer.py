"""The tiny models' tokenizer: a byte-level BPE of its own, or one that exists."""

from __future__ import annotations

import json
import re
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

VOCABULARY = 8192
CORPUS_BYTES = 4_000_000
END = "<|endoftext|>"
SPECIAL = (END, "<|im_start|>", "<|im_end|>", "<|pad|>")
# How Llama 3 splits text before it merges: llama.cpp knows that split by name.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Every role an agent sends: declared tools, calls and their arguments, what tools returned, reasoning where it is kept.
CHAT_TEMPLATE = """\
{%- if tools %}<|im_start|>tools
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}<|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{% if message.reasoning_content %}<think>{{ message.reasoning_content }}</think>
{% endif %}
{%- if message.content %}{{ message.content }}{% endif %}
{%- if message.tool_calls %}{% for call in message.tool_calls %}
<tool_call>{{ call.function.name }}{# Some engines parse the arguments first. #} \
{% if call.function.arguments is string %}{{ call.function.arguments }}\
{% else %}{{ call.function.arguments | tojson }}{% endif %}</tool_call>{% endfor %}{% endif %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def write(folder: Path, existing: Path | None, max_position: int) -> tuple[Tokenizer, int | None]:
    """Write a tokenizer's files into a model's folder.

    Args:
        folder: of the model.
        existing: a folder with a tokenizer.json to take instead of training one.
        max_position: the model's context in tokens.

    Returns:
        The tokenizer and the id of its end-of-text token, None where it has none.
    """
    if existing is None:
        tokenizer, settings = _trained(), {"eos_token": END, "pad_token": "<|pad|>", "add_bos_token": False}
        tokenizer.save(str(folder / "tokenizer.json"))
    else:
        shutil.copyfile(existing / "tokenizer.json", folder / "tokenizer.json")
        tokenizer, settings = Tokenizer.from_file(str(folder / "tokenizer.json")), _settings_of(existing)
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": CHAT_TEMPLATE, **settings}
    settings |= {"model_max_length": max_position, "clean_up_tokenization_spaces": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1))
    end = settings.get("eos_token")
    text = end["content"] if isinstance(end, dict) else end
    return tokenizer, tokenizer.token_to_id(text) if text else None


def _settings_of(existing: Path) -> dict[str, Any]:
    path = existing / "tokenizer_config.json"
    settings: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return settings


def _trained() -> Tokenizer:
    """The same on the same Python: trained on the sources of its standard library, which every machine has."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(SPLIT), behavior="isolated")
    as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, as_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in SPECIAL])
    return tokenizer


def _corpus() -> Iterator[str]:
    size = 0
    library = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(library.rglob("*.py")):
        if {"site-packages", "test", "tests"} & set(path.parts):
            continue
        text = path.read_bytes().decode("utf-8", "ignore")
        yield text
        size += len(text)
        if size > CORPUS_BYTES:
            return


def sayable(tokenizer: Tokenizer, output: str) -> list[int]:
    """Ids that a model may say.

    Args:
        tokenizer: of the model.
        output: `words`: a space and letters, each its own token wherever it stands, so that an answer sent back as
            text becomes the very ids that the engine has cached; `any`: all that are not special, pieces of
            characters included.
    """
    special = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    ids = sorted(set(tokenizer.get_vocab(with_added_tokens=True).values()) - special)
    if output == "any":
        return ids
    texts = tokenizer.decode_batch([[number] for number in ids], skip_special_tokens=False)
    words = [(number, text) for number, text in zip(ids, texts, strict=True) if re.fullmatch(" [A-Za-z]+", text)]
    encoded = tokenizer.encode_batch([text for _, text in words], add_special_tokens=False)
    return [number for (number, _), found in zip(words, encoded, strict=True) if found.ids == [number]]
