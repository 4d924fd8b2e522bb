"""Conversations whose texts are there and whose counts are not: their lengths by the user's tokenizer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from trie.workload.importers.importer import Source, Tokens
from trie.workload.importers.session import Call, Session

ASSISTANT = frozenset({"assistant", "gpt", "ai", "bot", "chatgpt", "model"})
NO_TEMPLATE = "a chat template adds no tokens to the texts"


class Said(NamedTuple):
    """A text of a conversation, by the agent or to it."""

    text: str
    by_agent: bool
    reasoning: str = ""
    wait_s: float | None = None  # before the request that it is sent in


def session(parts: Iterable[Said], source: Source) -> Session:
    """A request for each text of the agent, whose prompt is all before it; what nobody answered is left out."""
    parts = list(parts)
    tokens = lengths(parts, source.counter())
    source.assume(NO_TEMPLATE)
    calls: list[Call] = []
    held, wait_s = 0, None
    for part, (visible, reasoning) in zip(parts, tokens, strict=True):
        if part.by_agent:
            if held:
                calls.append(Call(held, visible + reasoning, reasoning, wait_s=wait_s))
            wait_s = None
        elif part.wait_s is not None:
            wait_s = (wait_s or 0.0) + part.wait_s
        held += visible
    return Session(calls)


def lengths(parts: list[Said], tokens: Tokens) -> list[tuple[int, int]]:
    """Visible tokens and reasoning of each part."""
    counts = tokens([text for part in parts for text in (part.text, part.reasoning)])
    return list(zip(counts[::2], counts[1::2], strict=True))


def message(row: Mapping[str, Any], *, role: str = "role", content: str = "content") -> Said:
    """A message of the form that chats have, calls of tools included."""
    called = [call for call in row.get("tool_calls") or () if isinstance(call, dict)]
    texts = [text_of(row.get(content)), *(_called(call) for call in called)]
    reasoning = text_of(row.get("reasoning_content") or row.get("reasoning"))
    return Said("\n".join(filter(None, texts)), str(row.get(role)).lower() in ASSISTANT, reasoning)


def text_of(content: Any) -> str:
    """A content that is a text, or a list of parts that have one."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(text_of(part.get("text") or part.get("content")) for part in content if isinstance(part, dict))
    return ""


def _called(call: Mapping[str, Any]) -> str:
    function = call.get("function")
    if not isinstance(function, dict):
        return ""
    arguments = function.get("arguments")
    return f"{function.get('name', '')} {arguments if isinstance(arguments, str) else json.dumps(arguments)}"
