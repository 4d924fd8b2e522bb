"""Request bodies: exactly what is said to a server, field by field, in each form that a prompt can have."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trie.config import Api, EndpointConfig, PromptForm, ToolRole
from trie.endpoint.request_body import Conversation, RequestFormat, escaped
from trie.endpoint.response import Answer
from trie.endpoint.tool_calls import DECLARATION

MADE_UP = {"type": "function", "function": {"name": "run", "arguments": "{}"}}


def said(content: str | None = None, **message: Any) -> Answer:
    """A chat's answer."""
    answer = Answer()
    answer.plain(json.dumps({"choices": [{"message": {"content": content, **message}}]}).encode())
    return answer


def completed(text: str, ids: tuple[int, ...] = ()) -> Answer:
    answer = Answer()
    answer.plain(json.dumps({"choices": [{"text": text}]}).encode())
    answer.ids.extend(ids)
    return answer


def called(*calls: tuple[str, str, str]) -> list[dict[str, Any]]:
    return [
        {"id": name, "type": "function", "function": {"name": tool, "arguments": arguments}}
        for name, tool, arguments in calls
    ]


def chat(*, stream: bool = False, history: str = "content", **endpoint: Any) -> RequestFormat:
    return RequestFormat(EndpointConfig(api=Api.chat, **endpoint), "m", stream=stream, history=history)


def messages(fmt: RequestFormat, talk: Conversation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(fmt.body(talk, 1))["messages"]
    return found


def test_completions_body_joins_the_conversation() -> None:
    fmt = RequestFormat(EndpointConfig(extra_body={"temperature": 0}), "m", stream=True)
    talk = fmt.conversation()
    talk.ask((b" one", memoryview(b" two")))
    talk.answered(completed(' said "so"\n'))
    talk.ask((b" three",))
    assert json.loads(fmt.body(talk, 9)) == {
        "model": "m", "stream": True, "stream_options": {"include_usage": True}, "ignore_eos": True,
        "temperature": 0, "max_tokens": 9, "prompt": ' one two said "so"\n three',
    }  # fmt: skip


def test_chat_body_has_a_message_for_each_part() -> None:
    """As agents send it: the answer calls a tool, and the next message is what that put out."""
    fmt = chat(ignore_eos=None, max_tokens_field="max_completion_tokens")
    talk = fmt.conversation()
    talk.ask((b" one",))
    talk.answered(said(" two"))
    talk.ask((b" three", b" four"))
    assert json.loads(fmt.body(talk, 4)) == {
        "model": "m", "stream": False, "max_completion_tokens": 4,
        "messages": [
            {"role": "user", "content": " one"},
            {"role": "assistant", "content": " two", "tool_calls": [{"id": "trie00001", **MADE_UP}]},
            {"role": "tool", "tool_call_id": "trie00001", "content": " three four"},
        ],
    }  # fmt: skip


def test_each_turn_has_a_call_of_its_own_with_an_id_of_nine_letters_and_digits() -> None:
    fmt = chat()
    talk = fmt.conversation()
    talk.ask((b" a",))
    for _ in range(3):
        talk.answered(said(" b"))
        talk.ask((b" c",))
    names = [message["tool_call_id"] for message in messages(fmt, talk) if message["role"] == "tool"]
    assert len(set(names)) == 3
    assert all(len(name) == 9 and name.isalnum() for name in names)


def test_tool_outputs_by_the_user_call_nothing() -> None:
    fmt = chat(tool_role=ToolRole.user)
    talk = fmt.conversation()
    talk.ask((b" one",))
    talk.answered(said(" two", tool_calls=called(("x", "look", "{}"))))
    talk.ask((b" three",))
    assert messages(fmt, talk) == [
        {"role": "user", "content": " one"},
        {"role": "assistant", "content": " two"},
        {"role": "user", "content": " three"},
    ]


def test_the_servers_own_calls_go_back_and_each_is_answered() -> None:
    fmt = chat()
    talk = fmt.conversation()
    talk.ask((b" one",))
    talk.answered(said(None, tool_calls=called(("x", "look", '{"at": "é"}'), ("y", "wait", "{}"))))
    talk.ask((b" three",))
    assert messages(fmt, talk)[1:] == [
        {"role": "assistant", "content": "", "tool_calls": called(("x", "look", '{"at": "é"}'), ("y", "wait", "{}"))},
        {"role": "tool", "tool_call_id": "x", "content": " three"},
        {"role": "tool", "tool_call_id": "y", "content": ""},
    ]


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [("", "{}"), ('{"a": [1', '{"cut_off":"{\\"a\\": [1"}'), ("[1]", '{"cut_off":"[1]"}'), ('{"a": 1}', '{"a": 1}')],
)
def test_arguments_that_are_no_object_are_made_one(arguments: str, sent: str) -> None:
    """max_tokens cuts answers off anywhere, and templates parse what they get."""
    fmt = chat()
    talk = fmt.conversation()
    talk.ask((b" one",))
    talk.answered(said(" two", tool_calls=[{"function": {"arguments": arguments}}]))
    assert messages(fmt, talk)[1]["tool_calls"] == called(("trie00001", "run", sent))


