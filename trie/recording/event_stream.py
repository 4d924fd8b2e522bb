"""An answer on its way through: what it says of usage, and a stream without the event that only we asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from trie.endpoint.sse import decode
from trie.endpoint.usage import first_choice, usage_of

BLANK_LINE = re.compile(rb"\r\n\r\n|\n\n|\r\r")
USAGE = re.compile(rb'"usage"\s*:\s*\{')


class EventStream:
    """Takes a stream piece by piece and gives it back.

    Args:
        hide_usage: leave out the event that holds usage and no choice. Then a piece of an event waits for the rest.
    """

    def __init__(self, *, hide_usage: bool) -> None:
        self.usage: Mapping[str, Any] | None = None
        self._hide = hide_usage
        self._held = b""  # of an event that is not whole

    def feed(self, piece: bytes) -> bytes:
        """What may go on of the stream now."""
        held = self._held + piece
        at, kept = 0, []
        for blank in BLANK_LINE.finditer(held):
            event = held[at : blank.end()]
            at = blank.end()
            if not self._note(event):
                kept.append(event)
        self._held = held[at:]
        return b"".join(kept) if self._hide else piece

    def end(self) -> bytes:
        """What is left when the stream has ended."""
        rest, self._held = self._held, b""
        hidden = self._note(rest)
        return rest if self._hide and not hidden else b""

    def _note(self, event: bytes) -> bool:
        """Keep the usage that an event reports; whether it holds nothing else."""
        if USAGE.search(event) is None:
            return False
        for part in decode(event):
            chunk = json_object(part.data)
            usage = usage_of(chunk, first_choice(chunk))
            if usage is not None:
                self.usage = usage
                return chunk.get("choices") == []
        return False


class Document:
    """An answer that is no stream: what it says of usage once all of it came.

    Args:
        keep: the answer is looked at; else nothing of it is held.
    """

    def __init__(self, *, keep: bool) -> None:
        self._keep = keep
        self._pieces: list[bytes] = []

    def feed(self, piece: bytes) -> bytes:
        """The piece as it is."""
        if self._keep:
            self._pieces.append(piece)
        return piece

    def end(self) -> bytes:
        """Nothing is held back."""
        return b""

    @property
    def usage(self) -> Mapping[str, Any] | None:
        """The usage object of the whole answer."""
        answer = json_object(b"".join(self._pieces))
        return usage_of(answer, first_choice(answer))


def json_object(text: bytes) -> dict[str, Any]:
    """A JSON object; an empty one for anything else."""
    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}
