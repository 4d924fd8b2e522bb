"""What servers do with the answer itself: failures that pass as answers, and tokens and usage in odd places."""

from __future__ import annotations

import json
from typing import Any

from fault import (
    COUNTED,
    TELLS,
    TWO,
    WHOLE,
    Chapter,
    Fault,
    Say,
    both,
    counts,
    data,
    delta,
    json_event,
    say_delta,
    say_text,
    sized,
    stream,
)
from helpers.scripted_server import COUNTS, DONE, HEAD, USAGE, Script, chunked, plain_response

from trie.config import Api

ERROR = b'{"code": 500, "message": "slot lost its context"}'
LOST = "slot lost its context"


def beside(line: bytes) -> dict[str, Any]:
    """A stream of one token, then this, then [DONE]: a failure with the server's words."""
    return {**both(lambda say: (say(" a"), line, DONE)), "error_kind": "error_event", "words": LOST,
            "row": {"chunks": 1}}  # fmt: skip


def finished(reason: str) -> Fault:
    return Fault(what=f"finish_reason {reason}", **both(lambda say: (say(" a"), say("", reason), USAGE, DONE)),
                 error_kind="aborted", words=reason, row={"finish_reason": reason})  # fmt: skip


PASS_AS_ANSWERS = Chapter(
    "Failures that pass as answers",
    [
        Fault(what="`event: error` with data", **beside(b"event: error\ndata: " + ERROR + b"\n\n")),
        Fault(what="`event: error` with a comment", **beside(b"event: error\n: slot lost its context\n\n")),
        Fault(what="`event: error` with text", **beside(b"event: error\ndata: slot lost its context\n\n")),
        Fault(what="`event: response.failed`", **beside(b'event: response.failed\ndata: {"detail": "'
              + LOST.encode() + b'"}\n\n')),
        Fault(what="`event: error`, and its words in the event behind it",
              **beside(b"event: error\n\ndata: " + ERROR + b"\n\n")),
        Fault(what="an `error:` field", **beside(b"error: " + ERROR + b"\n\n")),
        Fault(what="an `error:` field with text", **beside(b"error: slot lost its context\n\n")),
        Fault(what="an error as bare JSON", **beside(b'{"error": ' + ERROR + b"}\n\n")),
        Fault(what="an error as bare JSON on several lines",
              **beside(json.dumps({"error": json.loads(ERROR)}, indent=1).encode() + b"\n\n")),
        Fault(what="bare JSON right behind a `data:` line", error_kind="error_event", words=LOST,
              script=(HEAD, chunked(b'data: {"choices":[{"text":" a","finish_reason":null}]}\n{"error": ' + ERROR
                                    + b"}\n\n" + DONE), b"0\r\n\r\n"), row={"chunks": 1}),
        Fault(what="an error object without the word error", **beside(data(ERROR))),
        Fault(what="an error in a choice", **both(lambda say: (
              say(" a"), say("", "error", error={"code": 502, "message": LOST}), DONE)),
              error_kind="error_event", words=LOST, row={"chunks": 1}),
        Fault(what="an error under x_groq", **beside(json_event({"choices": [], "x_groq": {"error": LOST}}))),
        Fault(what="text in mid-stream, then [DONE]", **both(lambda say: (
              say(" a"), b"upstream connect error or disconnect\n\n", DONE)),
              error_kind="truncated", words="upstream connect error", row={"chunks": 1}),
        Fault(what="a proxy's HTML page as a stream", script=(sized(b"<html><h1>Bad Gateway</h1></html>"),),
              error_kind="truncated", words="Bad Gateway", row={"chunks": 0}),
        Fault(what="[DONE] without finish_reason and usage", **both(lambda say: (say(" a"), say(" b"), DONE)),
              error_kind="truncated", row={"chunks": 2, "finish_reason": None}),
        Fault(what="[DONE], and an empty finish_reason", **both(lambda say: (say(" a"), say(" b", ""), DONE)),
              error_kind="truncated", row={"chunks": 2, "finish_reason": None}),
        Fault(what="[DONE], and usage in every chunk alone", error_kind="truncated", row={"chunks": 2}, script=stream(
              *(json_event({"choices": [{"text": " a", "finish_reason": None}], "usage": {"completion_tokens": n}})
                for n in (1, 2)), DONE)),
        Fault(what="[DONE] and usage, without finish_reason", **both(lambda say: (say(" a"), say(" b"), USAGE, DONE)),
              row={**TWO, "finish_reason": None}),
        Fault(what="a finish_reason that is an object", error_kind="aborted", words="out of memory", row={"chunks": 1},
              **both(lambda say: (say(" a"), say("", {"type": "abort", "message": "out of memory"}), DONE))),
        *map(finished, ("error", "cancelled", "timeout", "insufficient_system_resource", "engine_failure")),
        Fault(what="a plain answer that says `detail`", stream=False, error_kind="error_event", words=LOST,
              script=(plain_response("200 OK", b'{"detail": "slot lost its context"}'),)),
        Fault(what="a plain answer whose choice holds an error", stream=False, error_kind="error_event", words=LOST,
              script=(plain_response("200 OK", b'{"choices":[{"text":" a","error":' + ERROR + b"}]}"),)),
        Fault(what="a plain answer that ended by an abort", stream=False, error_kind="aborted",
              script=(plain_response("200 OK", b'{"choices":[{"text":" a","finish_reason":"ABORTED"}]}'),)),
    ],
)  # fmt: skip

