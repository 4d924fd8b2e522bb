"""What an OpenAI-compatible server says, pure: answers out of bodies and events, whatever the dialect.

Nothing here does I/O or reads a clock.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from trie.endpoint import tool_calls
from trie.endpoint.tool_calls import ToolCall

ABORTED = frozenset({"abort", "error"})  # finish reasons by which servers say that they gave up
DONE = b"[DONE]"


def loads(data: bytes) -> Any:
    """JSON as servers really send it: strict first, then with lone surrogates and invalid UTF-8 let through.

    Raises:
        ValueError: for what is no JSON at all.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            return json.loads(data.decode("utf-8", "replace"))
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


class Answer:
    """What a response has said so far: text, usage, how it ended. Feed it every event, then ask `failure`.

    `cached_at` are the names that lead to the cached tokens in a usage object, looked at before the usual places.
    """

    __slots__ = (
        "_cached_at",
        "_calls",
        "_closed",
        "_content",
        "_reasoning",
        "cached_tokens",
        "completion_tokens",
        "done",
        "error",
        "finish_reason",
        "first_chunk_tokens",
        "ids",
        "prompt_tokens",
        "token_ends",
    )

    def __init__(self, cached_at: Sequence[str] = ()) -> None:
        self._cached_at = cached_at
        self._calls: dict[int, ToolCall] = {}
        self._closed = False  # saw usage in a chunk of its own, which comes last; in every chunk it says nothing
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self.ids: list[int] = []  # of the tokens, where they were asked for
        self.token_ends: list[int] = []  # place in the body of each chunk that bore a token
        self.first_chunk_tokens: int | None = None  # in the first of them; None: the server does not tell
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self.cached_tokens: int | None = None
        self.finish_reason: str | None = None
        self.done = False  # saw [DONE], or the whole body of a plain response
        self.error: tuple[str, str] | None = None  # kind and text

    @property
    def content(self) -> str:
        return "".join(self._content)

    @property
    def reasoning(self) -> str:
        return "".join(self._reasoning)

    @property
    def text(self) -> str:
        """All there is to an answer that has one text: content, or reasoning where there is nothing else."""
        return self.content or self.reasoning

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The calls it made, in their order, as far as they came."""
        return [self._calls[index] for index in sorted(self._calls)]

    def events(self, data: Sequence[bytes], ends: Sequence[int]) -> None:
        """Take in neighbouring events of a stream, decoded in one go where they are JSON; `ends` are their places."""
        count = len(data) - (data[-1] == DONE)
        try:
            chunks = orjson.loads(b"[%b]" % b",".join(data[:count]))
        except orjson.JSONDecodeError:
            chunks = ()
        if len(chunks) != count:  # not each of them is a JSON value of its own
            for one, end in zip(data, ends, strict=True):
                self.event(one, end)
            return
        for chunk, end in zip(chunks, ends, strict=False):
            self._chunk(chunk, end)
        self.done |= count < len(data)

    def event(self, data: bytes, end: int) -> None:
        """Take in one event of a stream; `end` is its place in the body."""
        if data == DONE or data.strip() == DONE:
            self.done = True
            return
        try:
            chunk = loads(data)
        except ValueError:
            self.error = self.error or ("bad_response", f"not JSON: {data[:80]!r}")
            return
        self._chunk(chunk, end)

    def _chunk(self, value: Any, end: int) -> None:
        """Take in the value of one event."""
        if (text := _plain_token(value)) is not None:
            self._content.append(text)
            self.token_ends.append(end)
            return
        self._any_chunk(value, end)

    def _any_chunk(self, value: Any, end: int) -> None:
        chunk = self._checked(value)
        if chunk is None:
            return
        self._usage(counts := chunk.get("usage"))
        choice = _first(chunk.get("choices"))
        if choice is None:
            self._closed = self._closed or self.completion_tokens is not None
            return
        finish = choice.get("finish_reason")
        if isinstance(finish, str):
            self.finish_reason = finish
        if self._bears(choice):
            if not self.token_ends:
                self.first_chunk_tokens = self._told(choice, counts) or None
            self.token_ends.append(end)

    def _bears(self, choice: Mapping[str, Any]) -> bool:
        """Keep what a chunk says; true when it bears a token."""
        # An empty text is a token too (a piece of a character), but not in the closing chunk that some send.
        closing = choice.get("finish_reason") and self.token_ends
        return self._said(choice) or ("text" in choice and not closing)

    def _told(self, _: Mapping[str, Any], counts: object) -> int | None:
        """Tokens so far by the usage in a chunk; None where it has none."""
        return count(counts, COMPLETION)

    def plain(self, data: bytes) -> None:
        """Take in the whole body of a response that is no stream."""
        try:
            reply = self._checked(loads(data))
        except ValueError:
            self.error = ("bad_response", f"not JSON: {data[:80]!r}")
            return
        if reply is None:
            return
        self._usage(reply.get("usage"))
        choice = _first(reply.get("choices"))
        if choice is None:
            self.error = ("bad_response", "no choices in the answer")
            return
        finish = choice.get("finish_reason")
        self.finish_reason = finish if isinstance(finish, str) else None
        self._said(choice)
        self.done = True

    def failure(self, *, stream: bool) -> tuple[str, str] | None:
        """Kind and text of a failure that looks like success, or None for an answer that is whole."""
        if self.error is not None:
            return self.error
        if self.finish_reason in ABORTED:
            return "aborted", f"the server gave up: finish_reason {self.finish_reason}"
        if stream and not self.done and self.finish_reason is None and not self._closed:
            return "truncated", f"the stream ended after {len(self.token_ends)} chunks without finish_reason or usage"
        said = any(self._content) or any(self._reasoning) or self._calls
        if not said and not (self.token_ends if self.completion_tokens is None else self.completion_tokens):
            return "no_tokens", "the answer holds no token"
        return None

    def _checked(self, value: Any) -> Mapping[str, Any] | None:
        """The value as an object, or None when there is nothing more to read in it; notes an error found."""
        if not isinstance(value, dict):
            self.error = self.error or ("bad_response", f"not a JSON object: {_json(value)[:80]}")
            return None
        failed = value.get("error") or (value if "error" in (value.get("object"), value.get("type")) else None)
        if failed:
            self.error = self.error or ("error_event", message(failed))
            return None
        return value

    def _said(self, choice: Mapping[str, Any]) -> bool:
        """Keep the text of a choice; true when it held any."""
        text = choice.get("text")
        if isinstance(text, str):
            self._content.append(text)
            return bool(text)
        part = choice.get("delta") or choice.get("message")
        if not isinstance(part, dict):
            return False
        said = False
        for kept, value in (
            (self._content, part.get("content")),
            (self._reasoning, part.get("reasoning_content") or part.get("reasoning")),
        ):
            if isinstance(value, str) and value:
                kept.append(value)
                said = True
        tool_calls.collect(self._calls, part.get("tool_calls"))
        return said or bool(part.get("tool_calls") or part.get("function_call") or part.get("refusal"))

    def _usage(self, counts: object) -> None:
        """Take what the latest usage object reports; an absent or senseless figure stays unknown."""
        if not isinstance(counts, dict):
            return
        self.prompt_tokens = count(counts, PROMPT, self.prompt_tokens)
        self.completion_tokens = count(counts, COMPLETION, self.completion_tokens)
        self.cached_tokens = cached(counts, self._cached_at, self.cached_tokens)


def _plain_token(value: Any) -> str | None:
    """The text of a chunk that brings one and nothing else to note, as nearly all do; None for any other chunk."""
    try:
        (choice,) = value["choices"]
        if choice["finish_reason"] is not None or value.get("usage") or "error" in value:
            return None
        if "text" in choice:
            text = choice["text"]
        elif len(delta := choice["delta"]) == 1:
            text = delta["content"] or None
        else:
            text = _alone(delta)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return text if text.__class__ is str else None


def _alone(delta: Any) -> Any:
    """The content of a delta that says nothing else, whatever fields it has; None for any other."""
    others = delta.get("tool_calls") or delta.get("reasoning_content") or delta.get("reasoning")
    return None if others else delta["content"] or None


def message(error: object) -> str:
    """The human part of an `error` value, whichever of the usual shapes it has; at most 300 characters."""
    if isinstance(error, dict):
        found = error.get("message") or error.get("detail") or error.get("error") or error
        error = found.get("message", found) if isinstance(found, dict) else found
    return (error if isinstance(error, str) else _json(error))[:300]


def _json(value: object) -> str:
    try:
        return json.dumps(value)
    except (RecursionError, ValueError):  # nested deeper than it can be written, or integers of thousands of digits
        return f"a {type(value).__name__} that can't be shown"


def _first(choices: object) -> Mapping[str, Any] | None:
    if isinstance(choices, Sequence) and choices and isinstance(choices[0], dict):
        return choices[0]
    return None


MAX_COUNT = 1 << 53  # a figure above this is no count of tokens
PROMPT = ("prompt_tokens", "input_tokens")
COMPLETION = ("completion_tokens", "output_tokens")
CACHED = ("cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens")


def count(usage: object, names: Sequence[str], default: int | None = None) -> int | None:
    """The first of these figures that is a count; else the default."""
    if isinstance(usage, dict):
        for name in names:
            if (found := _whole(usage.get(name))) is not None:
                return found
    return default


def cached(usage: Mapping[str, Any], at: Sequence[str], default: int | None) -> int | None:
    """The cached tokens: where the names `at` lead, else wherever servers are known to put them."""
    value: object = usage if at else None
    for name in at:
        value = value.get(name) if isinstance(value, dict) else None
    if (found := _whole(value)) is not None:
        return found
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    return count(usage, CACHED, count(details, CACHED[:1], default))


def _whole(value: object) -> int | None:
    ok = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_COUNT
    return value if ok else None  # type: ignore[return-value]
