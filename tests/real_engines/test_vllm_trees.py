"""Shared prefixes, resets and sub-agents against a real vLLM: hits as `trie workload show` says, work side by side."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from counters import Counters
from engine_setup import model
from engine_setup.model import TinyModel
from engine_setup.server import Server
from engine_setup.vllm import reset
from helpers.command_line import environment
from replaying import Replay, assert_at_rest_after_a_kill
from workloads import agentic, trace, write

pytestmark = pytest.mark.engine
TRACES = 12
SHARED = {"shared_prefix_tokens": 2000, "shared_prefix_groups": 2}
BLOCK = 32


def tokenizer() -> str:
    return f"tokenizer_model={model.folder(TinyModel())}"


def ideal_pct(workload: str, **flags: int) -> float:
    """The ideal hit rate as `trie workload show` says it."""
    options = [word for name, value in flags.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    command = [sys.executable, "-m", "trie", "workload", "show", workload.removeprefix("workload="), "--json", *options]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True, timeout=60)
    return 100.0 * json.loads(done.stdout)["ideal_hit_rate"]


def test_shared_prefixes_raise_the_hit_rate_by_what_show_says(one_vllm: Server, replay: Replay) -> None:
    """Both times all but what a block may leave out is found; one trace at a time, so that it is there."""
    workload = agentic(replay.folder / "agentic.jsonl", TRACES)
    measured, expected = [], []
    for flags in ({}, SHARED):
        reset(one_vllm)
        settings = [f"workload.{name}={value}" for name, value in flags.items()]
        run = replay.completed(one_vllm, workload, f"max_traces={TRACES}", "concurrency=1", tokenizer(), *settings)
        rows = run.rows
        assert (rows.usage_prompt_tokens == rows.new_prompt_tokens + rows.cached_prompt_tokens).all()
        missed = rows.cached_prompt_tokens - rows.usage_cached_tokens
        assert missed.max() <= BLOCK
        measured.append(run.summary["cache"]["hit_rate_pct"])
        expected.append(ideal_pct(workload, **flags))
        assert run.summary["cache"]["turn0_hit_share"] in {0.0, None}  # None: each first request shares a prefix
    assert run.summary["cache"]["shared_prefix_hit_rate_pct"] > 97.0
    assert expected[1] - expected[0] > 0.3
    assert measured[1] - measured[0] == pytest.approx(expected[1] - expected[0], abs=0.1)


def tree(children: int, answer: int = 40) -> dict[str, Any]:
    """A parent of two turns; its sub-agents share a prefix with it, and their second turns begin with a reset."""
    shared = {"shared_prefix_id": "tools", "shared_prefix_length": 320}
    child = {**trace(500, [answer], [100], answer), **shared, "context_reset": [None, 400]}
    parent = {**trace(600, [20, 20], [50, 60], 20), **shared, "reasoning_length": [0, 12, 0]}
    return {**parent, "subagents": [{"after_turn": 0, "trace": child}] * children}


def test_sub_agents_work_side_by_side_and_every_prompt_has_its_length(one_vllm: Server, replay: Replay) -> None:
    reset(one_vllm)
    before = Counters.read(one_vllm)
    run = replay.completed(
        one_vllm, write(replay.folder / "tree.jsonl", [tree(4)]), "max_traces=3", "concurrency=1", tokenizer(),
        "prompts.calibrate=false",
    )  # fmt: skip
    rows = run.rows
    assert run.summary["traces"] == {"completed": 3, "failed": 0, "cancelled": 0}
    assert len(rows) == 3 * (3 + 4 * 2)
    assert Counters.read(one_vllm).since(before, "request_success_total") == len(rows)
    assert (rows.usage_prompt_tokens == rows.new_prompt_tokens + rows.cached_prompt_tokens).all()
    for session in range(3):
        first = rows[(rows.parent_session_id == session) & (rows.turn == 0)]
        assert len(first) == 4
        assert first.sent_s.max() < first.end_s.min(), "side by side"
        parent = rows[(rows.session_id == session) & (rows.turn == 1)].iloc[0]
        assert parent.sent_s >= rows[rows.parent_session_id == session].end_s.max()
    after_reset = rows[(rows.depth == 1) & (rows.turn == 1)]
    assert (after_reset.usage_cached_tokens == 400 // BLOCK * BLOCK).all()


def test_nothing_runs_two_seconds_after_the_client_of_a_tree_was_killed(one_vllm: Server, replay: Replay) -> None:
    reset(one_vllm)
    workload = write(replay.folder / "long.jsonl", [tree(4, answer=6000)])
    process, _ = replay.start(one_vllm, workload, "concurrency=2", "duration=60", tokenizer())

    def in_flight() -> float:
        counters = Counters.read(one_vllm)
        return counters["num_requests_running"] + counters["num_requests_waiting"]

    assert_at_rest_after_a_kill(process, in_flight, 8)