LAST = data(b'{"choices":[{"delta":{},"finish_reason":"length"}]}')
PARTS = [{"type": "thinking", "thinking": [{"type": "text", "text": " a"}]}]


def thoughts(**fields: Any) -> dict[str, Any]:
    """A chat that thinks in these fields, then says one token more."""
    return {"api": Api.chat, "row": TWO, "script": stream(
            delta(role="assistant", content=""), delta(**fields), delta(content=" b"), LAST, USAGE, DONE)}  # fmt: skip


WHERE_TOKENS_STAND = Chapter(
    "Where tokens stand",
    [
        Fault(what="content as a list of parts of text", **thoughts(content=[{"type": "text", "text": " a"}])),
        Fault(what="content as a list of parts of thought", **thoughts(content=PARTS)),
        Fault(what="`reasoning_details`", **thoughts(content="", reasoning_details=[
              {"type": "reasoning.text", "text": " a"}])),
        Fault(what="`reasoning_details` with a summary", **thoughts(reasoning_details=[
              {"type": "reasoning.summary", "summary": " a"}])),
        Fault(what="`reasoning_details` beside `reasoning`, the same", **thoughts(reasoning=" a", reasoning_details=[
              {"type": "reasoning.text", "text": " a"}])),
        Fault(what="`thinking`", **thoughts(thinking=" a")),
        Fault(what="`reasoning_content` and a null `content`", **thoughts(reasoning_content=" a", content=None)),
        Fault(what="`reasoning_details` that are encrypted", api=Api.chat, row=TWO, script=stream(
              delta(content=" a"), delta(content=" b"), delta(reasoning_details=[
                  {"type": "reasoning.encrypted", "data": "AAAA"}]), LAST, USAGE, DONE)),
        Fault(what="a refusal", **thoughts(refusal=" a")),
        Fault(what="a closing `message` that repeats the answer", api=Api.chat, row=TWO, script=stream(
              delta(content=" a"), delta(content=" b"), json_event({"choices": [
                  {"message": {"role": "assistant", "content": "a b"}, "finish_reason": "length"}]}), USAGE, DONE)),
        Fault(what="a closing `message` that repeats calls", api=Api.chat, row={"chunks": 1},
              calls=[("x", "run", "{}")], script=stream(
              delta(tool_calls=[{"index": 0, "id": "x", "function": {"name": "run", "arguments": "{}"}}]),
              json_event({"choices": [{"message": {"tool_calls": [
                  {"id": "x", "function": {"name": "run", "arguments": "{}"}}]}, "finish_reason": "tool_calls"}]}),
              counts(1), DONE)),
        Fault(what="a closing chunk that repeats the whole text", **both(lambda say: (
              say(" a"), say(" b"), say(" a b", "length"), USAGE, DONE)), row=TWO),
        Fault(what="an opening empty text from before prefill",
              script=stream(data(b'{"choices":[{"text":"","finish_reason":null}]}'),
                            data(b'{"choices":[{"text":" a","finish_reason":null}]}'),
                            data(b'{"choices":[{"text":" b","finish_reason":"length"}]}'), USAGE, DONE), row=TWO),
        Fault(what="an opening empty text that its own usage counts as none", row=TWO, script=stream(
              data(b'{"choices":[{"text":"","finish_reason":null}],"usage":{"completion_tokens":0}}'),
              data(b'{"choices":[{"text":" a","finish_reason":null}],"usage":{"completion_tokens":1}}'),
              data(b'{"choices":[{"text":" b","finish_reason":"length"}],"usage":{"completion_tokens":2}}'),
              USAGE, DONE)),
        Fault(what="a first token that is half a character, and empty", row=TWO,
              script=stream(data(b'{"choices":[{"text":"","finish_reason":null}]}'),
                            data(b'{"choices":[{"text":" b","finish_reason":"length"}]}'), USAGE, DONE)),
        Fault(what="deltas that are empty while usage grows", api=Api.chat, row=TWO, script=stream(
              *(json_event({"choices": [{"delta": delta, "finish_reason": None}],
                            "usage": {"prompt_tokens": 7, "completion_tokens": n, "cached_tokens": 3}})
                for n, delta in enumerate(({"role": "assistant", "content": ""}, {}, {"content": " a b"}))),
              LAST, DONE)),
        Fault(what="plain parts of text and thought", api=Api.chat, stream=False, row={**COUNTED, "chunks": 0},
              script=(plain_response("200 OK", b'{"choices":[{"message":{"content":[{"type":"text","text":" a b"}]},'
                                     b'"finish_reason":"length"}],"usage":' + COUNTS + b"}"),)),
    ],
)  # fmt: skip