@pytest.mark.parametrize(
    ("history", "content", "reasoning", "sent"),
    [
        ("content", " a", " b", {"content": " a"}),
        ("content", "", " b", {"content": " b"}),  # nothing else was said
        ("content+reasoning", " a", ' "b"', {"content": " a", "reasoning_content": ' "b"'}),
        ("content+reasoning", "", " b", {"content": "", "reasoning_content": " b"}),
        ("content+reasoning", " a", "", {"content": " a"}),
    ],
)
def test_what_goes_back_of_reasoning(history: str, content: str, reasoning: str, sent: dict[str, str]) -> None:
    fmt = chat(history=history, tool_role=ToolRole.user)
    talk = fmt.conversation()
    talk.ask((b" one",))
    talk.answered(said(content, reasoning_content=reasoning))
    assert messages(fmt, talk)[1] == {"role": "assistant", **sent}


def test_reasoning_before_a_call_is_not_taken_for_content() -> None:
    fmt = chat()
    talk = fmt.conversation()
    talk.ask((b" one",))
    talk.answered(said(None, reasoning_content=" b", tool_calls=called(("x", "look", "{}"))))
    assert messages(fmt, talk)[1]["content"] == ""


def test_a_text_may_stand_for_the_answer() -> None:
    fmt = chat(history="recorded")
    talk = fmt.conversation()
    talk.ask((b" one",))
    talk.recite((b" two", b" three"))
    talk.ask((b" four",))
    assert [message["content"] for message in messages(fmt, talk)] == [" one", " two three", " four"]
    assert messages(fmt, talk)[2]["tool_call_id"] == "trie00001"


def test_token_ids_and_those_of_answers_are_one_list() -> None:
    fmt = RequestFormat(EndpointConfig(prompt_form=PromptForm.token_ids), "m", stream=False)
    talk = fmt.conversation()
    talk.ask((b",5,6", memoryview(b",7")))
    talk.answered(completed(" x", (8, 9)))
    talk.ask((b",10",))
    assert json.loads(fmt.body(talk, 2)) == {
        "model": "m", "stream": False, "ignore_eos": True, "return_token_ids": True,
        "max_tokens": 2, "prompt": [5, 6, 7, 8, 9, 10],
    }  # fmt: skip


def test_ids_that_do_not_go_back_are_not_asked_for() -> None:
    endpoint = EndpointConfig(prompt_form=PromptForm.token_ids)
    fmt = RequestFormat(endpoint, "m", stream=False, history="recorded")
    talk = fmt.conversation()
    talk.ask((b",5",))
    talk.recite((b",6",))
    assert json.loads(fmt.body(talk, 2)) == {
        "model": "m", "stream": False, "ignore_eos": True, "max_tokens": 2, "prompt": [5, 6],
    }  # fmt: skip
    assert type(fmt.answer()) is Answer


