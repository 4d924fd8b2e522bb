"""The OpenAI-compatible dialects, pure: request bodies out of a conversation's parts, answers out of bodies.

Nothing here does I/O or reads a clock.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from trie.config import Api, EndpointConfig

Buffer = bytes | memoryview

ROUTES = {Api.completions: "/completions", Api.chat: "/chat/completions"}
MAX_COUNT = 1 << 53  # a usage figure above this is no count of tokens
ABORTED = frozenset({"abort", "error"})  # finish reasons by which servers say that they gave up
DONE = b"[DONE]"


class RequestFormat:
    """How one run writes its requests: the fields that never change, encoded once."""

    def __init__(self, endpoint: EndpointConfig, model: str, *, stream: bool) -> None:
        self.api = endpoint.api
        self.stream = stream
        self.route = ROUTES[endpoint.api]
        fields: dict[str, Any] = {"model": model, "stream": stream}
        if stream and endpoint.include_usage:
            fields["stream_options"] = {"include_usage": True}
        if endpoint.ignore_eos is not None:
            fields["ignore_eos"] = endpoint.ignore_eos
        fields.update(endpoint.extra_body)
        limit = orjson.dumps(endpoint.max_tokens_field)
        self._head = orjson.dumps(fields)[:-1] + b"," + limit + b":"

    def body(self, conversation: Conversation, max_tokens: int) -> bytes:
        """The whole request body: JSON that asks for exactly `max_tokens` after the conversation so far."""
        if self.api is Api.completions:
            opening, closing = b',"prompt":"', b'"}'
        else:
            opening, closing = b',"messages":[', b"]}"
        return b"".join((self._head, b"%d" % max_tokens, opening, *conversation.parts, closing))


class Conversation:
    """What has been said in one session, as JSON-safe parts that are joined only when a request is written.

    `user` takes text that needs no JSON escaping (what `trie.prompts` makes); `assistant` escapes the server's own.
    """

    def __init__(self, api: Api) -> None:
        self._chat = api is Api.chat
        self.parts: list[Buffer] = []

    def user(self, text: Iterable[Buffer]) -> None:
        """Append a prompt or a tool output."""
        self._message("user", text)

    def assistant(self, text: str) -> None:
        """Append the server's answer, whatever characters it holds."""
        self._message("assistant", (escaped(text),))

    def _message(self, role: str, text: Iterable[Buffer]) -> None:
        if not self._chat:
            self.parts.extend(text)
            return
        comma = "," if self.parts else ""
        self.parts.append(f'{comma}{{"role":"{role}","content":"'.encode())
        self.parts.extend(text)
        self.parts.append(b'"}')


def escaped(text: str) -> bytes:
    """Text as it stands between the quotes of a JSON string; halves of a surrogate pair are joined or replaced."""
    try:
        return orjson.dumps(text)[1:-1]
    except orjson.JSONEncodeError:
        whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return orjson.dumps(whole)[1:-1]


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
    """What a response has said so far: text, usage, how it ended. Feed it every event, then ask `failure`."""

    __slots__ = (
        "_closed",
        "_content",
        "_reasoning",
        "cached_tokens",
        "completion_tokens",
        "done",
        "error",
        "finish_reason",
        "prompt_tokens",
        "token_ends",
    )

    def __init__(self) -> None:
        self._closed = False  # saw usage in a chunk of its own, which comes last; in every chunk it says nothing
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self.token_ends: list[int] = []  # place in the body of each chunk that bore a token
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self.cached_tokens: int | None = None
        self.finish_reason: str | None = None
        self.done = False  # saw [DONE], or the whole body of a plain response
        self.error: tuple[str, str] | None = None  # kind and text

    @property
    def text(self) -> str:
        """The answer as it goes back into the history: content, or reasoning where there is nothing else."""
        return "".join(self._content) or "".join(self._reasoning)

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
        chunk = self._checked(value)
        if chunk is None:
            return
        self._usage(chunk.get("usage"))
        choice = _first(chunk.get("choices"))
        if choice is None:
            self._closed = self._closed or self.completion_tokens is not None
            return
        finish = choice.get("finish_reason")
        if isinstance(finish, str):
            self.finish_reason = finish
        if self._said(choice) or ("text" in choice and not (finish and self.token_ends)):
            # An empty text is a token too (a piece of a character), but not in the closing chunk that some send.
            self.token_ends.append(end)

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
        said = any(self._content) or any(self._reasoning)
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
        content = part.get("content")
        if isinstance(content, str) and content:
            self._content.append(content)
            return True
        reasoning = part.get("reasoning_content") or part.get("reasoning")
        if isinstance(reasoning, str) and reasoning:
            self._reasoning.append(reasoning)
            return True
        return bool(part.get("tool_calls") or part.get("function_call") or part.get("refusal"))

    def _usage(self, usage: object) -> None:
        """Take what the latest usage object reports; an absent or senseless figure stays unknown."""
        if not isinstance(usage, dict):
            return
        self.prompt_tokens = _count(usage, "prompt_tokens", "input_tokens", default=self.prompt_tokens)
        self.completion_tokens = _count(usage, "completion_tokens", "output_tokens", default=self.completion_tokens)
        details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
        if isinstance(details, dict):
            self.cached_tokens = _count(details, "cached_tokens", default=self.cached_tokens)
        self.cached_tokens = _count(
            usage, "cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens", default=self.cached_tokens
        )


def _plain_token(value: Any) -> str | None:
    """The text of a chunk that brings one and nothing else to note, as nearly all do; None for any other chunk."""
    try:
        (choice,) = value["choices"]
        if choice["finish_reason"] is not None or value.get("usage") or "error" in value:
            return None
        text = choice["text"] if "text" in choice else choice["delta"]["content"] or None
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return text if text.__class__ is str else None


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


def _count(source: Mapping[str, Any], *names: str, default: int | None) -> int | None:
    for name in names:
        value = source.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_COUNT:
            return value
    return default