def reported(**usage: Any) -> dict[str, Any]:
    """A stream of two tokens that ends with this usage; cached tokens are 3."""
    last = json_event({"choices": [], "usage": usage})
    return both(lambda say: (say(" a"), say(" b", "length"), last, DONE))


OPENAI = {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 3}}

WHERE_USAGE_STANDS = Chapter(
    "Where usage stands, and what it counts",
    [
        Fault(what="usage in the last choice", **both(lambda say: (
              say(" a"), say(" b"), say("", "length", usage=OPENAI), DONE)), row=TWO),
        Fault(what="usage in a choice with the last token", **both(lambda say: (
              say(" a"), say(" b", "length", usage=OPENAI), DONE)), row=TWO),
        Fault(what="usage under x_groq", **both(lambda say: (say(" a"), say(" b", "length"), json_event(
              {"choices": [], "x_groq": {"usage": OPENAI}}), DONE)), row=TWO),
        Fault(what="usage in the last delta", api=Api.chat, row=TWO, script=stream(
              delta(content=" a"), delta(content=" b"), delta("length", usage=OPENAI), DONE)),
        Fault(what="usage beside an empty choice behind the finish_reason", row=TWO, **both(lambda say: (
              say(" a"), say(" b", "length"), json_event({"choices": [{"index": 0, "delta": {}}], "usage": OPENAI}),
              DONE))),
        Fault(what="usage beside a choice, without a finish_reason", api=Api.chat, row=TWO, script=stream(
              delta(content=" a"), delta(content=" b"), json_event({"choices": [{"delta": {}}], "usage": OPENAI}),
              DONE)),
        Fault(what="usage under the names of Anthropic, the prompt without what was read or written in the cache",
              **reported(input_tokens=2, output_tokens=2, cache_read_input_tokens=3, cache_creation_input_tokens=2),
              row=TWO),
        Fault(what="the prompt without its cached tokens, the total with them", row=TWO,
              **reported(prompt_tokens=4, completion_tokens=2, total_tokens=9, cached_tokens=3)),
        Fault(what="the prompt as DeepSeek's misses alone", row=TWO, **reported(
              prompt_tokens=4, completion_tokens=2, prompt_cache_hit_tokens=3, prompt_cache_miss_tokens=4)),
        Fault(what="a prompt of which all was cached", **reported(
              prompt_tokens=3, completion_tokens=2, total_tokens=5, prompt_tokens_details={"cached_tokens": 3}),
              row={**TWO, "usage_prompt_tokens": 3}),
        Fault(what="completion tokens without reasoning, the total with it", **reported(
              prompt_tokens=7, completion_tokens=1, total_tokens=9, cached_tokens=3,
              completion_tokens_details={"reasoning_tokens": 1}), row={**TWO, "usage_reasoning_tokens": 1}),
        Fault(what="more reasoning than completion tokens, and no total", **reported(
              prompt_tokens=7, completion_tokens=0, cached_tokens=3,
              completion_tokens_details={"reasoning_tokens": 2}), row={**TWO, "usage_reasoning_tokens": 2}),
        Fault(what="thoughts in the total alone", row=TWO, **reported(
              prompt_tokens=7, completion_tokens=1, total_tokens=9, cached_tokens=3)),
        Fault(what="both the cached tokens and the reasoning in the total alone", **reported(
              prompt_tokens=4, completion_tokens=1, total_tokens=9, cached_tokens=3,
              completion_tokens_details={"reasoning_tokens": 1}), row={**TWO, "usage_reasoning_tokens": 1}),
        Fault(what="a plain answer with usage in its choice", stream=False, row={**COUNTED, "chunks": 0}, script=(
              plain_response("200 OK", b'{"choices":[{"text":" a b","finish_reason":"length","usage":' + COUNTS
                             + b"}]}"),)),
    ],
)  # fmt: skip


