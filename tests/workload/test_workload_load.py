"""From a workload's settings to its traces, and what is said about them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from trie.config import WorkloadConfig
from trie.errors import ConfigError, WorkloadError
from trie.workload import jsonl
from trie.workload.load import describe, from_traces, load
from trie.workload.trace import Subagent, Trace

TRACES = [
    Trace(100, (10, 20), (30, 40), (0.5, 1.0), 50),
    Trace(200, (), (), (), 5),
]


def test_the_sha256_is_that_of_the_files_bytes(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_bytes(b"\n" + jsonl.dump(TRACES))
    workload = load(WorkloadConfig(name="mine", path=str(file)))
    assert workload.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (workload.name, workload.source, workload.synthetic) == ("mine", str(file), False)


def test_traces_and_rows_in_the_files_form_are_the_same_workload() -> None:
    of_traces, of_rows = from_traces(TRACES), from_traces(jsonl.row(trace) for trace in TRACES)
    assert of_traces == of_rows
    assert [trace.row for trace in of_traces.traces] == [0, 1]
    assert of_traces.name == "custom"


def test_a_bad_row_in_a_list_is_named_by_its_place() -> None:
    with pytest.raises(WorkloadError, match=r"^mine\[1\]: found 3, a row must be"):
        from_traces([TRACES[0], 3], name="mine")  # type: ignore[list-item]
    with pytest.raises(WorkloadError, match="holds no trace"):
        from_traces([])


def test_a_trace_that_was_built_wrong_is_refused_too() -> None:
    with pytest.raises(WorkloadError, match=r"custom\[0\]: tool_call_latency: found 0 entries"):
        from_traces([Trace(1, (1,), (1,), (), 1)])


def test_the_description_is_one_line_of_worked_numbers() -> None:
    # requests of the first trace: prompts 100, 140, 200, of which cached 0, 110, 160; of the second: 200, 0
    line = describe(from_traces(TRACES))
    assert "custom: 2 traces" in line
    assert "1.0 turns on average" in line
    assert f"ideal cache hit rate {270 / 640:.1%}" in line
    assert "\n" not in line


def test_the_sample_is_small_varied_and_says_what_it_is() -> None:
    workload = load(WorkloadConfig(name="sample", bundled="sample.jsonl"))
    turns = {trace.num_turns for trace in workload.traces}
    assert 32 <= len(workload.traces) <= 64
    assert {0, 1, 2, 3} <= turns
    assert max(turns) <= 6
    assert all(trace.context_tokens < 8192 for trace in workload.traces), "fits the smallest servers"
    assert "made-up sample" in workload.source
    assert not workload.synthetic


def selected(tmp_path: Path, **bounds: int) -> list[int]:
    """Rows of the traces that are kept: their contexts are 250 (100+10+30+20+40+50) and 205 tokens."""
    file = tmp_path / "mine.jsonl"
    file.write_bytes(jsonl.dump(TRACES))
    return [trace.row for trace in load(WorkloadConfig(path=str(file), **bounds)).traces]


def test_traces_are_chosen_by_the_window_they_need_and_keep_their_rows(tmp_path: Path) -> None:
    assert selected(tmp_path, min_context_tokens=250) == [0]
    assert selected(tmp_path, max_context_tokens=249) == [1]
    assert selected(tmp_path, min_context_tokens=205, max_context_tokens=250) == [0, 1]
    with pytest.raises(WorkloadError, match=r"no trace of .* is within them; contexts go from 205 to 250 tokens"):
        selected(tmp_path, min_context_tokens=251)
    with pytest.raises(ConfigError, match="min_context_tokens=0: must be 1 or more"):
        selected(tmp_path, min_context_tokens=0)


def test_a_workload_that_is_another_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_bytes(jsonl.dump(TRACES))
    own = hashlib.sha256(file.read_bytes()).hexdigest()
    assert load(WorkloadConfig(path=str(file), sha256=own)).sha256 == own
    file.write_bytes(jsonl.dump(TRACES[:1]))
    with pytest.raises(WorkloadError, match=f"sha256={own}: .* has .*, so its traces are others"):
        load(WorkloadConfig(path=str(file), sha256=own))


def test_tools_take_another_time_and_at_most_so_long_in_sub_agents_too(tmp_path: Path) -> None:
    parent = replace(TRACES[0], subagents=(Subagent(0, Trace(5, (1,), (1,), (8.0,), 1)),))
    file = tmp_path / "mine.jsonl"
    file.write_bytes(jsonl.dump([parent]))
    settings = {"tool_latency_scale": 4.0, "tool_latency_cap_s": 3.0}
    (trace,) = load(WorkloadConfig(path=str(file), **settings)).traces
    assert trace.tool_call_latency == (2.0, 3.0)
    assert trace.subagents[0].trace.tool_call_latency == (3.0,)


def test_a_shuffled_order_is_that_of_its_seed_and_traces_keep_their_rows(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_bytes(jsonl.dump(TRACES * 20))

    def rows(seed: int) -> list[int]:
        return [trace.row for trace in load(WorkloadConfig(path=str(file), order="shuffled", seed=seed)).traces]

    assert rows(1) == rows(1) != rows(2)
    assert sorted(rows(1)) == list(range(40)) != rows(1)
