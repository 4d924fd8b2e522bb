"""Answers in token ids, pure: what goes back to the server as it came, so that a prefix is exact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trie.endpoint.response import Answer

MAX_ID = 1 << 32  # above it an id is a mistake
PROMPT = b'"prompt_token_ids":['


class IdAnswer(Answer):
    """An answer whose token ids were asked for: they tell what each chunk bears, and no token may lack its own."""

    __slots__ = ()

    def events(self, data: Sequence[bytes], ends: Sequence[int]) -> None:
        super().events([without_prompt(one) for one in data], ends)

    def event(self, data: bytes, end: int) -> None:
        super().event(without_prompt(data), end)

    def plain(self, data: bytes) -> None:
        super().plain(without_prompt(data))

    def _chunk(self, value: Any, end: int) -> None:
        self._any_chunk(value, end)

    def _bears(self, choice: Mapping[str, Any]) -> bool:
        said, ids = super()._bears(choice), choice.get("token_ids")
        return bool(ids) if isinstance(ids, list) else said

    def _said(self, choice: Mapping[str, Any]) -> bool:
        ids = choice.get("token_ids")
        if isinstance(ids, list):
            self.ids += (one for one in ids if type(one) is int and 0 <= one < MAX_ID)
        return super()._said(choice)

    def _told(self, choice: Mapping[str, Any], usage: object) -> int | None:
        ids = choice.get("token_ids")
        return len(ids) if isinstance(ids, list) else super()._told(choice, usage)

    def failure(self, *, stream: bool) -> tuple[str, str] | None:
        found, tokens = super().failure(stream=stream), self.completion_tokens
        if found is None and (not self.ids if tokens is None else len(self.ids) != tokens):
            return "bad_response", f"{len(self.ids)} token ids came for {'its' if tokens is None else tokens} tokens"
        return found


def without_prompt(event: bytes) -> bytes:
    """An event without the ids of the prompt, which servers repeat in the first one: megabytes that nobody reads."""
    start = event.find(PROMPT)
    stop = event.find(b"]", start)
    return event if start < 0 or stop < 0 else event[: start + len(PROMPT)] + event[stop:]