def labelled(kind: str) -> tuple[bytes, ...]:
    body = b"".join(step for step in WHOLE[1:] if isinstance(step, bytes))
    return (HEAD.replace(b"text/event-stream", kind.encode()), body)


LABELS = Chapter(
    "Streams under another label, or unasked for",
    [
        Fault(what="a stream labelled application/json", script=labelled("application/json"), row=TWO),
        Fault(what="a stream labelled text/html", script=labelled("text/html; charset=utf-8"), row=TWO),
        Fault(what="a stream labelled text/plain, opening with a comment", row=TWO,
              script=(HEAD.replace(b"event-stream", b"plain"), chunked(b"\n: hello\n\n"), *WHOLE[1:])),
        Fault(what="a stream labelled application/json that stops", script=(*labelled("application/json")[:1],
              *WHOLE[1:2], TELLS, b"0\r\n\r\n"), error_kind="truncated", row={"chunks": 1}),
        Fault(what="a stream labelled application/json with an error in it",
              script=(*labelled("application/json")[:1], *WHOLE[1:2], chunked(b"error: " + ERROR + b"\n\n" + DONE),
                      b"0\r\n\r\n"), error_kind="error_event", words=LOST, row={"chunks": 1}),
        Fault(what="a stream where a plain answer was asked for", script=WHOLE, stream=False, row=TWO),
        Fault(what="a stream labelled application/json where a plain answer was asked for",
              script=labelled("application/json"), stream=False, row=TWO),
        Fault(what="a stream that stops where a plain answer was asked for", script=(*WHOLE[:2], b"0\r\n\r\n"),
              stream=False, error_kind="truncated", row={"chunks": 1}),
    ],
)  # fmt: skip


