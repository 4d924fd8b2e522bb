"""The JSONL format: what is read, what is refused and in which words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trie.config import WorkloadConfig
from trie.errors import WorkloadError
from trie.workload import jsonl
from trie.workload.load import load
from trie.workload.trace import Trace

ROW = {
    "num_turns": 2,
    "input_prompt_length": 32,
    "assistant_response_length": [16, 20],
    "tool_call_output_length": [8, 0],
    "tool_call_latency": [0.0, 1.5],
    "final_assistant_response_length": 64,
}
TRACE = Trace(32, (16, 20), (8, 0), (0.0, 1.5), 64)
LINE = json.dumps(ROW).encode()


@pytest.mark.parametrize(
    "content",
    [
        LINE,
        LINE + b"\n",
        b"\xef\xbb\xbf" + LINE + b"\r\n",
        b"\n\n  \r\n" + LINE + b"\n\n",
        json.dumps(dict(reversed(ROW.items()))).encode(),
        json.dumps({**ROW, "comment": "ignored"}).encode(),
    ],
    ids=["no newline", "newline", "BOM and CRLF", "blank lines", "other key order", "further keys"],
)
def test_these_bytes_are_one_trace(content: bytes) -> None:
    assert jsonl.parse(content, where="f") == [TRACE]


def test_a_trace_without_turns_is_one_request() -> None:
    row = {**ROW, "num_turns": 0, "assistant_response_length": [], "tool_call_output_length": []}
    (trace,) = jsonl.parse(json.dumps({**row, "tool_call_latency": []}).encode(), where="f")
    assert [plan.completion_tokens for plan in trace.requests()] == [64]


def test_what_is_written_reads_back_the_same() -> None:
    traces = jsonl.parse(b"\n".join([LINE] * 3), where="f")
    assert [trace.row for trace in traces] == [0, 1, 2]
    assert jsonl.parse(jsonl.dump(traces), where="f") == traces
    assert json.loads(jsonl.dump([TRACE])) == ROW


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"input_prompt_length": 0}, "input_prompt_length: found 0, must be a whole number from 1 to"),
        ({"input_prompt_length": True}, "input_prompt_length: found True, must be a whole number"),
        ({"input_prompt_length": 3.5}, "input_prompt_length: found 3.5, must be a whole number"),
        ({"num_turns": 3}, "assistant_response_length: found 2 entries, must be num_turns=3"),
        ({"tool_call_output_length": [8, -1]}, "tool_call_output_length[1]: found -1, must be a whole number from 0"),
        ({"tool_call_latency": [0, "1"]}, "tool_call_latency[1]: found '1', must be seconds from 0"),
        ({"input_prompt_length": 10**9}, "input_prompt_length: found 1000000000, must be a whole number from 1 to 1"),
        ({"num_turns": 10**9}, "num_turns: found 1000000000, must be a whole number from 0 to"),
        ({"num_turns": None}, "num_turns: found None, must be a whole number"),
        ({"final_assistant_response_length": -1}, "final_assistant_response_length: found -1, must be"),
        ({"assistant_response_length": [[3], 4]}, "assistant_response_length[0]: found [3], must be a whole number"),
        ({"tool_call_latency": [0, -0.1]}, "tool_call_latency[1]: found -0.1, must be seconds from 0"),
        ({"tool_call_latency": [0, 10**9]}, "tool_call_latency[1]: found 1000000000, must be seconds from 0 to"),
        ({"tool_call_latency": [True, 1]}, "tool_call_latency[0]: found True, must be seconds from 0"),
        ({"tool_call_latency": 1}, "tool_call_latency: found 1, must be a list"),
    ],
)
def test_a_bad_row_names_file_line_field_found_and_allowed(change: dict[str, object], expected: str) -> None:
    content = LINE + b"\n\n" + json.dumps({**ROW, **change}).encode()
    with pytest.raises(WorkloadError) as caught:
        jsonl.parse(content, where="mine.jsonl")
    assert str(caught.value).startswith(f"mine.jsonl:3: {expected}")


def test_a_missing_field_is_named() -> None:
    row = {key: value for key, value in ROW.items() if key != "final_assistant_response_length"}
    with pytest.raises(WorkloadError, match=r"^f:1: final_assistant_response_length is missing$"):
        jsonl.parse(json.dumps(row).encode(), where="f")


@pytest.mark.parametrize(
    "content", [LINE + b"\r\n" + LINE, b"\xef\xbb\xbf" + LINE + b"\n" + LINE, LINE + b"\n\n" + LINE]
)
def test_line_ends_marks_and_blank_lines_do_not_matter(content: bytes) -> None:
    assert [trace.input_prompt_length for trace in jsonl.parse(content, where="f")] == [TRACE.input_prompt_length] * 2


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "holds no trace"),
        (b"\n \n", "holds no trace"),
        (b"\xef\xbb\xbf", "holds no trace"),
        (b"[" + LINE + b"]", "f:1: found [{'num_turns': 2"),
        (json.dumps([ROW], indent=1).encode(), "a JSON array is not JSON lines"),
        (json.dumps(ROW, indent=1).encode(), "f:1: not a JSON object"),
        (LINE.decode().encode("utf-16"), "found UTF-16 data"),
        (b"\x1f\x8b\x08\x00rest", "found gzip data"),
        (b"PK\x03\x04rest", "found zip data"),
        (b"PAR1rest", "found Parquet data"),
        (LINE[:-1] + b"\xff}", "f:1: not a JSON object"),
        (LINE.decode().encode("utf-16-le"), "f:1: not a JSON object"),
        (b"\x28\xb5\x2f\xfdrest", "found zstd data"),
        (LINE.replace(b"0.5", b"NaN") if b"0.5" in LINE else b'{"num_turns": NaN}', "f:1: not a JSON object"),
        (b'{"num_turns": Infinity}', "f:1: not a JSON object"),
        (b"[" * 100_000, "f:1: not a JSON object"),
        (bytes(100), "f:1: not a JSON object"),
        (LINE[:-9], "f:1: not a JSON object"),
        (b"x" * 1_000_000, "f:1: not a JSON object"),
        (b"input,output\n1,2\n", "f:1: not a JSON object"),
    ],
    ids=(
        "empty blank bom array pretty-array pretty-object utf16 gzip zip parquet latin1 "
        "utf16le zstd nan infinity deep nul cut long csv"
    ).split(),
)
def test_a_file_of_another_kind_is_refused_in_one_line(content: bytes, expected: str) -> None:
    with pytest.raises(WorkloadError) as caught:
        jsonl.parse(content, where="f")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_path_is_relative_to_where_the_user_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.jsonl").write_bytes(LINE)
    monkeypatch.chdir(tmp_path)
    assert load(WorkloadConfig(path="mine.jsonl")).traces == [TRACE]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load(WorkloadConfig(path="~/mine.jsonl")).traces == [TRACE]


@pytest.mark.parametrize(("name", "expected"), [("", "is a folder"), ("none.jsonl", "no such file")])
def test_a_path_that_is_no_file_is_refused(tmp_path: Path, name: str, expected: str) -> None:
    with pytest.raises(WorkloadError, match=expected):
        load(WorkloadConfig(path=str(tmp_path / name)))


def test_whole_floats_are_whole_numbers() -> None:
    """pandas writes 1.0 for 1 into a column that has gaps."""
    row = {
        "num_turns": 2.0,
        "input_prompt_length": 32.0,
        "assistant_response_length": [16.0, 20],
        "tool_call_output_length": [8.0, 0.0],
        "tool_call_latency": [0, 1.5],
        "final_assistant_response_length": 64.0,
    }
    (trace,) = jsonl.parse(json.dumps(row).encode(), where="f")
    assert trace == TRACE
    assert json.loads(jsonl.dump([trace])) == ROW
    assert isinstance(trace.input_prompt_length, int)


@pytest.mark.parametrize("length", [1.5, 1e300, True, "1.0"])
def test_other_floats_are_not(length: object) -> None:
    with pytest.raises(WorkloadError, match=r"input_prompt_length: found .*, must be a whole number"):
        jsonl.parse(json.dumps({**ROW, "input_prompt_length": length}).encode(), where="f")


FOREIGN = [
    ({"timestamp": 0, "input_length": 6755, "output_length": 500, "hash_ids": [0]}, "a Mooncake trace"),
    ({"input_length": 6755, "output_length": 500, "wait_for": []}, "an agentic Mooncake trace"),
    ({"session_id": "s", "input_tokens": 6755, "output_tokens": 500, "delay": 3}, "a Mooncake trace"),
    ({"chat_id": 1, "parent_chat_id": -1, "input_length": 9, "output_length": 5}, "a Bailian trace"),
    ({"id": "t0", "block_size": 64, "requests": []}, "a WEKA or AgentX trace"),
    ({"session_id": "s", "round_index": 0, "input_tokens_total": 9, "tools": []}, "a TraceLab trace"),
    ({"resourceSpans": []}, "OpenTelemetry spans"),
    ({"trace_id": "t", "spans": []}, "OpenTelemetry spans"),
    ({"gen_ai.usage.input_tokens": 5, "name": "chat"}, "OpenTelemetry spans"),
    ({"type": "user", "uuid": "u", "sessionId": "s", "message": {}}, "a Claude Code session"),
    ({"timestamp": "2026", "type": "session_meta", "payload": {}}, "a Codex rollout"),
    ({"id": "x", "conversations": []}, "ShareGPT conversations"),
    ({"messages": []}, "OpenAI messages"),
    ({"custom_id": "1", "method": "POST", "url": "/v1", "body": {}}, "an OpenAI batch file"),
    ({"trajectory": [], "info": {}}, "a SWE-agent trajectory"),
    ({"conversation_id": "c", "turn": 1, "role": "user", "content": "x"}, "an MLPerf conversation"),
    ({"session_id": "s1", "turns": []}, "an AIPerf dataset"),
    ({"litellm_call_id": "c", "prompt_tokens": 3}, "LiteLLM logs"),
    ({"prompt": "hello"}, "a dataset of prompts"),
]


@pytest.mark.parametrize(("row", "name"), FOREIGN, ids=[name for _, name in FOREIGN])
def test_a_trace_of_another_kind_is_named_in_lines_and_in_one_value(row: dict[str, object], name: str) -> None:
    expected = f"looks like {name}; convert it: a row must have num_turns, input_prompt_length, "
    for content in (json.dumps(row), json.dumps([row], indent=1), json.dumps(row, indent=1)):
        with pytest.raises(WorkloadError, match=expected) as error:
            jsonl.parse(content.encode(), where="f")
        assert "\n" not in str(error.value)


def test_a_csv_is_named_by_its_header() -> None:
    with pytest.raises(WorkloadError, match=r"^f: looks like an Azure LLM trace \(CSV\); convert it"):
        jsonl.parse(b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,374,44\n", where="f")


def test_a_row_of_no_known_format_is_told_what_it_lacks() -> None:
    with pytest.raises(
        WorkloadError, match=r"^f:1: has the fields group, prompt_len; convert it: a row must have num_tu"
    ):
        jsonl.parse(b'{"group": 0, "prompt_len": 757}', where="f")
