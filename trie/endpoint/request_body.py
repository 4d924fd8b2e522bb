"""What is said to the server, pure: request bodies out of a conversation's parts, in each form that a prompt can have.

Parts are bytes that need no more work, joined only when a request is written. Nothing here does I/O or reads a clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import orjson

from trie.config import HISTORIES, Api, EndpointConfig, PromptForm, ToolRole
from trie.endpoint import tool_calls
from trie.endpoint.response import Answer
from trie.endpoint.token_ids import IdAnswer
from trie.endpoint.tool_calls import ToolCall

Buffer = bytes | memoryview

ROUTES = {Api.completions: "/completions", Api.chat: "/chat/completions"}
AROUND = {
    (Api.completions, PromptForm.text): (b',"prompt":"', b'"}'),
    (Api.completions, PromptForm.token_ids): (b',"prompt":[', b"]}"),
    (Api.chat, PromptForm.text): (b',"messages":[', b"]}"),
}
CONTENT, REASONING, RECORDED = HISTORIES  # what goes back of the server's answers


class Conversation(Protocol):
    """What has been said in one session, as parts of a request's body.

    `ask` and `recite` take what `trie.prompts` makes, in the form of the conversation and in no need of escaping.
    """

    parts: list[Buffer]

    def ask(self, text: Iterable[Buffer]) -> None:
        """Append what comes next from outside: the prompt at first, then the output of a tool."""

    def answered(self, answer: Answer, *, without_tokens: int = 0) -> None:
        """Append what the server said, without so many first tokens, which stand for its reasoning.

        Where the server tells its reasoning from its content itself, all of the content is appended.
        """

    def recite(self, text: Iterable[Buffer], reasoning: Iterable[Buffer] = ()) -> None:
        """Append a text in the place of what the server said, and of what it thought before it."""


class RequestFormat:
    """How one run writes its requests and reads the answers: the fields that never change, encoded once.

    Args:
        endpoint: of whose fields those that are not set are not sent.
        model: as the server calls it.
        stream: whether answers are streamed.
        form: of the prompts; None: as the endpoint's settings say.
        history: one of `HISTORIES`.
    """

    def __init__(
        self,
        endpoint: EndpointConfig,
        model: str,
        *,
        stream: bool,
        form: PromptForm | None = None,
        history: str = CONTENT,
    ) -> None:
        self.stream = stream
        self.route = ROUTES[endpoint.api]
        self._endpoint = endpoint
        self._form = endpoint.prompt_form if form is None else form
        self._reasoning = history == REASONING
        # Ids that do not go back are not asked for: with them comes the whole prompt once more.
        self._ids_back = self._form is PromptForm.token_ids and history != RECORDED
        self._opening, self._closing = AROUND[endpoint.api, self._form]
        self._cached_at = tuple((endpoint.cached_tokens_field or "").split(".")) if endpoint.cached_tokens_field else ()
        head = orjson.dumps(self._fields(model))[:-1]
        limits = [name for name in (endpoint.max_tokens_field, endpoint.min_tokens_field) if name is not None]
        # Between two of these stands the number of tokens.
        self._around_limit = [b",%b:" % orjson.dumps(name) for name in limits] + [b""]
        self._around_limit[0] = head + self._around_limit[0]

    def _fields(self, model: str) -> dict[str, Any]:
        endpoint = self._endpoint
        fields: dict[str, Any] = {"model": model, "stream": self.stream}
        asked = {"include_usage": endpoint.include_usage, "continuous_usage_stats": endpoint.continuous_usage}
        options = {name: True for name, wanted in asked.items() if wanted}
        if self.stream and options:
            fields["stream_options"] = options
        if endpoint.ignore_eos is not None:
            fields["ignore_eos"] = endpoint.ignore_eos
        if self._ids_back:
            fields["return_token_ids"] = True
        if endpoint.declare_tools and endpoint.api is Api.chat:
            fields["tools"] = [tool_calls.DECLARATION]
        return {**fields, **endpoint.extra_body}

    def conversation(self) -> Conversation:
        """A session's, before anything was said."""
        if self._endpoint.api is Api.chat:
            return Chat(tool_role=self._endpoint.tool_role, reasoning=self._reasoning)
        return Ids() if self._form is PromptForm.token_ids else Text()

    def answer(self) -> Answer:
        """An answer that has said nothing yet."""
        return (IdAnswer if self._ids_back else Answer)(self._cached_at)

    def body(self, conversation: Conversation, max_tokens: int) -> bytes:
        """The whole request body: JSON that asks for exactly `max_tokens` after the conversation so far."""
        limited = (b"%d" % max_tokens).join(self._around_limit)
        return b"".join((limited, self._opening, *conversation.parts, self._closing))


