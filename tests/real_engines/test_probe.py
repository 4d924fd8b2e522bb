"""`trie probe` on each engine: who it is, and what its streams, its cache and its counters are like."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from availability import Start
from engine_setup import model
from engine_setup.model import TinyModel
from engine_setup.server import Server
from helpers.command_line import environment
from replaying import WIDE, Replay

pytestmark = pytest.mark.engine


def probed(server: Server, *settings: str) -> Any:
    words = [f"endpoint={server.url}", f"tokenizer_model={model.folder(TinyModel())}", "--json", *settings]
    command = [sys.executable, "-m", "trie", "probe", *words]
    done = subprocess.run(
        command, env=environment(COLUMNS=WIDE), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_vllm(vllm: Server) -> None:
    found = probed(vllm, "reset_cache=true")
    assert (found["server"]["dialect"]["name"], len(found["server"]["dialect"]["evidence"])) == ("vllm", 4)
    assert found["server"]["facts"]["block_size"] == 32
    assert found["server"]["cache_reset"]
    assert found["stream"]["usage"] == "own chunk"
    assert found["stream"]["done"]
    assert found["stream"]["continuous_usage"]
    assert found["stream"]["tokens"] == 32
    assert (found["cache"]["cached_tokens_first"], found["cache"]["cached_tokens_again"]) == (0, 1024 - 32)
    assert found["token_ids"] == {"accepted": True, "returned": True, "refused": None}
    assert found["counters"]["of"] == ["vllm"]


def test_llama_cpp_and_its_counters_over_a_run(llama_cpp: Server, replay: Replay) -> None:
    found = probed(llama_cpp)
    assert (found["server"]["dialect"]["name"], len(found["server"]["dialect"]["evidence"])) == ("llamacpp", 4)
    assert found["server"]["facts"]["total_slots"] == 8
    assert (found["stream"]["usage"], found["stream"]["done"]) == ("finish chunk", True)
    assert not found["stream"]["continuous_usage"]
    assert found["cache"]["cached_tokens_again"] == 1024 - 1  # no blocks
    assert (found["token_ids"]["accepted"], found["token_ids"]["returned"]) == (True, False)
    done = replay.completed(llama_cpp, f"tokenizer_model={model.folder(TinyModel())}", "max_traces=6", "duration=120")
    difference = done.summary["engine"]["difference"]
    assert [difference[key] for key in ("prompt_tokens", "cached_tokens", "completion_tokens")] == [0.0, 0.0, 0.0]


def test_the_gateway_in_front_of_llama_cpp(start_llama_cpp: Start, start_smg: Start) -> None:
    worker = start_llama_cpp()
    found = probed(start_smg([worker.root]), "wait_for_ready=30")
    assert found["server"]["dialect"]["name"] == "tokenspeed"
    assert [one["url"] for one in found["server"]["facts"]["workers"]] == [worker.root]
    assert found["cache"]["workers"] == [worker.root]
    assert not found["token_ids"]["accepted"]
    assert found["counters"] is None


def test_transformers_serve(transformers_serve: tuple[Server, Path]) -> None:
    server, folder = transformers_serve
    found = probed(server, f"model={folder}")
    assert found["server"]["dialect"]["name"] == "transformers"
    assert found["server"]["dialect"]["taken"]["ignore_eos"] is None
    assert (found["stream"]["usage"], found["stream"]["done"]) == ("finish chunk", False)
    assert found["cache"]["cached_tokens_again"] is None
    assert not found["token_ids"]["accepted"]
