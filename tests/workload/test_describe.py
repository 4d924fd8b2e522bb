"""What a workload is, in numbers worked by hand, and on the recorded file in those that are known of it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from trie.config import WorkloadConfig
from trie.workload.describe import Statistics, describe
from trie.workload.load import from_traces, load
from trie.workload.trace import Trace

RECORDED = Path(os.environ.get("TRIE_DATASET_CACHE", "/work/shared/data")) / "agentic_coding_8k.jsonl"
TRACES = [Trace(100, (10, 20), (30, 40), (0.5, 1.5), 50), Trace(200, (), (), (), 5)]


def test_the_numbers_of_two_traces() -> None:
    # prompts 100, 140 (110 known), 200 (160 known); 200. Answers 10 + 20 + 50 + 5.
    numbers = describe(from_traces(TRACES)).to_json()
    assert (numbers["traces"], numbers["requests"]) == (2, 4)
    assert (numbers["prompt_tokens"], numbers["new_prompt_tokens"], numbers["completion_tokens"]) == (640, 370, 85)
    assert numbers["ideal_hit_rate"] == pytest.approx(270 / 640)
    assert numbers["prompt_per_completion"] == pytest.approx(640 / 85)
    assert numbers["turns"] == {"count": 2, "mean": 1.0, "p50": 1.0, "p90": 1.8, "p99": 1.98, "max": 2.0}
    assert (numbers["final_prompt"]["mean"], numbers["final_prompt"]["max"]) == (200.0, 200.0)
    assert (numbers["wait_s"]["mean"], numbers["trace_wait_s"]["max"]) == (1.0, 2.0)


def test_traces_of_one_request_have_no_hit_rate() -> None:
    about = describe(from_traces(TRACES[1:]))
    assert about.ideal_hit_rate is None
    assert about.to_json()["wait_s"] == {"count": 0, "mean": None, "p50": None, "p90": None, "p99": None, "max": None}


def test_no_values_have_no_statistics() -> None:
    assert Statistics.of(np.array([])).mean is None


@pytest.mark.skipif(not RECORDED.is_file(), reason="the recorded file is not here")
def test_the_recorded_workload_has_the_numbers_that_are_known_of_it() -> None:
    numbers = describe(load(WorkloadConfig(name="agentic", path=str(RECORDED)))).to_json()
    shown = {
        key: [round(numbers[key][name], 1) for name in ("mean", "p50", "p99", "max")] for key in ("turns", "answer")
    }
    assert shown == {"turns": [20.2, 13.0, 97.0, 159.0], "answer": [220.3, 112.0, 1067.0, 1889.0]}
    assert round(numbers["input_prompt"]["mean"], 1) == 6583.9
    assert round(numbers["tool_output"]["p99"]) == 7877
    assert round(numbers["wait_s"]["p99"], 1) == 29.1
    assert round(numbers["final_prompt"]["p50"]) == 19836
    assert round(numbers["ideal_hit_rate"], 4) == 0.9594
    assert round(numbers["prompt_per_completion"], 1) == 98.8
    assert round(numbers["new_prompt_per_completion"], 2) == 4.01
