"""Answers in token ids, pure: what goes back to the server as it came, so that a prefix is exact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trie.endpoint.response import Answer
from trie.endpoint.sse import Aside

MAX_ID = 1 << 32  # above it an id is a mistake
PROMPT = b'"prompt_token_ids":['


class IdAnswer(Answer):
    """An answer whose token ids were asked for: they tell what each chunk bears, and no token may lack its own."""

    __slots__ = ()

    @staticmethod
    def _run(data: Sequence[bytes]) -> None:
        """Each chunk has ids of its own."""

    def events(self, data: Sequence[bytes], ends: Sequence[int], asides: Sequence[Aside] = ()) -> None:
        super().events([without_prompt(event) for event in data], ends, asides)

    def event(self, data: bytes, end: int) -> None:
        super().event(without_prompt(data), end)

    def plain(self, data: bytes) -> None:
        super().plain(without_prompt(data))

    def _chunks(self, values: Sequence[Any], ends: Sequence[int]) -> None:
        for value, end in zip(values, ends, strict=False):
            self._chunk(value, end)

    def _bears(self, choice: Mapping[str, Any], tokens_so_far: int | None) -> int | None:
        size, ids = super()._bears(choice, tokens_so_far), choice.get("token_ids")
        if isinstance(ids, list):
            return (size or 0) if ids else None
        return size

    def _keep(self, choice: Mapping[str, Any]) -> int | None:
        ids = choice.get("token_ids")
        if isinstance(ids, list):
            self.ids += (token for token in ids if type(token) is int and 0 <= token < MAX_ID)
        return super()._keep(choice)

    def _tokens_in(self, choice: Mapping[str, Any], tokens_so_far: int | None) -> int | None:
        ids = choice.get("token_ids")
        return len(ids) if isinstance(ids, list) else super()._tokens_in(choice, tokens_so_far)

    def failure(self, *, stream: bool) -> tuple[str, str] | None:
        failure, tokens = super().failure(stream=stream), self.completion_tokens
        if failure is None and (not self.ids if tokens is None else len(self.ids) != tokens):
            return "bad_response", f"{len(self.ids)} token ids came for {'its' if tokens is None else tokens} tokens"
        return failure


def without_prompt(event: bytes) -> bytes:
    """An event without the ids of the prompt, which servers repeat in the first one: megabytes that nobody reads."""
    start = event.find(PROMPT)
    stop = event.find(b"]", start)
    return event if start < 0 or stop < 0 else event[: start + len(PROMPT)] + event[stop:]
