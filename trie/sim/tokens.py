"""What the embedded endpoint reads and writes: tokens of a prompt, words of an answer."""

from __future__ import annotations

import random
from collections import OrderedDict, defaultdict
from collections.abc import Hashable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from trie.config import SimConfig
from trie.errors import ConfigError
from trie.sim.prefix_cache import chain

# One token each, behind a space, in every current vocabulary.
WORDS = (
    "the of and to in is for that with this from by are new all have one time about other some more when their into "
    "only first over these most after also made many before through where much your well down should because each "
    "people state good very world still between life being under never day same another know while last might great"
).split()
WORD_IDS = {word: index for index, word in enumerate(WORDS)}
POOL = random.Random(0).choices(WORDS, k=4093)  # a prime, so that answers start all over it
ANSWER_STEP = 1597

MOST_ALIKE = 256  # prompts with one head that are looked through
HEAD_CHARS = 256  # what tells conversations apart when their next turn is recognised
KEPT_CHARS = 1 << 26  # of prompts kept to recognise a next turn by

Tokens = Sequence[Hashable]


class Prompt(NamedTuple):
    """A prompt as the model needs it."""

    tokens: int
    blocks: list[int]  # chain hashes of its whole blocks
    tail: Tokens  # tokens after the last whole block


class Reader:
    """Cuts prompts into tokens: a text at its spaces, or by the tokenizer.json in `sim.tokenizer`.

    Raises:
        ConfigError: when that file can't be read.
    """

    def __init__(self, config: SimConfig) -> None:
        self._block = config.block_tokens
        self._bos: tuple[Hashable, ...] = ("<bos>",) if config.add_bos else ()
        self._loaded = None if config.tokenizer is None else _load(config.tokenizer)
        self._kept: OrderedDict[int, str] = OrderedDict()  # numbers of prompts and their heads, the oldest first
        self._by_head: defaultdict[str, dict[int, tuple[str, Prompt]]] = defaultdict(dict)
        self._kept_chars = self._number = 0

    @property
    def slow(self) -> bool:
        """Whether reading a text takes long enough to belong in a thread."""
        return self._loaded is not None

    def read(self, prompt: Any) -> Prompt:
        """A completions prompt: a text, a list of one text, token ids, or a list of one list of them.

        Raises:
            ValueError: for anything else, or an empty prompt.
        """
        if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
            prompt = prompt[0]
        if not prompt:
            raise ValueError("prompt: must not be empty")
        if isinstance(prompt, str):
            return self._cut_whole([*self._bos, *self.cut(prompt)]) if self.slow else self._read_words(prompt)
        if isinstance(prompt, list) and all(type(token) is int for token in prompt):
            return self._cut_whole(prompt)
        raise ValueError("prompt: must be one text or one list of token ids")

    def cut(self, text: str) -> Tokens:
        """The tokens of a text, at least one."""
        if self._loaded is None:
            return text.split() or [text]
        ids: list[int] = self._loaded.encode(text, add_special_tokens=False).ids
        return ids or [0]

    def answer_ids(self, number: int, length: int) -> list[int]:
        """Ids of answer `number`, one for each of its words."""
        words = answer_words(number, 0, length)
        if self._loaded is None:
            return [WORD_IDS[word] for word in words]
        return [self._loaded.encode(f" {word}", add_special_tokens=False).ids[0] for word in words]

    def answer(self, number: int, length: int, *, ids: bool) -> Tokens:
        """The tokens of answer `number` as they come back in a prompt, in ids or in words."""
        words = answer_words(number, 0, length)
        if ids:
            return self.answer_ids(number, length)
        return self.cut(" " + " ".join(words)) if self.slow else words

    def _cut_whole(self, tokens: Tokens, before: Prompt | None = None) -> Prompt:
        """A prompt out of its tokens, or out of those that come after another prompt."""
        if before is not None:
            tokens = [*before.tail, *tokens]
        blocks = chain(tokens, self._block, before.blocks if before else ())
        known = len(before.blocks) if before else 0
        rest = tokens[(len(blocks) - known) * self._block :]
        return Prompt(len(blocks) * self._block + len(rest), blocks, rest)

    def _read_words(self, text: str) -> Prompt:
        """Cut at spaces; a conversation's next turn repeats the last one, so only what was added is cut."""
        head = text[:HEAD_CHARS]
        number = self._repeated(text, head)
        if number is None:
            prompt = self._cut_whole([*self._bos, *self.cut(text)])
        else:
            known_text, known = self._forget(number)
            prompt = self._cut_whole(text[len(known_text) :].split(), known)
        self._number += 1
        self._kept[self._number] = head
        self._by_head[head][self._number] = text, prompt
        self._kept_chars += len(text)
        while self._kept_chars > KEPT_CHARS:
            self._forget(next(iter(self._kept)))
        return prompt

    def _repeated(self, text: str, head: str) -> int | None:
        """The number of the prompt that a text goes on from; where traces share a prefix, many have the same head."""
        alike = self._by_head.get(head, {})
        for number in islice(reversed(alike), MOST_ALIKE):
            known = alike[number][0]
            if text.startswith(known) and text[len(known) :][:1].strip() == "":
                return number
        return None

    def _forget(self, number: int) -> tuple[str, Prompt]:
        head = self._kept.pop(number)
        kept = self._by_head[head].pop(number)
        if not self._by_head[head]:
            del self._by_head[head]
        self._kept_chars -= len(kept[0])
        return kept


