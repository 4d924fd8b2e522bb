"""What is kept of a prompt in place of its text: keyed hashes of its beginnings, which tell how conversations go on.

Theory of operation. A mark is the hash of a prompt up to a place: the end of each message of a chat, the end of each
block of a text or of token ids. A mark covers all before it, so that two prompts with an equal mark begin with the same
text. The key is drawn anew for each recording and never leaves the memory: nobody can try texts against the marks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson

BLOCK_BYTES = 256  # of a prompt that is one text
BLOCK_IDS = 64  # of a prompt that is token ids
# What makes a message another one. Hints for caches move from message to message, and reasoning is left out later.
MESSAGE_FIELDS = ("role", "content", "tool_calls", "tool_call_id", "name")
HINTS = ("cache_control",)


class Marks(NamedTuple):
    """A prompt by its marks."""

    marks: list[bytes]
    size: int  # messages, bytes or ids: a prompt that goes on has more of them


def marks_of(body: Mapping[str, Any], key: bytes) -> Marks | None:
    """The marks of a request's prompt; None where it has several prompts, or none."""
    parts = _parts(body)
    if parts is None:
        return None
    mark = orjson.dumps(str(body.get("model")))
    marks = []
    for part in parts[0]:
        mark = blake2b(mark + part, key=key, digest_size=16).digest()
        marks.append(mark)
    return Marks(marks, parts[1])


def _parts(body: Mapping[str, Any]) -> tuple[Iterator[bytes], int] | None:
    """The pieces of a prompt whose ends are marked, and its size."""
    messages, prompt = body.get("messages"), body.get("prompt")
    if isinstance(messages, list):
        return map(_message, messages), len(messages)
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if isinstance(prompt, str):
        text = prompt.encode(errors="surrogatepass")
        return _blocks(text, BLOCK_BYTES), len(text)
    if isinstance(prompt, list) and all(type(token) is int for token in prompt):
        return (orjson.dumps(block) for block in _blocks(prompt, BLOCK_IDS)), len(prompt)
    return None


def _message(message: object) -> bytes:
    if not isinstance(message, dict):
        return orjson.dumps(message)
    content = message.get("content")
    if isinstance(content, list):
        content = [_without_hints(part) for part in content]
    kept = {name: message.get(name) for name in MESSAGE_FIELDS} | {"content": content}
    return orjson.dumps(kept, option=orjson.OPT_SORT_KEYS)


def _without_hints(part: object) -> object:
    return {name: part[name] for name in part if name not in HINTS} if isinstance(part, dict) else part


def _blocks(whole: Any, size: int) -> Iterator[Any]:
    """Its whole blocks."""
    return (whole[at : at + size] for at in range(0, len(whole) - size + 1, size))


class Conversations:
    """Which conversation a prompt goes on: the one whose last prompt is the longest beginning of it."""

    def __init__(self) -> None:
        self._ends: dict[bytes, tuple[int, int]] = {}  # last mark of a conversation's last prompt -> size, number
        self._count = 0

    def number(self, prompt: Marks) -> int:
        """The number of the prompt's conversation, from now on known by this prompt."""
        number = self._continued(prompt)
        if number is None:
            number = self._count
            self._count += 1
        if prompt.marks:
            self._ends[prompt.marks[-1]] = (prompt.size, number)
        return number

    def _continued(self, prompt: Marks) -> int | None:
        for mark in reversed(prompt.marks):
            size, number = self._ends.get(mark, (prompt.size, 0))
            if size < prompt.size:
                del self._ends[mark]
                return number
        return None


def single_answer(body: Mapping[str, Any], several: Sequence[str] = ("n", "best_of")) -> bool:
    """Whether a request asks for one answer."""
    return all(body.get(name) in (None, 1) for name in several)
