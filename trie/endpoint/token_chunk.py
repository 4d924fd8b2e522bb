"""Chunks that bring one token and nothing else, as nearly all do: read at a third of the cost of any other."""

from __future__ import annotations

from typing import Any

from trie.endpoint.answer_text import REASONING

BESIDE = ("tool_calls", *REASONING[:4])  # what a delta may bring beside its content
THOUGHTS = ("reasoning_content", "reasoning")  # as engines call it


def text_alone(value: Any) -> str | None:
    """The text of a chunk that brings one and nothing else to note, as nearly all do; None for any other chunk."""
    try:
        (choice,) = value["choices"]
        if choice["finish_reason"] is not None or value.get("usage") or "error" in value or "usage" in choice:
            return None
        if "text" in choice:
            text = choice["text"]
        elif len(delta := choice["delta"]) == 1:
            text = delta["content"] or None
        else:
            text = None if any(map(delta.get, BESIDE)) else delta["content"] or None
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return text if text.__class__ is str else None


def thought_alone(value: Any) -> str | None:
    """The same of a chunk that brings reasoning alone."""
    try:
        (choice,) = value["choices"]
        if choice["finish_reason"] is not None or value.get("usage") or "error" in value or "usage" in choice:
            return None
        (text,) = filter(None, choice["delta"].values())
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return text if text.__class__ is str and text in map(choice["delta"].get, THOUGHTS) else None
