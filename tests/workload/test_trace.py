"""Traces: the requests they make, and what a row may not say."""

from __future__ import annotations

from typing import Any

import pytest

from trie.errors import WorkloadError
from trie.workload import jsonl
from trie.workload.accounting import every_request
from trie.workload.row import parse_trace
from trie.workload.trace import Cut, PlannedRequest

ROW: dict[str, Any] = {
    "num_turns": 2,
    "input_prompt_length": 32,
    "assistant_response_length": [16, 20],
    "tool_call_output_length": [8, 12],
    "tool_call_latency": [0.5, 1],
    "final_assistant_response_length": 64,
}


def test_a_trace_makes_one_request_more_than_it_has_turns() -> None:
    trace = parse_trace(ROW, where="w:1", index=3)
    assert list(trace.requests()) == [
        PlannedRequest(0, False, 0.0, 32, 0, 16),
        PlannedRequest(1, False, 0.5, 8, 48, 20),
        PlannedRequest(2, True, 1.0, 12, 76, 64),
    ]
    assert (trace.row, trace.num_turns, trace.context_tokens) == (3, 2, 152)


def test_no_turns_are_one_request() -> None:
    row = {
        **ROW,
        "num_turns": 0,
        "assistant_response_length": [],
        "tool_call_output_length": [],
        "tool_call_latency": [],
    }
    assert list(parse_trace(row, where="w:1").requests()) == [PlannedRequest(0, True, 0.0, 32, 0, 64)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_turns": -1}, "num_turns: found -1, must be a whole number from 0"),
        ({"num_turns": 2.5}, "num_turns: found 2.5"),
        ({"num_turns": True}, "num_turns: found True"),
        ({"input_prompt_length": 0}, "input_prompt_length: found 0, must be a whole number from 1"),
        ({"input_prompt_length": 10**9}, "found 1000000000"),
        ({"input_prompt_length": None}, "found None"),
        ({"assistant_response_length": [1]}, "assistant_response_length: found 1 entries, must be num_turns=2"),
        ({"assistant_response_length": 5}, "found 5, must be a list of length num_turns=2"),
        ({"assistant_response_length": [1, 0]}, "assistant_response_length[1]: found 0"),
        ({"tool_call_output_length": [1, "x"]}, "tool_call_output_length[1]: found 'x'"),
        ({"tool_call_latency": [float("nan"), 0]}, "tool_call_latency[0]: found nan, must be seconds from 0"),
        ({"tool_call_latency": [-1, 0]}, "tool_call_latency[0]: found -1"),
        ({"final_assistant_response_length": "9" * 99}, "final_assistant_response_length: found '999"),
    ],
)
def test_a_bad_row_is_named_by_place_field_found_and_allowed(change: dict[str, Any], message: str) -> None:
    with pytest.raises(WorkloadError) as caught:
        parse_trace({**ROW, **change}, where="mine.jsonl:7")
    assert str(caught.value).startswith("mine.jsonl:7: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", ROW)
def test_a_missing_field_is_named(field: str) -> None:
    with pytest.raises(WorkloadError, match=f"w:1: {field} is missing"):
        parse_trace({key: value for key, value in ROW.items() if key != field}, where="w:1")


@pytest.mark.parametrize("row", [[], 3, None, "x"])
def test_a_row_is_an_object(row: Any) -> None:
    with pytest.raises(WorkloadError, match="must be a JSON object"):
        parse_trace(row, where="w:1")


TWO = {
    **ROW,
    "shared_prefix_id": "system",
    "shared_prefix_length": 20,
    "reasoning_length": [6, 0, 3],
    "context_reset": [None, None, 40],
    "start_offset_s": 3.5,
    "name": "a",
    "source": "b",
    "weight": 2.0,
    "subagents": [{"after_turn": 0, "trace": {**ROW, "reasoning_length": [0, 5, 0]}}],
}


def test_version_two_by_hand() -> None:
    """Of 32 + 16 tokens the next prompt holds 32 and the 10 that are no reasoning, which stand elsewhere now.

    The second prompt has 42 + 8 = 50 tokens, with its answer 70. Of these 40 survive: that is in the first answer, so
    that the cut falls in front of it, behind 32 tokens; the 8 between are new text, and 12 more.
    """
    trace = parse_trace(TWO, where="w:1")
    (child,) = trace.subagents
    assert list(trace.requests()) == [
        PlannedRequest(0, False, 0.0, 32, 0, 16, dropped_tokens=6, shared_tokens=20),
        PlannedRequest(1, False, 0.0, 18, 32, 20, resent_tokens=10, lost_tokens=16, waits_for=(child.trace,)),
        PlannedRequest(2, True, 1.0, 20, 32, 64, dropped_tokens=3, lost_tokens=38, lost_turns=2, cut=Cut(0, 32)),
    ]
    assert [plan.text_tokens for plan in trace.requests()] == [32, 8, 20]
    assert [plan.cached_prompt_tokens for plan in trace.requests(reasoning_back=True)] == [0, 48, 32]
    assert trace.context_tokens == 147, "the sub-agent's: 32 + 16 + 8 + 15 + 12 and 64"


def test_a_row_comes_back_as_it_was() -> None:
    assert jsonl.row(parse_trace(TWO, where="w:1")) == TWO


def test_a_shared_prefix_is_new_once() -> None:
    """Three traces of one group, with 12, 20 and 20 tokens of prefix; and one whose prefix is another one."""
    prefixes = ((1, 12), (1, 20), (1, 20), (2, 20))
    rows = [{**ROW, "shared_prefix_id": name, "shared_prefix_length": length} for name, length in prefixes]
    plans = [plan for plan in every_request([parse_trace(row, where="w") for row in rows]) if plan.turn == 0]
    assert [plan.cached_prompt_tokens for plan in plans] == [0, 12, 20, 0]
    assert [plan.new_prompt_tokens for plan in plans] == [32, 20, 12, 32]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"shared_prefix_length": 33},
            "found 33, must be a whole number from 0 to input_prompt_length=32",
        ),
        ({"shared_prefix_id": None}, "shared_prefix_id: found None"),
        ({"reasoning_length": [17, 0, 0]}, "reasoning_length[0]: found 17, its answer has 16 tokens"),
        ({"context_reset": [None, 5]}, "context_reset: found 2 entries, must be num_turns+1=3"),
        ({"context_reset": [None, -1, None]}, "context_reset[1]: found -1, must be null or a whole number from 0"),
        ({"subagents": [{"after_turn": 2, "trace": ROW}]}, "subagents[0]: found {'after_turn': 2"),
        (
            {"subagents": [{"after_turn": 1, "trace": {**ROW, "num_turns": 9}}]},
            "w:1: subagents[0].trace: assist",
        ),
        ({"start_offset_s": -1}, "start_offset_s: found -1, must be seconds from 0 on"),
    ],
)
def test_a_bad_field_of_version_two_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(WorkloadError) as caught:
        parse_trace({**TWO, **change}, where="w:1")
    assert message in str(caught.value)
