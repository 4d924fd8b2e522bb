"""Capacity and A/B on llama.cpp, where the answer is known: requests beyond its slots wait for one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from availability import Start
from engine_setup import model
from engine_setup.model import TinyModel
from helpers.command_line import environment
from workloads import trace, write

pytestmark = pytest.mark.engine
SLOTS = 4
SHORT = [trace(60, [], [], 300) for _ in range(8)]  # most of the time goes into the answer
LATER = [trace(2000, [4, 4, 4, 4], [20, 20, 20, 20], 4) for _ in range(8)]  # later prompts are in the cache


def trie(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "trie", *arguments, f"tokenizer_model={model.folder(TinyModel())}"]
    return subprocess.run(
        words, cwd=folder, env=environment(COLUMNS="160"), capture_output=True, text=True, timeout=400, check=False
    )


def test_the_capacity_lies_between_its_slots_and_twice_as_many(tmp_path: Path, start_llama_cpp: Start) -> None:
    """Up to as many as the slots no request waits; with twice as many each waits for an answer, and half are enough."""
    server = start_llama_cpp(slots=SLOTS)
    done = trie(
        tmp_path, "-m", "search=capacity", "concurrency=1..16", "endpoint=llamacpp", f"endpoint.base_url={server.url}",
        write(tmp_path / "short.jsonl", SHORT), "slo=request_ttft_s<0.1@p50", "duration=25", "html=false",
        "progress=none", "hydra.sweep.dir=found",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    content = json.loads((tmp_path / "found" / "capacity.json").read_text())
    tier = content["searches"][""]["tiers"][""]
    loads = content["searches"][""]["loads"]
    assert SLOTS <= tier["passes"] < tier["fails"] <= 2 * SLOTS, loads
    assert len(loads) <= 7


def test_a_server_that_reuses_no_prompt_is_no_better(tmp_path: Path, start_llama_cpp: Start) -> None:
    """An option of each request: without it every turn computes its whole prompt of 2,000 tokens again."""
    a, b = start_llama_cpp(slots=2), start_llama_cpp(slots=2)
    done = trie(
        tmp_path, "ab", "endpoint=llamacpp", f"a.endpoint.base_url={a.url}", f"b.endpoint.base_url={b.url}",
        "b.endpoint.extra_body.cache_prompt=false", write(tmp_path / "later.jsonl", LATER), "concurrency=2",
        "block=15", "pairs=5", "metric=request_ttft_s", "-o", "out",
    )  # fmt: skip
    assert done.returncode in (4, 5), done.stdout + done.stderr  # worse; or not sure, on a machine with much noise
    content = json.loads((tmp_path / "out" / "ab.json").read_text())
    assert content["decision"] in ("worse", "unsure")
    assert content["findings"]["request_ttft_s"]["value"] > 0.0
