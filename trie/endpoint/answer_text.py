"""Where the text of an answer stands in a choice, pure: content and reasoning under all their names and in parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

REASONING = ("reasoning_content", "reasoning", "thinking", "reasoning_details", "reasoning_text", "thoughts")
INNER = ("text", "thinking", "reasoning", "summary", "content", "value")  # under which a part holds its text
MAX_DEPTH = 8  # of parts in parts


def content_and_reasoning(message: Mapping[str, Any]) -> tuple[str, str]:
    """The texts of a delta or a message.

    Reasoning is taken under the first name that holds any: servers give it under several at once. Content that is a
    list may hold parts of reasoning beside those of text.
    """
    content = message.get("content")
    reasoning = next((text for name in REASONING if (value := message.get(name)) and (text := text_in(value))), "")
    if not isinstance(content, list):
        return text_in(content), reasoning
    thoughts = [part for part in content if _is_thought(part)]
    return text_in([part for part in content if not _is_thought(part)]), reasoning or text_in(thoughts)


def text_in(value: object, depth: int = 0) -> str:
    """The text in a string, a part, or a list of parts; empty where there is none."""
    if isinstance(value, str):
        return value
    if depth > MAX_DEPTH:
        return ""
    if isinstance(value, list):
        return "".join(text_in(part, depth + 1) for part in value)
    if isinstance(value, dict):
        return next((text for name in INNER if (text := text_in(value.get(name), depth + 1))), "")
    return ""


def _is_thought(part: object) -> bool:
    kind = part.get("type") if isinstance(part, dict) else None
    return isinstance(kind, str) and ("think" in kind or "reason" in kind)