def piece(arguments: str = "", name: str | None = None, **fields: Any) -> dict[str, Any]:
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    return {**fields, "function": function}


def called(*pieces: Any, stream_of: bool = True) -> dict[str, Any]:
    """A chat whose deltas, or whose message, bring these pieces of the calls look({"x": 1}) and run({})."""
    deltas = [delta(tool_calls=group if isinstance(group, list) else [group]) for group in pieces]
    body = {"choices": [{"message": {"tool_calls": list(pieces)}, "finish_reason": "tool_calls"}]}
    return {"api": Api.chat, "stream": stream_of,
            "script": stream(delta(role="assistant"), *deltas, delta("tool_calls"), counts(9), DONE) if stream_of
            else (plain_response("200 OK", json.dumps(body).encode()),)}  # fmt: skip


LOOK, RUN = '{"x": 1}', "{}"
BOTH = [("a", "look", LOOK), ("b", "run", RUN)]
NAMELESS = [("", "look", LOOK), ("", "run", RUN)]
PARALLEL_CALLS = Chapter(
    "Parallel tool calls",
    [
        Fault(what="calls told apart by index, their pieces mixed", calls=BOTH, **called(
              piece('{"x"', "look", index=0, id="a"), piece("", "run", index=1, id="b"), piece(": 1}", index=0),
              piece("{}", index=1))),
        Fault(what="calls under one index, told apart by id", calls=BOTH, **called(
              piece(LOOK, "look", index=0, id="a"), piece(RUN, "run", index=0, id="b"))),
        Fault(what="calls under one index by id, each in pieces", calls=BOTH, **called(
              piece("", "look", index=0, id="a"), piece(LOOK, index=0), piece("", "run", index=0, id="b"),
              piece(RUN, index=0))),
        Fault(what="calls without index, told apart by id", calls=BOTH, **called(
              piece('{"x"', "look", id="a"), piece("", "run", id="b"), piece(": 1}", id="a"), piece(RUN, id="b"))),
        Fault(what="calls without index, the id in their first piece alone", calls=BOTH, **called(
              piece('{"x"', "look", id="a"), piece(": 1}"), piece("", "run", id="b"), piece(RUN))),
        Fault(what="calls without index and id, one after the other", calls=NAMELESS, **called(
              piece('{"x"', "look"), piece(": 1}"), piece("", "run"), piece(RUN))),
        Fault(what="calls without index and id, in one delta", calls=NAMELESS, **called(
              [piece(LOOK, "look"), piece(RUN, "run")])),
        Fault(what="calls without index and id, the name in every piece", calls=[("", "look", LOOK)], **called(
              piece('{"x"', "look"), piece(": 1}", "look"))),
        Fault(what="calls under one index without id", calls=NAMELESS, **called(
              piece(LOOK, "look", index=0), piece(RUN, "run", index=0))),
        Fault(what="calls under one id, told apart by index", calls=[("a", "look", LOOK), ("a", "run", RUN)], **called(
              piece(LOOK, "look", index=0, id="a"), piece(RUN, "run", index=1, id="a"))),
        Fault(what="arguments as an object", calls=[("a", "look", '{"x":1}')], **called(
              {"index": 0, "id": "a", "function": {"name": "look", "arguments": {"x": 1}}})),
        Fault(what="a plain answer with two calls", calls=BOTH, **called(
              piece(LOOK, "look", id="a"), piece(RUN, "run", id="b"), stream_of=False)),
        Fault(what="a plain answer with two calls without id", calls=NAMELESS, **called(
              piece(LOOK, "look"), piece(RUN, "run"), stream_of=False)),
    ],
)  # fmt: skip


def held(*texts: str, tokens: int, **usage: Any) -> dict[str, Any]:
    """A stream of these texts, 20 ms apart, whose usage counts so many tokens."""
    last = json_event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": tokens, **usage}})

    def script(say: Say) -> Script:
        parts = [step for text in texts for step in (chunked(say(text)), 0.02)]
        return (HEAD, *parts, chunked(say("", "length") + last + DONE), b"0\r\n\r\n")

    return {"script": script(say_text), "chat": script(say_delta)}


