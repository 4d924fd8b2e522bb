"""Calls of tools, pure: put together out of the pieces that a stream brings, and written as messages want them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

NAME = "run"  # of the tool that is called in a server's stead
CUT_OFF = "cut_off"  # under which arguments go back that are no JSON object, as max_tokens leaves them
DECLARATION = {
    "type": "function",
    "function": {
        "name": NAME,
        "description": "Runs the next step and says what came of it.",
        "parameters": {"type": "object", "properties": {}},
    },
}


@dataclass(slots=True)
class ToolCall:
    """One call as the server made it; what it left out is empty."""

    id: str = ""
    name: str = ""
    arguments: str = ""  # JSON, if the answer was not cut off in it

    def add(self, piece: Mapping[str, Any]) -> None:
        """Take in one delta: id and name come once, arguments bit by bit."""
        function = piece.get("function")
        function = function if isinstance(function, dict) else {}
        self.id = self.id or _text(piece.get("id"))
        self.name = self.name or _text(function.get("name"))
        arguments = function.get("arguments")
        self.arguments += _json(arguments) if isinstance(arguments, dict) else _text(arguments)


def collect(calls: dict[int, ToolCall], pieces: object) -> None:
    """Add a delta's, or a message's, `tool_calls` to the calls by their index."""
    if not isinstance(pieces, Sequence) or isinstance(pieces, str):
        return
    for place, piece in enumerate(pieces):
        if isinstance(piece, dict):
            index = piece.get("index")
            calls.setdefault(index if isinstance(index, int) else place, ToolCall()).add(piece)


def made_up(number: int) -> ToolCall:
    """The call that stands where an answer has none: an id of nine letters and digits, as some templates demand."""
    return ToolCall(f"trie{number % 100_000:05d}", NAME, "{}")


def complete(call: ToolCall, number: int) -> ToolCall:
    """A call that any template takes: with an id, a name, and arguments that are a JSON object."""
    spare = made_up(number)
    arguments = sound(call.arguments) or spare.arguments
    return ToolCall(sound(call.id) or spare.id, sound(call.name) or spare.name, _object(arguments))


def written(calls: Sequence[ToolCall]) -> bytes:
    """The value of a message's `tool_calls`; of complete calls."""
    return orjson.dumps(
        [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in calls
        ]
    )


def sound(text: str) -> str:
    """Text that UTF-8 can hold: halves of a surrogate pair are joined or replaced."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _object(arguments: str) -> str:
    try:
        if isinstance(orjson.loads(arguments), dict):
            return arguments
    except orjson.JSONDecodeError:
        pass
    return _json({CUT_OFF: arguments})


def _json(value: Mapping[str, Any]) -> str:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # lone surrogates, integers of more than 64 bits, nested too deeply
        return ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