def _load(folder: str) -> Any:
    from tokenizers import Tokenizer  # only for those who ask

    file = Path(folder) / "tokenizer.json"
    if not file.is_file():
        raise ConfigError(f"sim.tokenizer={folder}: must be a folder that holds a tokenizer.json")
    return Tokenizer.from_file(str(file))


def list_of_ids(prompt: Any) -> list[int] | None:
    """The ids of a prompt that is a list of them, as it was read before."""
    return prompt if isinstance(prompt, list) and type(prompt[0]) is int else None


def chat_text(messages: Any) -> str:
    """Messages under a minimal template: one word for the role before each, one for each call, one for the answer.

    Raises:
        ValueError: for anything but a list of messages with text contents, and for tool outputs that answer no call or
            calls that are left unanswered, as strict templates have it.
    """
    if not isinstance(messages, list) or not messages:
        raise ValueError("messages: must be a list of at least one message")
    text, open_calls = "", list[str]()
    for message in messages:
        role, content = _role(message), _content(message)
        if role == "tool":
            if message.get("tool_call_id") not in open_calls:
                raise ValueError("messages: a tool's output must answer a call of the message before")
            open_calls.remove(message["tool_call_id"])
        elif open_calls:
            raise ValueError("messages: each call must be answered by a tool's output")
        else:
            open_calls = _calls(message)
        text += f" <{role}> {content}" + " <call>" * (len(open_calls) if role != "tool" else 0)
    return text + " <assistant>"


def _calls(message: dict[str, Any]) -> list[str]:
    """Ids of the calls that a message makes."""
    calls = message.get("tool_calls") or []
    ids = [call.get("id") if isinstance(call, dict) else None for call in calls] if isinstance(calls, list) else [None]
    names = [name for name in ids if isinstance(name, str)]
    if len(names) < len(ids):
        raise ValueError("messages: tool_calls must be a list of objects with an id each")
    return names


def _role(message: Any) -> str:
    role = message.get("role") if isinstance(message, dict) else None
    if not isinstance(role, str) or not role:
        raise ValueError("messages: each must be an object with a role")
    return role


def _content(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else None for part in content]
        texts = [part for part in parts if isinstance(part, str)]
        content = "".join(texts) if len(texts) == len(parts) else None
    if not isinstance(content, str):
        raise ValueError("messages: each must have a text content")
    return content


def answer_words(number: int, start: int, stop: int) -> list[str]:
    """Words `start` to `stop` of answer `number`: different from one answer to the next."""
    at = number * ANSWER_STEP
    size = len(POOL)
    return [POOL[(at + i) % size] for i in range(start, stop)]
