"""Stand-ins: the same on every machine, and close to what is known of the recorded workloads."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from trie.errors import WorkloadError
from trie.trace import Trace
from trie.workload import jsonl
from trie.workload.synthetic import draw

ROWS = 4096


def figures(traces: list[Trace]) -> dict[str, tuple[float, float]]:
    """Mean and median of each field; of lists over all turns."""
    lists = {
        "turns": [t.num_turns for t in traces],
        "prompt": [t.input_prompt_length for t in traces],
        "answer": [n for t in traces for n in t.assistant_response_length],
        "tool": [n for t in traces for n in t.tool_call_output_length],
        "latency": [s for t in traces for s in t.tool_call_latency],
        "final": [t.final_assistant_response_length for t in traces],
    }
    return {key: (float(np.mean(values)), float(np.median(values))) for key, values in lists.items()}


# Mean and median: of the recorded file (agentic), of what was published and sampled of it (office).
AGENTIC = {"turns": (20.2, 13), "prompt": (6584, 6448), "answer": (220, 112), "tool": (647, 162),
           "latency": (1.68, 0.43), "final": (445, 416)}  # fmt: skip
OFFICE = {"turns": (41, 38), "prompt": (8857, 8827), "answer": (234, 50), "tool": (955, 315), "latency": (1.32, 0.61),
          "final": (1420, 1129)}  # fmt: skip


@pytest.mark.parametrize(("name", "known"), [("agentic", AGENTIC), ("office", OFFICE)])
def test_fields_are_close_to_what_is_known(name: str, known: dict[str, tuple[float, float]]) -> None:
    found = figures(draw(name, ROWS, seed=7))
    for key, (mean, median) in known.items():
        assert found[key][0] == pytest.approx(mean, rel=0.12), key
        assert found[key][1] == pytest.approx(median, rel=0.35 if name == "office" else 0.15), key


def test_ideal_hit_rate_of_the_agentic_stand_in() -> None:
    """Recorded: 95.94 % of all prompt tokens could be cached."""
    plans = [plan for trace in draw("agentic", ROWS, seed=7) for plan in trace.requests()]
    cached = sum(plan.cached_prompt_tokens for plan in plans)
    assert cached / (cached + sum(plan.new_prompt_tokens for plan in plans)) == pytest.approx(0.9594, abs=0.005)


@pytest.mark.parametrize(
    ("name", "sha256"),
    [("agentic", "d1d18f86a0d5c634"), ("qa", "d36855fed38acb0f"), ("office", "ba9ec742ed24f4a0")],
)
def test_the_same_seed_is_the_same_workload_everywhere(name: str, sha256: str) -> None:
    assert hashlib.sha256(jsonl.dump(draw(name, 64, seed=0))).hexdigest()[:16] == sha256


def test_seeds_differ_and_names_are_checked() -> None:
    assert draw("qa", 8, seed=0) != draw("qa", 8, seed=1)
    with pytest.raises(WorkloadError, match="must be one of agentic, office, qa"):
        draw("music", 8, seed=0)