class Text:
    """A completions prompt: one text."""

    def __init__(self) -> None:
        self.parts: list[Buffer] = []

    def ask(self, text: Iterable[Buffer]) -> None:
        self.parts.extend(text)

    def recite(self, text: Iterable[Buffer], reasoning: Iterable[Buffer] = ()) -> None:
        self.ask((*reasoning, *text))

    def answered(self, answer: Answer, *, without_tokens: int = 0) -> None:
        self.parts.append(escaped(answer.text_behind(without_tokens)))


class Ids:
    """A completions prompt: one list of token ids, each with a comma before it but the first."""

    def __init__(self) -> None:
        self.parts: list[Buffer] = []

    def ask(self, text: Iterable[Buffer]) -> None:
        first = len(self.parts)
        self.parts.extend(text)
        if not first and self.parts:
            self.parts[0] = self.parts[0][1:]

    def recite(self, text: Iterable[Buffer], reasoning: Iterable[Buffer] = ()) -> None:
        self.ask((*reasoning, *text))

    def answered(self, answer: Answer, *, without_tokens: int = 0) -> None:
        if ids := answer.ids[without_tokens:]:
            self.parts.append(b"," + orjson.dumps(ids)[1:-1])


class Chat:
    """Messages: a prompt by the user, answers by the assistant that call a tool, and what the tool put out.

    Args:
        tool_role: `tool`: outputs answer a call in the message before, the server's own or one made up in its stead;
            `user`: they are messages of the user, and no calls are sent.
        reasoning: send reasoning back too.
    """

    def __init__(self, *, tool_role: ToolRole = ToolRole.tool, reasoning: bool = False) -> None:
        self.parts: list[Buffer] = []
        self._calls_tools = tool_role is ToolRole.tool
        self._reasoning = reasoning
        self._answers = 0
        self._called: list[str] = []  # ids of the last answer's calls, each of which wants an answer of its own

    def ask(self, text: Iterable[Buffer]) -> None:
        if not self._called:
            self._message(b'"user"', text)
            return
        first, *others = (b'"tool","tool_call_id":' + orjson.dumps(name) for name in self._called)
        self._message(first, text)
        for other in others:
            self._message(other, ())

    def recite(self, text: Iterable[Buffer], reasoning: Iterable[Buffer] = ()) -> None:
        thoughts = b"".join(reasoning)
        self._assistant(text, (), _reasoning_field(thoughts) if thoughts else b"")

    def answered(self, answer: Answer, *, without_tokens: int = 0) -> None:
        calls = answer.tool_calls if self._calls_tools else []
        content = answer.text_behind(without_tokens) if answer.content else ""
        if not content and not calls and not self._reasoning:
            content = answer.text_behind(without_tokens)  # nothing else was said
        reasoning = _reasoning_field(escaped(answer.reasoning)) if self._has_reasoning(answer) else b""
        self._assistant((escaped(content),), calls, reasoning)

    def _has_reasoning(self, answer: Answer) -> bool:
        return self._reasoning and bool(answer.reasoning)

    def _assistant(self, text: Iterable[Buffer], calls: Iterable[ToolCall], more: bytes = b"") -> None:
        """A message of the assistant; further fields stand behind its content."""
        found = [tool_calls.complete(call, self._answers + place) for place, call in enumerate(calls, 1)]
        if self._calls_tools:
            found = found or [tool_calls.made_up(self._answers + 1)]
            more += b',"tool_calls":' + tool_calls.written(found)
        self._answers += max(len(found), 1)
        self._called = [call.id for call in found]
        self._message(b'"assistant"', text, more)

    def _message(self, role: bytes, text: Iterable[Buffer], more: bytes = b"") -> None:
        comma = b"," if self.parts else b""
        self.parts.append(b'%b{"role":%b,"content":"' % (comma, role))
        self.parts.extend(text)
        self.parts.append(b'"%b}' % more)


def _reasoning_field(escaped_text: bytes) -> bytes:
    return b',"reasoning_content":"%b"' % escaped_text


def escaped(text: str) -> bytes:
    """Text as it stands between the quotes of a JSON string; halves of a surrogate pair are joined or replaced."""
    try:
        return orjson.dumps(text)[1:-1]
    except orjson.JSONEncodeError:
        return orjson.dumps(tool_calls.sound(text))[1:-1]