def test_text_is_sent_where_token_ids_turned_out_not_to_be_taken() -> None:
    endpoint = EndpointConfig(prompt_form=PromptForm.token_ids)
    fmt = RequestFormat(endpoint, "m", stream=False, form=PromptForm.text)
    talk = fmt.conversation()
    talk.ask((b" one",))
    found = json.loads(fmt.body(talk, 1))
    assert found["prompt"] == " one"
    assert "return_token_ids" not in found


@pytest.mark.parametrize(
    ("endpoint", "sent"),
    [
        ({"ignore_eos": None, "include_usage": False}, {}),
        ({"ignore_eos": False, "include_usage": False}, {"ignore_eos": False}),
        ({"ignore_eos": None, "continuous_usage": True},
         {"stream_options": {"include_usage": True, "continuous_usage_stats": True}}),
        ({"ignore_eos": None, "include_usage": False, "min_tokens_field": "min_tokens"}, {"min_tokens": 7}),
        ({"ignore_eos": None, "include_usage": False, "api": Api.chat, "declare_tools": True},
         {"tools": [DECLARATION]}),
        ({"ignore_eos": None, "include_usage": False, "declare_tools": True}, {}),  # of completions there are none
    ],
)  # fmt: skip
def test_fields_are_sent_as_settings_say_and_no_others(endpoint: dict[str, Any], sent: dict[str, Any]) -> None:
    fmt = RequestFormat(EndpointConfig(**endpoint), "m", stream=True)
    talk = fmt.conversation()
    talk.ask((b" one",))
    found = json.loads(fmt.body(talk, 7))
    assert {found.pop(key) and key for key in ("prompt", "messages") if key in found}
    assert found == {"model": "m", "stream": True, "max_tokens": 7, **sent}


def test_no_field_of_streams_is_sent_without_one() -> None:
    fmt = RequestFormat(EndpointConfig(ignore_eos=None, continuous_usage=True), "m", stream=False)
    talk = fmt.conversation()
    talk.ask((b" one",))
    assert json.loads(fmt.body(talk, 7)) == {"model": "m", "stream": False, "max_tokens": 7, "prompt": " one"}


def test_halves_of_a_surrogate_pair_are_joined() -> None:
    assert json.loads(b'"' + escaped("\ud83d\ude42") + b'"') == "🙂"
    assert json.loads(b'"' + escaped("a\ud83d") + b'"') == "a�"


NAMES = st.one_of(st.text(max_size=6), st.none(), st.integers())
PIECES = st.fixed_dictionaries(
    {"index": st.one_of(st.none(), st.integers(0, 2)), "id": NAMES},
    optional={"function": st.fixed_dictionaries({"name": NAMES, "arguments": st.one_of(NAMES, st.just('{"a": 1}'))})},
)


@given(st.text(max_size=8), st.text(max_size=8), st.lists(PIECES, max_size=4), st.booleans())
def test_whatever_a_server_said_makes_messages_that_a_strict_template_takes(
    content: str, reasoning: str, pieces: list[dict[str, Any]], both: bool
) -> None:
    fmt = chat(history="content+reasoning" if both else "content")
    talk = fmt.conversation()
    talk.ask((b" one",))
    answer = Answer()
    answer.event(json.dumps({"choices": [{"delta": {
        "content": content, "reasoning": reasoning, "tool_calls": pieces}}]}).encode(), 1)  # fmt: skip
    talk.answered(answer)
    talk.ask((b" two",))
    body = orjson.loads(fmt.body(talk, 1))  # strict: no lone surrogates
    _, assistant, *outputs = body["messages"]
    assert [call["id"] for call in assistant["tool_calls"]] == [output["tool_call_id"] for output in outputs]
    assert "".join(output["content"] for output in outputs) == " two"
    assert all(call["function"]["name"] for call in assistant["tool_calls"])
    assert all(isinstance(orjson.loads(call["function"]["arguments"]), dict) for call in assistant["tool_calls"])
