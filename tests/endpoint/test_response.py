"""What answers are taken to say."""

from __future__ import annotations

import json
from itertools import chain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trie.endpoint.json_text import loads
from trie.endpoint.response import Answer

SAID = (
    "token_ends",
    "token_sizes",
    "hidden_tokens",
    "reasoning_tokens",
    "reasoning",
    "first_chunk_tokens",
    "tool_calls",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "finish_reason",
    "done",
    "error",
)


def streamed(*events: object) -> Answer:
    answer = Answer()
    for place, event in enumerate(events, 1):
        answer.event(event if isinstance(event, bytes) else json.dumps(event).encode(), place)
    return answer


def text(text: str, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "text": text, "finish_reason": finish}], **more}


def delta(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def usage(**counts: Any) -> dict[str, Any]:
    return {"choices": [], "usage": counts}


@pytest.mark.parametrize("data", [b'{"a": "\\ud83d"}', b'{"a": "\xff"}'])
def test_json_as_servers_send_it_is_read(data: bytes) -> None:
    assert set(loads(data)) == {"a"}


def test_nesting_without_end_is_no_json() -> None:
    with pytest.raises(ValueError):
        loads(b"[" * 100_000)


def test_completions_stream() -> None:
    counts = usage(prompt_tokens=7, completion_tokens=2, prompt_tokens_details={"cached_tokens": 3})
    answer = streamed(text(" a"), text(" b", "length"), counts, b"[DONE]")
    assert (answer.text, answer.token_ends, answer.finish_reason) == (" a b", [1, 2], "length")
    assert (answer.prompt_tokens, answer.completion_tokens, answer.cached_tokens) == (7, 2, 3)
    assert answer.failure(stream=True) is None


def test_an_empty_text_is_a_token_but_not_in_the_closing_chunk() -> None:
    answer = streamed(text(""), text(" b"), text("", "length", usage={"completion_tokens": 2}))
    assert answer.token_ends == [1, 2]


def test_chat_stream_counts_content_reasoning_and_tool_calls_alone() -> None:
    answer = streamed(
        delta(role="assistant", content=""), delta(reasoning_content="hm"), delta(content=" a"), delta(content=""),
        delta(tool_calls=[{"index": 0}]), delta("stop"), usage(completion_tokens=3),
    )  # fmt: skip
    assert answer.token_ends == [2, 3, 5]
    assert answer.text == " a"


def test_usage_in_every_chunk_the_last_one_counts_and_the_first_tells_its_tokens() -> None:
    counts = [{"completion_tokens": n} for n in (3, 7)]
    answer = streamed(text(" a b c", usage=counts[0]), text(" d", "stop", usage=counts[1]))
    assert (answer.completion_tokens, answer.first_chunk_tokens) == (7, 3)


@pytest.mark.parametrize("first", [None, {}, {"completion_tokens": None}, {"completion_tokens": 0}])
def test_what_does_not_tell_the_tokens_of_the_first_chunk(first: dict[str, Any] | None) -> None:
    answer = streamed(text(" a", usage=first), text(" b", "length"), usage(completion_tokens=9), b"[DONE]")
    assert (answer.first_chunk_tokens, answer.completion_tokens) == (None, 9)


def test_tokens_that_came_unseen_before_the_first_chunk_with_text_are_its_own() -> None:
    """As a parser holds back what may become a tool call."""
    opening = {"choices": [{"delta": {"role": "assistant"}, "finish_reason": None}], "usage": {"completion_tokens": 0}}
    first = {"choices": [{"delta": {"content": " a"}, "finish_reason": None}], "usage": {"completion_tokens": 4}}
    answer = streamed(opening, first, delta("stop"))
    assert (answer.token_ends, answer.first_chunk_tokens) == ([2], 4)


def call(index: int, arguments: str, **function: str) -> dict[str, Any]:
    names = {"id": function.pop("id")} if "id" in function else {}
    return delta(tool_calls=[{"index": index, **names, "function": {**function, "arguments": arguments}}])


def test_calls_of_tools_are_put_together_out_of_their_pieces() -> None:
    answer = streamed(
        delta(role="assistant"), delta(reasoning="I will"), call(1, "", id="b", name="look"),
        call(0, '{"x"', id="a", name="run"), call(1, "{}"), call(0, ": 1}"),
        delta("tool_calls"), usage(completion_tokens=9),
    )  # fmt: skip
    assert [(call.id, call.name, call.arguments) for call in answer.tool_calls] == [
        ("a", "run", '{"x": 1}'),
        ("b", "look", "{}"),
    ]
    assert (answer.token_ends, answer.reasoning, answer.content) == ([2, 3, 4, 5, 6], "I will", "")
    assert answer.failure(stream=True) is None


def test_a_delta_may_bring_content_reasoning_and_a_call_at_once() -> None:
    pieces = {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "run", "arguments": "{}"}}]}
    answer = streamed(delta(content=" a", reasoning_content=" b", **pieces), delta("stop"))
    assert (answer.content, answer.reasoning, len(answer.tool_calls), answer.token_ends) == (" a", " b", 1, [1])


