"""Workloads from files and lists: what is read, and what is refused in one line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from trie.config import WorkloadConfig
from trie.errors import WorkloadError
from trie.workload import jsonl
from trie.workload.names import NAMED, named_or_path
from trie.workload.sources import describe, from_traces, load

LINE = (
    b'{"num_turns": 1, "input_prompt_length": 9, "assistant_response_length": [2], "tool_call_output_length": [3],'
    b' "tool_call_latency": [0.5], "final_assistant_response_length": 4}'
)


def file(tmp_path: Path, content: bytes) -> WorkloadConfig:
    path = tmp_path / "mine.jsonl"
    path.write_bytes(content)
    return WorkloadConfig(name="mine", path=str(path))


@pytest.mark.parametrize(
    "content",
    [LINE, LINE + b"\n", LINE + b"\r\n\r\n", b"\n\n" + LINE, b"\xef\xbb\xbf" + LINE],
    ids=["bare", "LF", "CRLF", "blank lines", "BOM"],
)
def test_files_as_people_write_them(tmp_path: Path, content: bytes) -> None:
    workload = load(file(tmp_path, content))
    assert [trace.context_tokens for trace in workload.traces] == [18]
    assert not workload.synthetic


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no trace"),
        (b"\n \n", "holds no trace"),
        (b"[" + LINE + b"]", "must be a JSON object"),
        (b"[\n" + LINE + b"\n]", ":1: not a JSON object: .*a JSON array is not JSON lines"),
        (LINE + b"\n{oops", ":2: not a JSON object"),
        (LINE.decode().encode("utf-16"), "found UTF-16 data"),
        (gzip.compress(LINE), "found gzip data"),
        (LINE + b"\n" + LINE.replace(b"[2]", b"[2, 3]"), ":2: assistant_response_length: found 2 entries"),
    ],
)
def test_files_that_are_no_workload(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(WorkloadError, match=message) as caught:
        load(file(tmp_path, content))
    assert "mine.jsonl" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_places_that_are_no_file(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="no such file"):
        load(WorkloadConfig(path=str(tmp_path / "none.jsonl")))
    with pytest.raises(WorkloadError, match="is a folder"):
        load(WorkloadConfig(path=str(tmp_path)))


def test_the_sample_is_small_varied_and_says_what_it_is() -> None:
    workload = load(NAMED["sample"]())
    turns = {trace.num_turns for trace in workload.traces}
    assert turns >= {0, 1, 2, 3}
    assert max(trace.context_tokens for trace in workload.traces) < 5000
    assert "made-up" in workload.source


def test_lists_of_traces_and_of_rows_are_the_same_workload(tmp_path: Path) -> None:
    traces = load(file(tmp_path, LINE + b"\n" + LINE)).traces
    rows = [json.loads(LINE), json.loads(LINE)]
    assert from_traces(traces).sha256 == from_traces(rows).sha256
    assert [trace.row for trace in from_traces(rows).traces] == [0, 1]
    with pytest.raises(WorkloadError, match=r"custom\[1\]: num_turns is missing"):
        from_traces([rows[0], {}])
    with pytest.raises(WorkloadError, match="no trace"):
        from_traces([])


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    traces = load(NAMED["sample"]()).traces
    assert load(file(tmp_path, jsonl.dump(traces))).traces == traces


def test_a_description_has_the_figures(tmp_path: Path) -> None:
    """Prompts of 9 and 14 tokens, 11 of which were there before."""
    text = describe(load(file(tmp_path, LINE)))
    assert "1 traces" in text
    assert "1.0 turns on average" in text
    assert f"{11 / 23:.1%}" in text


def test_names_and_paths() -> None:
    assert named_or_path("agentic").hub_file == "agentic_coding_8k.jsonl"
    assert named_or_path("./x/mine.jsonl").name == "mine"
