"""Traces: the requests they make, and what a row may not say."""

from __future__ import annotations

from typing import Any

import pytest

from trie.errors import WorkloadError
from trie.workload.trace import PlannedRequest, parse_trace

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
