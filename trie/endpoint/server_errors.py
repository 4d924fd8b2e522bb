"""How servers say that they failed, pure: in objects of many shapes, and in finish reasons of many words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from trie.endpoint.json_text import shown

NO_REASON = frozenset({"", "null", "none"})  # finish reasons that say nothing
WORDS = (
    "message",
    "detail",
    "error",
    "msg",
    "error_message",
    "error_msg",
    "errors",
)  # under which objects say what is wrong
_GAVE_UP = re.compile(
    r"abort|error|cancel|fail|time_?d?_?out|insufficient|overload|unavailable|exception|crash|kill|evict|interrupt|"
    r"disconnect|malformed",
    re.IGNORECASE,
)


def gave_up(finish_reason: str | None) -> bool:
    """Whether a finish reason means that the server gave up, in whoever's words."""
    return finish_reason is not None and _GAVE_UP.search(finish_reason) is not None


def error_in(chunk: Mapping[str, Any]) -> object:
    """What a chunk of a stream, or a plain answer, says of a failure; None where it says nothing of one."""
    if error := chunk.get("error"):
        return error if isinstance(error, str | dict) else chunk
    if "error" in (chunk.get("object"), chunk.get("type")):
        return chunk
    choices = chunk.get("choices")
    if (
        not choices
        and "usage" not in chunk
        and any(isinstance(chunk.get(name), str | list) and chunk[name] for name in WORDS)
    ):
        return chunk
    for holder in (chunk.get("x_groq"), *(choices[:1] if isinstance(choices, list) else ())):
        if isinstance(holder, dict) and (error := holder.get("error")):
            return error
    return None


def message(error: object) -> str:
    """The human part of an `error` value, whichever of the usual shapes it has; at most 300 characters."""
    for _ in range(3):  # errors wrapped in errors
        if not isinstance(error, dict):
            break
        error = next((error[name] for name in WORDS if error.get(name)), None) or shown(error)
    return (error if isinstance(error, str) else shown(error))[:300]
