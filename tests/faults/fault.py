"""A fault, and the scripts that servers play: what the fault table is written in."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from helpers.scripted_server import DONE, END, HEAD, USAGE, Script, chunked, event, plain_response

from trie.config import Api


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One fault and the row that it makes; an `error_kind` of None is an answer that is taken."""

    what: str  # the server does
    script: Script = ()  # played for each attempt; of the places that play none, `place` says what happens
    before: Script | None = None  # played for a request before this one, after which the connection lies idle
    place: str = "scripted"  # a key of lab.PLACES
    error_kind: str | None = None
    status: int | None = 200
    attempts: int = 1
    words: str = ""  # a part of the row's error
    row: Mapping[str, Any] = field(default_factory=dict)  # other columns and what they hold
    api: Api = Api.completions
    chat: Script = ()  # the same over chat, played as well
    calls: Sequence[tuple[str, str, str]] = ()  # id, name and arguments of each tool call that is read
    prompt: bytes = b" hello"
    stream: bool = True
    timeout_s: float = 8.0
    stall_s: float | None = None
    heavy: bool = False  # takes the client's core for seconds, so that it is played alone
    poisons: bool = False  # the connection, for whoever uses it next

    @property
    def large(self) -> bool:
        """So large that the loop, shared with the server here, is kept from other faults' timers for a while."""
        return len(self.prompt) + sum(len(step) for step in self.script if isinstance(step, bytes)) > 1 << 19


@dataclass(frozen=True, slots=True)
class Chapter:
    """Faults that belong together in the document."""

    title: str
    faults: Sequence[Fault]


A, B = chunked(event(" a")), chunked(event(" b", '"length"'))
WHOLE: Script = (HEAD, A, B, chunked(USAGE), chunked(DONE), END)
UNREAD = {"usage_prompt_tokens": None, "usage_completion_tokens": None, "usage_cached_tokens": None}
COUNTED = {"usage_prompt_tokens": 7, "usage_completion_tokens": 2, "usage_cached_tokens": 3}
TWO = {"chunks": 2, **COUNTED}
JSON_ERROR = b'{"error": {"message": "it broke"}}'
HTML = b"<html><body><h1>Oops</h1></body></html>"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
UNENDED = event(" a") + event(" b", '"length"') + USAGE  # no [DONE] behind it
BODY = UNENDED + DONE
TELLS = 0.1  # seconds in which what was sent arrives before the connection is reset


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *lines, "")).encode()


def sized(body: bytes, *lines: str, kind: str = "text/event-stream", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return head(f"Content-Type: {kind}", f"Content-Length: {size}", *lines) + body


def data(text: bytes) -> bytes:
    return b"data: " + text + b"\n\n"


def stream(*events: bytes) -> Script:
    return (HEAD, *(chunked(part) for part in events), END)


def counts(completion: int) -> bytes:
    return data(b'{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":%d}}' % completion)


def usage(reported: str) -> Script:
    """A whole stream that reports this usage."""
    return stream(event(" a"), event(" b", '"length"'), data(b'{"choices":[],"usage":%s}' % reported.encode()), DONE)


def status(line: str, body: bytes = JSON_ERROR, *lines: str) -> Script:
    return (plain_response(line, body, *lines),)


def drip(raw: bytes, every_s: float) -> Script:
    return tuple(step for byte in raw for step in (bytes((byte,)), every_s))


Say = Callable[..., bytes]  # text, finish reason, and further fields of the choice: one event


def say_text(text: str, finish: str | None = None, **more: Any) -> bytes:
    """An event of a completion."""
    return json_event({"choices": [{"index": 0, "text": text, "finish_reason": finish, **more}]})


def say_delta(text: str, finish: str | None = None, **more: Any) -> bytes:
    """An event of a chat."""
    return json_event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish, **more}]})


def delta(finish: str | None = None, choice: Mapping[str, Any] | None = None, **delta: Any) -> bytes:
    """An event of a chat whose delta holds these fields."""
    return json_event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish, **(choice or {})}]})


def json_event(value: object) -> bytes:
    return data(json.dumps(value).encode())


def both(make: Callable[[Say], Sequence[bytes]]) -> dict[str, Script]:
    """The scripts of a stream over completions and over chat, which opens with the role."""
    return {"script": stream(*make(say_text)), "chat": stream(delta(role="assistant", content=""), *make(say_delta))}