@pytest.mark.parametrize("pieces", ["x", 7, {"index": 0}, [None], [{"index": None, "function": 3, "id": 4}], [{}]])
def test_senseless_calls_break_nothing(pieces: object) -> None:
    answer = streamed(delta(content=" a", tool_calls=pieces), delta("stop"))
    assert all((call.id, call.name, call.arguments) == ("", "", "") for call in answer.tool_calls)


def test_a_plain_answer_with_calls() -> None:
    calls = [{"id": "a", "type": "function", "function": {"name": "run", "arguments": '{"x": 1}'}}]
    answer = Answer()
    answer.plain(json.dumps({"choices": [{"message": {"content": None, "tool_calls": calls}}]}).encode())
    assert answer.failure(stream=False) is None
    assert [call.arguments for call in answer.tool_calls] == ['{"x": 1}']


@pytest.mark.parametrize(
    ("reported", "cached"),
    [
        ({"prompt_tokens_details": None}, None),
        ({}, None),
        ({"prompt_tokens_details": {"cached_tokens": 0}}, 0),
        ({"cached_tokens": 5}, 5),
        ({"prompt_cache_hit_tokens": 6}, 6),
        ({"input_tokens_details": {"cached_tokens": 8}}, 8),
        ({"prompt_tokens_details": {"cached_tokens": -1}}, None),
        ({"prompt_tokens_details": {"cached_tokens": "9"}}, None),
        ({"prompt_tokens_details": {"cached_tokens": True}}, None),
        ({"prompt_tokens_details": {"cached_tokens": 1 << 60}}, None),
        ({"prompt_tokens_details": [1]}, None),
    ],
)
def test_cached_tokens_and_their_synonyms(reported: dict[str, Any], cached: int | None) -> None:
    assert streamed(usage(prompt_tokens=9, **reported)).cached_tokens == cached


@pytest.mark.parametrize(
    ("at", "cached"), [(("deep", "er"), 4), (("deep", "missing"), 3), (("missing", "er"), 3), (("deep",), 3), ((), 3)]
)
def test_cached_tokens_are_looked_for_where_a_setting_says_first(at: tuple[str, ...], cached: int) -> None:
    answer = Answer(at)
    counts = {"deep": {"er": 4}, "prompt_tokens_details": {"cached_tokens": 3}}
    answer.event(json.dumps(usage(prompt_tokens=9, **counts)).encode(), 1)
    assert answer.cached_tokens == cached


@pytest.mark.parametrize(
    ("events", "kind"),
    [
        ([text(" a"), {"error": {"message": "boom"}}], "error_event"),
        ([text(" a"), {"error": "boom"}], "error_event"),
        ([text(" a")], "truncated"),
        ([], "truncated"),
        ([usage(completion_tokens=0), b"[DONE]"], "no_tokens"),
        ([b"[DONE]"], "no_tokens"),
        ([text(" a"), b"{oops", b"[DONE]"], "bad_response"),
        ([b"[1]"], "bad_response"),
        ([text(" a", "abort")], "aborted"),
    ],
)
def test_failures_that_look_like_success(events: list[object], kind: str) -> None:
    failure = streamed(*events).failure(stream=True)
    assert failure is not None
    assert failure[0] == kind


def test_a_stream_without_done_that_has_usage_is_whole() -> None:
    assert streamed(text(" a", "length"), usage(completion_tokens=1)).failure(stream=True) is None


