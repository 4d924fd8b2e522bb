"""Stand-ins: the same everywhere, and as near to the known distributions as docs/traces.md says."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from itertools import chain
from statistics import correlation, fmean

import pytest

from trie.config import WorkloadConfig
from trie.errors import WorkloadError
from trie.workload import jsonl, synthetic
from trie.workload.load import load
from trie.workload.trace import Trace


@cache
def whole(name: str) -> list[Trace]:
    return synthetic.draw(name, 8192, 0)


def quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[int(len(values) * share)]


def column(traces: list[Trace], name: str) -> list[float]:
    values = [getattr(trace, name) for trace in traces]
    return list(chain.from_iterable(values)) if isinstance(values[0], tuple) else values


# name, column, statistic (None: the mean), the value that is known, how far from it (share) the stand-in may be.
# agentic: of all 8,192 recorded traces. office: of the rows that are known, and two published means. qa: of the
# distributions themselves, since no row is known.
KNOWN = [
    ("agentic", "num_turns", None, 20.2, 0.03),
    ("agentic", "num_turns", 0.5, 13, 0.10),
    ("agentic", "num_turns", 0.9, 46, 0.10),
    ("agentic", "num_turns", 0.99, 97, 0.07),
    ("agentic", "input_prompt_length", None, 6584, 0.01),
    ("agentic", "input_prompt_length", 0.5, 6448, 0.01),
    ("agentic", "input_prompt_length", 0.9, 7114, 0.02),
    ("agentic", "input_prompt_length", 0.99, 8781, 0.03),
    ("agentic", "assistant_response_length", None, 220, 0.04),
    ("agentic", "assistant_response_length", 0.5, 112, 0.04),
    ("agentic", "assistant_response_length", 0.9, 542, 0.10),
    ("agentic", "assistant_response_length", 0.99, 1067, 0.08),
    ("agentic", "tool_call_output_length", None, 647, 0.04),
    ("agentic", "tool_call_output_length", 0.5, 162, 0.05),
    ("agentic", "tool_call_output_length", 0.9, 1195, 0.30),
    ("agentic", "tool_call_output_length", 0.99, 7877, 0.10),
    ("agentic", "tool_call_latency", None, 1.678, 0.08),
    ("agentic", "tool_call_latency", 0.5, 0.429, 0.05),
    ("agentic", "tool_call_latency", 0.9, 2.40, 0.30),
    ("agentic", "tool_call_latency", 0.99, 29.1, 0.20),
    ("agentic", "final_assistant_response_length", None, 444.7, 0.01),
    ("agentic", "final_assistant_response_length", 0.5, 416, 0.01),
    ("agentic", "final_assistant_response_length", 0.9, 688, 0.02),
    ("agentic", "final_assistant_response_length", 0.99, 905, 0.12),
    ("office", "num_turns", None, 41, 0.02),
    ("office", "num_turns", 0.5, 38, 0.05),
    ("office", "num_turns", 0.9, 64, 0.05),
    ("office", "input_prompt_length", None, 8857, 0.01),
    ("office", "input_prompt_length", 0.9, 8986, 0.01),
    ("office", "assistant_response_length", None, 234, 0.03),
    ("office", "assistant_response_length", 0.5, 36, 0.15),
    ("office", "assistant_response_length", 0.9, 616, 0.06),
    ("office", "assistant_response_length", 0.99, 2580, 0.05),
    ("office", "tool_call_output_length", None, 955, 0.02),
    ("office", "tool_call_output_length", 0.5, 315, 0.05),
    ("office", "tool_call_output_length", 0.9, 2941, 0.02),
    ("office", "tool_call_latency", None, 1.32, 0.05),
    ("office", "tool_call_latency", 0.99, 20.0, 0.01),
    ("office", "final_assistant_response_length", None, 1420, 0.03),
    ("office", "final_assistant_response_length", 0.9, 2674, 0.03),
    ("qa", "num_turns", None, 15.1, 0.03),
    ("qa", "num_turns", 0.99, 96, 0.05),
]


@pytest.mark.parametrize(("name", "field", "share", "known", "tolerance"), KNOWN)
def test_a_stand_in_is_near_what_is_known(
    name: str, field: str, share: float | None, known: float, tolerance: float
) -> None:
    values = column(whole(name), field)
    found = fmean(values) if share is None else quantile(values, share)
    assert found == pytest.approx(known, rel=tolerance)


@pytest.mark.parametrize(
    ("name", "p50", "p90", "hit_rate", "prompt_per_completion"),
    [
        ("agentic", 18_988, 42_464, 0.9596, 102),
        ("office", 53_000, 85_000, 0.969, 143),
        ("qa", 9_500, 34_000, 0.959, 87),
    ],
)
def test_final_prompts_and_ratios(
    name: str, p50: float, p90: float, hit_rate: float, prompt_per_completion: float
) -> None:
    traces = whole(name)
    final_prompts = [trace.context_tokens - trace.final_assistant_response_length for trace in traces]
    assert quantile(final_prompts, 0.5) == pytest.approx(p50, rel=0.03)
    assert quantile(final_prompts, 0.9) == pytest.approx(p90, rel=0.05)
    plans = [plan for trace in traces for plan in trace.requests()]
    cached = sum(plan.cached_prompt_tokens for plan in plans)
    prompt = cached + sum(plan.new_prompt_tokens for plan in plans)
    assert cached / prompt == pytest.approx(hit_rate, abs=0.002)
    assert prompt / sum(plan.completion_tokens for plan in plans) == pytest.approx(prompt_per_completion, rel=0.03)


def ranks(values: list[float]) -> list[float]:
    order = sorted(range(len(values)), key=values.__getitem__)
    places = [0.0] * len(values)
    for place, index in enumerate(order):
        places[index] = place
    return places


@pytest.mark.parametrize(("name", "known"), [("agentic", 0.46), ("qa", 0.29), ("office", 0.0)])
def test_long_traces_end_in_long_answers_as_far_as_is_known(name: str, known: float) -> None:
    turns, finals = (ranks(column(whole(name), field)) for field in ("num_turns", "final_assistant_response_length"))
    assert correlation(turns, finals) == pytest.approx(known, abs=0.03)


@pytest.mark.parametrize("name", ["agentic", "qa", "office"])
def test_every_drawn_row_is_a_legal_row(name: str) -> None:
    some = whole(name)[:500]
    assert jsonl.parse(jsonl.dump(some), where=name) == some


SHA256 = {
    "agentic": "f84a2d01c4465c8dcd0af2bf57ac5663608587ba286903023d78aec6102ba4b4",
    "qa": "ababb82cdd63a82e000f4bd884441b0f0284f3e51d9c204b5d2c99705a0368df",
    "office": "f6c55c5e0336ed6265b992fa39a9a63765ec64e02eff0ea6a1eb4c77be88af90",
}


@pytest.mark.parametrize("name", ["agentic", "qa", "office"])
def test_the_same_seed_gives_the_same_bytes_on_every_machine(name: str) -> None:
    config = WorkloadConfig(name=f"{name}-synthetic", synthetic=name, rows=200, seed=7)
    workload = load(config)
    assert workload.sha256 == SHA256[name]
    assert workload.sha256 == hashlib.sha256(jsonl.dump(workload.traces)).hexdigest()
    assert load(WorkloadConfig(synthetic=name, rows=200, seed=8)).sha256 != workload.sha256


def test_a_stand_in_says_that_it_is_one() -> None:
    workload = load(WorkloadConfig(name="qa-synthetic", synthetic="qa", rows=3))
    assert workload.synthetic
    assert "synthetic stand-in for qa" in workload.source


def test_an_unknown_stand_in_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(WorkloadError, match="must be one of agentic, office, qa"):
        synthetic.draw("chat", 1, 0)
