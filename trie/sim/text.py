"""What the embedded endpoint reads and writes: tokens of a prompt, words of an answer."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

from trie.config import SimConfig
from trie.errors import ConfigError

# One token each, behind a space, in every current vocabulary.
WORDS = (
    "the of and to in is for that with this from by are new all have one time about other some more when their into "
    "only first over these most after also made many before through where much your well down should because each "
    "people state good very world still between life being under never day same another know while last might great"
).split()
STRIDES = (1, 5, 11, 13, 17, 19, 23, 25, 29, 31)

Tokens = Sequence[Hashable]


def tokenizer(config: SimConfig) -> Callable[[str], Tokens]:
    """How text is cut into tokens: at its spaces, or by the tokenizer.json in `sim.tokenizer`.

    Raises:
        ConfigError: when that file can't be read.
    """
    if config.tokenizer is None:
        return str.split
    from tokenizers import Tokenizer  # noqa: PLC0415 - only for those who ask

    file = Path(config.tokenizer) / "tokenizer.json"
    if not file.is_file():
        raise ConfigError(f"sim.tokenizer={config.tokenizer}: must be a folder that holds a tokenizer.json")
    loaded = Tokenizer.from_file(str(file))
    return lambda text: loaded.encode(text, add_special_tokens=False).ids


def prompt_tokens(prompt: Any, cut: Callable[[str], Tokens], *, add_bos: bool) -> Tokens:
    """The tokens of a completions prompt: text, a list of one text, token ids, or a list of one list of them.

    Raises:
        ValueError: for anything else, or an empty prompt.
    """
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        prompt = prompt[0]
    if isinstance(prompt, str):
        tokens = cut(prompt)
        tokens = ["<bos>", *tokens] if add_bos else tokens
    elif isinstance(prompt, list) and all(isinstance(token, int) for token in prompt):
        tokens = prompt
    else:
        raise ValueError("prompt: must be a text or a list of token ids")
    if not tokens:
        raise ValueError("prompt: must not be empty")
    return tokens


def chat_text(messages: Any) -> str:
    """Messages under a minimal template: a role word before each, and one for the answer to come.

    Raises:
        ValueError: for anything but a list of messages with text contents.
    """
    if not isinstance(messages, list) or not messages:
        raise ValueError("messages: must be a list of at least one message")
    words = []
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        if not isinstance(content, str):
            raise ValueError("messages: each must hold a role and a text content")
        words.append(f" <{message.get('role', 'user')}>{content}")
    return "".join(words) + " <assistant>"


def answer_words(number: int, count: int) -> list[str]:
    """The words of answer `number`: seeded, different from one answer to the next."""
    size = len(WORDS)
    stride = STRIDES[number % len(STRIDES)]
    at = number // len(STRIDES)
    return [WORDS[(at + i * stride) % size] for i in range(count)]
