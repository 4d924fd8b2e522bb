"""What an OpenAI-compatible server says, pure: answers out of bodies and events, whatever the dialect.

Nothing here does I/O or reads a clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from trie.endpoint import server_errors, tool_calls
from trie.endpoint.answer_text import Texts, has_role
from trie.endpoint.json_text import loads, shown
from trie.endpoint.server_errors import NO_REASON, error_in, message
from trie.endpoint.sse import Aside
from trie.endpoint.token_chunk import run_of_texts, text_alone, thought_alone
from trie.endpoint.tool_calls import ToolCall
from trie.endpoint.usage import counts_of, first_choice, hidden_tokens, usage_of

DONE = b"[DONE]"
WORDLESS = ("error_event", "the server sent an error without words")


class Answer:
    """What a response has said so far: text, usage, how it ended. Feed it every event, then ask `failure`.

    `cached_at` are the names that lead to the cached tokens in a usage object, looked at before the usual places.
    """

    __slots__ = (
        "_cached_at",
        "_closed",
        "_counted",
        "_ends",
        "_sizes",
        "_stray",
        "_texts",
        "_usages",
        "_words",
        "cached_tokens",
        "completion_tokens",
        "done",
        "error",
        "finish_reason",
        "first_chunk_tokens",
        "ids",
        "prompt_tokens",
        "reasoning_tokens",
    )

    _run = staticmethod(run_of_texts)  # of the chunks that need no look of their own

    def __init__(self, cached_at: Sequence[str] = ()) -> None:
        self._cached_at = cached_at
        self._closed = False  # saw usage in a chunk of its own, which comes last; in every chunk it says nothing
        self._counted: int | None = None  # completion tokens by the latest chunk with a choice that tokens_so_far
        self._ends: list[int] = []
        self._sizes: list[int] = []  # characters in each chunk that bore a token
        self._texts = Texts()
        self._stray = ""  # text beside the data of a stream: why it stops, where it stops
        self._usages = 0  # chunks with a choice and usage
        self._words = ""  # what the server says beside its finish reason
        self.ids: list[int] = []  # of the tokens, where they were asked for
        self.first_chunk_tokens: int | None = None  # in the first of them; None: the server does not tell
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self.cached_tokens: int | None = None
        self.reasoning_tokens: int | None = None  # of the completion tokens
        self.finish_reason: str | None = None
        self.done = False  # saw [DONE], or the whole body of a plain response
        self.error: tuple[str, str] | None = None  # kind and text

    @property
    def content(self) -> str:
        return "".join(self._texts.content)

    @property
    def reasoning(self) -> str:
        return "".join(self._texts.reasoning)

    @property
    def text(self) -> str:
        """All there is to an answer that has one text: content, or reasoning where there is nothing else."""
        return self.content or self.reasoning

    def text_behind(self, tokens: int) -> str:
        """The text without its first tokens: by its chunks where each bore one, else by its share.

        All of it where the server told reasoning and content apart.
        """
        text = self.text
        if not tokens or (self.content and self.reasoning):
            return text
        sizes, count = self.token_sizes, self.completion_tokens or len(self.token_sizes)
        if len(sizes) == count and sum(sizes) == len(text):
            return text[sum(sizes[:tokens]) :]
        return text[round(len(text) * min(tokens / count, 1.0)) if count else 0 :]

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The calls it made, in their order, as far as they came."""
        return tool_calls.in_order(self._texts.calls)

    @property
    def token_ends(self) -> list[int]:
        """Place in the body of each chunk that bore a token."""
        return self._ends[self._opening :]

    @property
    def token_sizes(self) -> list[int]:
        """Characters in each of these chunks."""
        return self._sizes[self._opening :]

    @property
    def _opening(self) -> int:
        """1 where the first chunk is an empty text from before prefill: there is one chunk more than tokens."""
        return int(self.completion_tokens == len(self._ends) - 1 and self._sizes[0] == 0)

    @property
    def hidden_tokens(self) -> int | None:
        """Completion tokens that were counted and not sent, as far as that can be known."""
        if self.completion_tokens is None or not self._ends:
            return None
        return hidden_tokens(
            self.completion_tokens,
            chunks=len(self._ends) - self._opening,
            reasoning=0 if self._texts.reasoning else self.reasoning_tokens or 0,
            text_bytes=None if self.ids else self._texts.size_bytes,
        )

    def events(self, data: Sequence[bytes], ends: Sequence[int], asides: Sequence[Aside] = ()) -> None:
        """Take in neighbouring events of a stream, decoded in one go where they are JSON; `ends` are their places."""
        for aside in asides:
            self._aside(aside)
        if not data:
            return
        run = self._run(data)
        if run is None:
            self._events(data, ends)
            return
        stop = run.start + len(run.texts)
        self._events(data[: run.start], ends[: run.start])
        self._texts.content += run.texts
        self._ends += ends[run.start : stop]
        self._sizes += map(len, run.texts)
        self._events(data[stop:], ends[stop:])

    def _events(self, data: Sequence[bytes], ends: Sequence[int]) -> None:
        count = len(data) - (data[-1:] == [DONE])
        try:
            chunks = orjson.loads(b"[%b]" % b",".join(data[:count]))
        except orjson.JSONDecodeError:
            chunks = ()
        if len(chunks) != count:  # not each of them is a JSON value of its own
            for event, end in zip(data, ends, strict=True):
                self.event(event, end)
            return
        self._chunks(chunks, ends)
        self.done |= count < len(data)

    def event(self, data: bytes, end: int) -> None:
        """Take in one event of a stream; `end` is its place in the body."""
        if data == DONE or data.strip() == DONE:
            self.done = True
            return
        try:
            chunk = loads(data)
        except ValueError:
            self._fail("bad_response", f"not JSON: {data[:80]!r}")
            return
        self._chunks((chunk,), (end,))

    def _aside(self, aside: Aside) -> None:
        """Take in what a stream says beside its data."""
        text = aside.text.decode("utf-8", "replace").strip()
        if not aside.is_error:
            self._stray = self._stray or text[:300]
            return
        try:
            value = loads(aside.text)
        except ValueError:
            value = text
        self._fail(*(("error_event", message(value)) if value else WORDLESS))

    def _fail(self, kind: str, text: str) -> None:
        """Note a failure; the first one counts, unless the server gives words to a later one."""
        if self.error is None or (kind == "error_event" and (self.error == WORDLESS or self.error[0] != kind)):
            self.error = kind, text

    def _chunks(self, values: Sequence[Any], ends: Sequence[int]) -> None:
        """Take in the values of events, most of them texts alone."""
        content, reasoning = self._texts.content.append, self._texts.reasoning.append
        place, size = self._ends.append, self._sizes.append
        for value, end in zip(values, ends, strict=False):
            if (text := text_alone(value)) is not None:
                content(text)
            elif (text := thought_alone(value)) is not None:
                reasoning(text)
            else:
                self._chunk(value, end)
                continue
            place(end)
            size(len(text))

    def _chunk(self, value: Any, end: int) -> None:
        chunk = self._checked(value)
        if chunk is None:
            return
        choice = first_choice(chunk)
        tokens_so_far = self._usage(chunk, choice)
        if choice is None:
            self._closed = self._closed or tokens_so_far is not None
            return
        self._finish(choice)
        size = self._bears(choice, tokens_so_far)
        if size is not None:
            if not self._ends:
                self.first_chunk_tokens = self._tokens_in(choice, tokens_so_far) or None
            self._ends.append(end)
            self._sizes.append(size)
        if tokens_so_far is not None:
            self._counted = tokens_so_far
            self._usages += 1

    def _bears(self, choice: Mapping[str, Any], tokens_so_far: int | None) -> int | None:
        """Keep what a chunk says; its characters where it bears a token, None where it bears none.

        Args:
            choice: of the chunk.
            tokens_so_far: completion tokens until it by the usage in it; None where it has none.
        """
        size = self._keep(choice)
        if size is not None:
            return size
        closing = self.finish_reason is not None and self._ends
        # An empty text is a token too (a piece of a character), but not in the closing chunk that some send; so is an
        # empty delta that raises the count, where a parser holds back what it says.
        if tokens_so_far is None:
            bears = "text" in choice and not closing
        else:
            opening = not self._ends and has_role(choice)
            comparable = self._counted is not None or not self._ends  # usage once, at the end, tells of all tokens
            bears = comparable and tokens_so_far > (self._counted or 0) and not opening and not closing
        return 0 if bears else None

    def _tokens_in(self, _: Mapping[str, Any], tokens_so_far: int | None) -> int | None:
        """Tokens in the first chunk that bears any; None where nothing tells."""
        return tokens_so_far

    def plain(self, data: bytes) -> None:
        """Take in the whole body of a response that is no stream."""
        try:
            reply = self._checked(loads(data))
        except ValueError:
            self._fail("bad_response", f"not JSON: {data[:80]!r}")
            return
        if reply is None:
            return
        choice = first_choice(reply)
        self._usage(reply, choice)
        if choice is None:
            self._fail("bad_response", "no choices in the answer")
            return
        self._finish(choice)
        self._keep(choice)
        self.done = True

    def failure(self, *, stream: bool) -> tuple[str, str] | None:
        """Kind and text of a failure that looks like success, or None for an answer that is whole."""
        if self.error is not None:
            return self.error
        words = f": {self._words or self._stray}" if self._words or self._stray else ""
        if server_errors.gave_up(self.finish_reason):
            return "aborted", f"the server gave up: finish_reason {self.finish_reason}{words}"
        tokens = len(self.token_ends) if self.completion_tokens is None else self.completion_tokens
        has_tokens = tokens > 0 or self._texts.any
        if stream and not self._is_ended() and not (self.done and not has_tokens):
            chunks = len(self.token_ends)
            return "truncated", f"the stream ended after {chunks} chunks without finish_reason or usage{words}"
        return None if has_tokens else ("no_tokens", f"the answer holds no token{words}")

    def _is_ended(self) -> bool:
        """Whether a stream says that its answer is whole: [DONE] alone does not, nor does usage in each chunk."""
        return self.finish_reason is not None or self._closed or (self.done and self._usages == 1)

    def _checked(self, value: Any) -> Mapping[str, Any] | None:
        """The value as an object, or None when there is nothing more to read in it; notes an error in it."""
        if not isinstance(value, dict):
            self._fail("bad_response", f"not a JSON object: {shown(value)[:80]}")
            return None
        error = error_in(value)
        if error is not None:
            self._fail("error_event", message(error))
            return None
        return value

    def _finish(self, choice: Mapping[str, Any]) -> None:
        """Note how the answer ended, where a choice says so; some servers say it in an object."""
        reason = choice.get("finish_reason")
        if isinstance(reason, dict):
            self._words = message(reason)
            reason = reason.get("type")
        if isinstance(reason, str) and reason.lower() not in NO_REASON:
            self.finish_reason = reason

    def _keep(self, choice: Mapping[str, Any]) -> int | None:
        """Keep what a choice says; its characters, None where it says nothing new."""
        return self._texts.keep(choice, closing=self.finish_reason is not None)

    def _usage(self, chunk: Mapping[str, Any], choice: Mapping[str, Any] | None) -> int | None:
        """Take what the latest usage object reports, and say its completion tokens; what is absent stays unknown."""
        usage = usage_of(chunk, choice)
        if usage is None:
            return None
        prompt, completion, cached, reasoning = counts_of(usage, self._cached_at)
        self.prompt_tokens = self.prompt_tokens if prompt is None else prompt
        self.completion_tokens = self.completion_tokens if completion is None else completion
        self.cached_tokens = self.cached_tokens if cached is None else cached
        self.reasoning_tokens = self.reasoning_tokens if reasoning is None else reasoning
        return completion