def thinking(tokens: int) -> dict[str, Any]:
    return {"completion_tokens_details": {"reasoning_tokens": tokens}}


UNSEEN_TOKENS = Chapter(
    "Tokens that are not seen coming",
    [
        Fault(what="a whole answer in one chunk", **held(" a" * 20, tokens=20),
              row={"chunks": 1, "hidden_tokens": 0, "burst_share": 1.0}),
        Fault(what="a token, then the rest at once", **held(" a", " a" * 19, tokens=20),
              row={"chunks": 2, "hidden_tokens": 0, "burst_share": 0.95}),
        Fault(what="one token after the other", **held(*[" a"] * 5, tokens=5),
              row={"chunks": 5, "hidden_tokens": 0, "burst_share": 0.2}),
        Fault(what="chunks of several tokens", **held(*[" a b c d"] * 4, tokens=16),
              row={"chunks": 4, "hidden_tokens": 0, "burst_share": 0.25}),
        Fault(what="reasoning that is counted and not sent", **held(" a", " b", tokens=200, **thinking(198)),
              row={"chunks": 2, "usage_reasoning_tokens": 198, "hidden_tokens": 198, "burst_share": 0.5}),
        Fault(what="the same, and nothing says how much of it", **held(" a", " b", tokens=200),
              row={"chunks": 2, "usage_reasoning_tokens": None, "hidden_tokens": 198}),
        Fault(what="reasoning that is counted and left out of completion tokens, and not sent",
              **held(" a", " b", tokens=2, total_tokens=207, **thinking(198)),
              row={"usage_completion_tokens": 200, "hidden_tokens": 198}),
        Fault(what="reasoning that is counted and sent as content", **held(*[" a"] * 4, tokens=4, **thinking(3)),
              row={"usage_reasoning_tokens": 3, "hidden_tokens": 0}),
        Fault(what="reasoning that is counted and sent", api=Api.chat, script=stream(
              delta(reasoning_content=" a"), delta(reasoning_content=" b"), delta("stop", content=" c"),
              json_event({"choices": [], "usage": {"completion_tokens": 3, **thinking(2)}}), DONE),
              row={"chunks": 3, "usage_reasoning_tokens": 2, "hidden_tokens": 0}),
        Fault(what="the first 9 tokens held back and sent at once, then one by one",
              **held(" a" * 9, *[" a"] * 11, tokens=20),
              row={"chunks": 12, "first_chunk_tokens": 9, "hidden_tokens": 0, "burst_share": 0.45}),
        Fault(what="the same in chunks of their own", script=(HEAD, chunked(say_text(" a") * 9), *(
              step for _ in range(11) for step in (0.02, chunked(say_text(" a")))),
              chunked(say_text("", "length") + counts(20) + DONE), b"0\r\n\r\n"),
              row={"chunks": 20, "first_chunk_tokens": 9, "hidden_tokens": 0, "burst_share": 0.45}),
        Fault(what="a first chunk that tells how many tokens it holds, then one by one", row={
              "chunks": 3, "first_chunk_tokens": 18, "hidden_tokens": 0, "burst_share": 0.05}, script=(HEAD, *(
              step for n, text in ((18, " a" * 18), (19, " b"), (20, " c")) for step in (chunked(json_event(
                  {"choices": [{"text": text, "finish_reason": "length" if n == 20 else None}],
                   "usage": {"completion_tokens": n}})), 0.02)), chunked(counts(20) + DONE), b"0\r\n\r\n")),
    ],
)  # fmt: skip

CHAPTERS = (PASS_AS_ANSWERS, UNSEEN_TOKENS, WHERE_TOKENS_STAND, WHERE_USAGE_STANDS, LABELS, PARALLEL_CALLS)