@pytest.mark.parametrize("text", [{"text": " a b"}, {"message": {"role": "assistant", "content": " a b"}}])
def test_plain_answers(text: dict[str, Any]) -> None:
    answer = Answer()
    answer.plain(json.dumps({"choices": [{**text, "finish_reason": "length"}], "usage": {"prompt_tokens": 3}}).encode())
    assert (answer.text, answer.prompt_tokens, answer.failure(stream=False)) == (" a b", 3, None)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>", "bad_response"),
        (b'{"error": {"message": "x"}}', "error_event"),
        (b'{"choices": []}', "bad_response"),
    ],
)
def test_plain_answers_that_are_none(body: bytes, kind: str) -> None:
    answer = Answer()
    answer.plain(body)
    failure = answer.failure(stream=False)
    assert failure is not None
    assert failure[0] == kind


CHUNK = st.sampled_from([
    b'{"choices":[{"index":0,"text":" a","finish_reason":null}]}',
    b'{"choices":[{"index":0,"text":"","finish_reason":null}],"usage":null}',
    b'{"choices":[{"text":" b","finish_reason":"length"}]}',
    b'{"choices":[{"text":" c","finish_reason":null}],"usage":{"prompt_tokens":3,"completion_tokens":1}}',
    b'{"choices":[{"delta":{"role":"assistant"},"finish_reason":null}]}',
    b'{"choices":[{"delta":{"content":" d"},"finish_reason":null}]}',
    b'{"choices":[{"delta":{"reasoning_content":" e"},"finish_reason":null}]}',
    b'{"choices":[{"delta":{"content":" f","reasoning":null,"tool_calls":null},"finish_reason":null}]}',
    b'{"choices":[{"delta":{"content":" g","reasoning":" h"},"finish_reason":null}]}',
    b'{"choices":[{"delta":{"content":" i","tool_calls":[{"id":"x"}]},"finish_reason":null}]}',
    b'{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4}}',
    b'{"error":{"message":"no"}}', b'{"object":"error","message":"no"}',
    b'{"choices":[{"text":7,"finish_reason":null}]}', b'{"choices":null}', b"[]", b"{", b"1,2", b"", b"[DONE]",
    b" [DONE] ",
    b'{"choices":[{"text":"\\ud800","finish_reason":null}]}',
])  # fmt: skip


AROUND = st.sampled_from([
    b'{"choices":[{"index":0,"text":"%b","finish_reason":null}],"usage":null}',
    b'{"id":"x","choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":null}]}',
    b'{"choices":[{"delta":{"content":"%b","role":"assistant"},"finish_reason":null}]}',
    b'{"text":"%b","choices":[{"text":"b","finish_reason":null}]}',
    b'{"choices":[{"text":"%b","finish_reason":null,"text":"last"}]}',
    b'{"choices":[{"delta":{"reasoning_content":"%b"},"finish_reason":null}]}',
])  # fmt: skip
INNER = st.sampled_from(
    [b" a", b" b", b"\xc3\xa9", b"", b"[DONE]", b'\\"', b"\\n", b"\n", b"\t", b'","text":"', b"\xff", b" c" * 9]
)
ALIKE = st.builds(
    lambda around, inner: [around % text for text in inner], AROUND, st.lists(INNER, min_size=6, max_size=14)
)
STREAM = st.builds(lambda *parts: list(chain(*parts)), st.lists(CHUNK, max_size=3), ALIKE, st.lists(CHUNK, max_size=3))


@given(st.lists(CHUNK, max_size=12) | STREAM)
def test_events_together_say_what_they_say_one_by_one(data: list[bytes]) -> None:
    ends = list(range(10, 10 + len(data)))
    together, apart = Answer(), Answer()
    if data:
        together.events(data, ends)
    for one, end in zip(data, ends, strict=True):
        apart.event(one, end)
    for name in (*SAID, "text"):
        assert getattr(together, name) == getattr(apart, name), name
    assert together.failure(stream=True) == apart.failure(stream=True)


def test_reasoning_that_does_not_go_back_is_cut_off_by_chunks_or_in_proportion() -> None:
    """Four tokens in four chunks; four in two chunks of 3 and 5 letters; reasoning that the server told apart stays."""
    each = streamed(text(" a"), text(" bc"), text(" d"), text(" e", "length"), usage(completion_tokens=4))
    assert [each.text_behind(tokens) for tokens in (0, 2, 4, 9)] == [" a bc d e", " d e", "", ""]
    together = streamed(text(" ab"), text(" cd e", "length"), usage(completion_tokens=4))
    assert [together.text_behind(tokens) for tokens in (1, 2, 4)] == ["b cd e", "cd e", ""]
    apart = streamed(delta(reasoning_content=" no"), delta(content=" yes"), usage(completion_tokens=2))
    assert apart.text_behind(1) == " yes"
