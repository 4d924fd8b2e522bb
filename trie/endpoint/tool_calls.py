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
    index: int | None = None  # its place among the answer's calls, where the server says it

    def add(self, piece: Mapping[str, Any]) -> int:
        """Take in one delta: id and name come once, arguments bit by bit; how many characters it brought."""
        function = _function(piece)
        arguments = function.get("arguments")
        arguments = _json(arguments) if isinstance(arguments, dict) else _text(arguments)
        name = "" if self.name else _text(function.get("name"))
        self.id = self.id or _text(piece.get("id"))
        self.name += name
        self.arguments += arguments
        return len(name) + len(arguments)


def collect(calls: list[ToolCall], pieces: object) -> int:
    """Add a delta's, or a message's, `tool_calls` to the calls they belong to; how many characters they brought.

    A piece belongs to the call with its id, else to the latest one with its index, else to the latest one at all. An
    id, or a name where there are no ids, that this call can't have begins the next one: parallel calls never merge.
    """
    if not isinstance(pieces, Sequence) or isinstance(pieces, str):
        return 0
    characters = 0
    for piece in pieces:
        if isinstance(piece, dict):
            call = _call_of(calls, piece)
            if call is None:
                index = piece.get("index")
                call = ToolCall(index=index if isinstance(index, int) else None)
                calls.append(call)
            characters += call.add(piece)
    return characters


def in_order(calls: Sequence[ToolCall]) -> list[ToolCall]:
    """Calls by their index; those without one where they came."""
    places = [place if call.index is None else call.index for place, call in enumerate(calls)]
    return [calls[at] for at in sorted(range(len(calls)), key=places.__getitem__)]


def _call_of(calls: Sequence[ToolCall], piece: Mapping[str, Any]) -> ToolCall | None:
    """The call that a piece goes on with; None for one that it begins."""
    index, call_id = piece.get("index"), _text(piece.get("id"))
    here = [call for call in calls if not isinstance(index, int) or call.index in (index, None)]
    same = next((call for call in here if call_id and call.id == call_id), None)
    if same is not None:
        return same
    if not here or (call_id and here[-1].id):
        return None
    return None if _begins_next(here[-1], piece, has_index=isinstance(index, int)) else here[-1]


def _begins_next(latest: ToolCall, piece: Mapping[str, Any], *, has_index: bool) -> bool:
    """Whether a piece that no id tells from a call has a name of its own where that call is complete."""
    function = _function(piece)
    if not latest.name or not _text(function.get("name")):
        return False
    if has_index:  # which some servers never raise, while others repeat the name in each piece
        return bool(function.get("arguments")) and bool(latest.arguments) and not _is_open(latest)
    return not _is_open(latest)


def _is_open(call: ToolCall) -> bool:
    """Whether a call's arguments have begun and not ended."""
    return bool(call.arguments) and _object(call.arguments) != call.arguments


def _function(piece: Mapping[str, Any]) -> Mapping[str, Any]:
    function = piece.get("function")
    return function if isinstance(function, dict) else {}


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
