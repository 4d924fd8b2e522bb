"""The OpenAI wire format as a server writes it: chunks, usage, errors. Shares no code with the client, on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

dumps = orjson.dumps

DONE = b"data: [DONE]\n\n"


class Wire:
    """Bytes of one response."""

    def __init__(self, *, chat: bool, number: int, model: str) -> None:
        self._chat = chat
        self._kind = "chat.completion" if chat else "text_completion"
        prefix = "chatcmpl" if chat else "cmpl"
        self._base = {"id": f"{prefix}-{number}", "created": 1_700_000_000, "model": model}
        opening = orjson.dumps({**self._base, "object": self._kind + (".chunk" if chat else "")})[:-1]
        self._head = b"data: " + opening + b',"choices":[{"index":0,'
        self._first = True

    def chunk(
        self,
        text: str,
        finish: str | None,
        usage: dict[str, Any] | None = None,
        ids: Sequence[int] | None = None,
        prompt_ids: Sequence[int] | None = None,
    ) -> bytes:
        """One event with text; the first of a chat names the role as well, and of ids it has the prompt's too."""
        if self._chat:
            role = b'"role":"assistant",' if self._first else b""
            body = b'"delta":{%s"content":%s}' % (role, orjson.dumps(text))
        else:
            body = b'"text":%s,"logprobs":null' % orjson.dumps(text)
            if ids is not None:
                prompt = orjson.dumps(prompt_ids if self._first else None)
                body += b',"prompt_token_ids":%s,"token_ids":%s' % (prompt, orjson.dumps(ids))
        self._first = False
        counted = b"" if usage is None else b',"usage":' + orjson.dumps(usage)
        return b'%s%s,"finish_reason":%s}]%s}\n\n' % (self._head, body, orjson.dumps(finish), counted)

    def usage(self, usage: dict[str, Any]) -> bytes:
        """The closing event that carries usage alone."""
        kind = self._kind + (".chunk" if self._chat else "")
        return event({**self._base, "object": kind, "choices": [], "usage": usage})

    def plain(self, text: str, finish: str, usage: dict[str, Any] | None, ids: Sequence[int] | None = None) -> bytes:
        """The body of a response that is no stream."""
        said: dict[str, Any] = {"message": {"role": "assistant", "content": text}} if self._chat else {"text": text}
        if ids is not None and not self._chat:
            said["token_ids"] = ids
        choice = {"index": 0, **said, "finish_reason": finish}
        body = {**self._base, "object": self._kind, "choices": [choice]}
        return orjson.dumps(body if usage is None else {**body, "usage": usage})


def event(content: Any) -> bytes:
    """Any JSON as one server-sent event."""
    return b"data: " + orjson.dumps(content) + b"\n\n"


def framed(data: bytes) -> bytes:
    """Data as one chunk of HTTP's chunked transfer."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def usage_of(prompt: int, completion: int, cached: int | None) -> dict[str, Any]:
    """The usage object; without the cached count its key is absent, as on servers that do not report it."""
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    return usage if cached is None else {**usage, "prompt_tokens_details": {"cached_tokens": cached}}


def error(status: int, text: str) -> dict[str, Any]:
    """An error object in OpenAI's form."""
    kinds = {400: "invalid_request_error", 404: "not_found_error", 429: "rate_limit_error"}
    return {"error": {"message": text, "type": kinds.get(status, "server_error"), "code": status}}
