"""Where the text of an answer stands in a choice, pure: content and reasoning under all their names and in parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trie.endpoint.tool_calls import ToolCall, collect

REASONING = ("reasoning_content", "reasoning", "thinking", "reasoning_details", "reasoning_text", "thoughts")
INNER = ("text", "thinking", "reasoning", "summary", "content", "value")  # under which a part holds its text
MAX_DEPTH = 8  # of parts in parts
CALL_BYTES = 64  # of a tool call's own markup, which no server streams


class Texts:
    """All that an answer says, piece by piece as it came."""

    __slots__ = ("calls", "content", "reasoning")

    def __init__(self) -> None:
        self.calls: list[ToolCall] = []
        self.content: list[str] = []
        self.reasoning: list[str] = []

    @property
    def any(self) -> bool:
        return any(self.content) or any(self.reasoning) or bool(self.calls)

    @property
    def size_bytes(self) -> int:
        """Of all its texts, with an allowance for the markup of calls."""
        texts = (*self.content, *self.reasoning, *(call.name + call.arguments for call in self.calls))
        return len("".join(texts).encode("utf-8", "replace")) + CALL_BYTES * len(self.calls)

    def keep(self, choice: Mapping[str, Any], *, closing: bool) -> int | None:
        """Keep the texts of a choice; how many characters they have, None where it holds nothing new.

        A `closing` one, which comes with the finish reason or behind it, may say the whole answer once more.
        """
        text = choice.get("text")
        if isinstance(text, str):
            return self._keep(text, "", 0, closing=closing)
        part = choice.get("delta")
        whole = not part and isinstance(choice.get("message"), dict)
        part = choice["message"] if whole else part
        if not isinstance(part, dict):
            return None
        pieces = part.get("tool_calls")
        if whole and closing and self.calls and pieces:
            return None
        others = collect(self.calls, pieces) if pieces else 0
        others += sum(len(str(part[name])) for name in ("refusal", "function_call") if part.get(name))
        size = self._keep(*content_and_reasoning(part), others, closing=closing)
        return 0 if size is None and pieces else size

    def _keep(self, content: str, reasoning: str, others: int, *, closing: bool) -> int | None:
        if closing and self._repeats(content, reasoning):
            return None
        if content:
            self.content.append(content)
        if reasoning:
            self.reasoning.append(reasoning)
        return len(content) + len(reasoning) + others or None

    def _repeats(self, content: str, reasoning: str) -> bool:
        """Whether these are all of the texts once more, which came in several pieces."""
        if len(self.content) + len(self.reasoning) <= 1 or not (content or reasoning):
            return False
        pairs = ((content, self.content), (reasoning, self.reasoning))
        return all(not text or text.strip() == "".join(pieces).strip() for text, pieces in pairs)


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


def has_role(choice: Mapping[str, Any]) -> bool:
    """Whether a choice opens a chat by saying who speaks."""
    delta = choice.get("delta")
    return isinstance(delta, dict) and bool(delta.get("role"))


def _is_thought(part: object) -> bool:
    kind = part.get("type") if isinstance(part, dict) else None
    return isinstance(kind, str) and ("think" in kind or "reason" in kind)
