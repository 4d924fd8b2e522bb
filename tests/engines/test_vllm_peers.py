"""The same load from other clients: agreement where the definitions agree."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from conftest import or_skip
from engine_setup import model
from engine_setup.model import TinyModel
from engine_setup.server import Server
from engine_setup.vllm import reset
from peers import Table, bench_serve, reference, run_reference
from replaying import Replay, environment
from workloads import trace, write

pytestmark = pytest.mark.engine
STREAMS, PROMPTS, INPUT, OUTPUT = 8, 96, 500, 64


def test_it_reads_as_the_reference_does(vllm: Server, replay: Replay) -> None:
    """The reference's own command line, word for word, in both; the engine is the same, the clients are not.

    What a slow client adds to each first token is its own, so TTFT and the mean of the decode speeds, which bursts that
    it read late inflate, bound the order of magnitude alone.
    """
    command = or_skip(reference)
    path = write(replay.folder / "workload.jsonl", [trace(500, [48, 32], [60, 40], 64, latency=0.05)]).partition("=")[2]
    settings = (f"workload_path={path}", tokenizer(), f"concurrency={STREAMS}", "duration=25", "stream=True")
    theirs = run_reference(command, vllm, replay.folder, *settings)
    reset(vllm)
    ours = Table.of(replay.completed(vllm, *settings, "model=tiny").printed)
    print(f"tokenspeed-trie {theirs}\ntrie            {ours}")
    for key in ("cache_hit_rate_pct", "eligible_cache_hit_rate_pct"):
        assert ours.rows["p50"][key] == pytest.approx(theirs.rows["p50"][key], abs=0.5), key
    for key, factor in (("latency_s", 1.5), ("ttfat_s", 1.8), ("decode_tps", 1.8), ("ttft_s", 5.0)):
        assert_within(factor, ours.rows["p50"][key], theirs.rows["p50"][key], key)
    assert ours.throughput.keys() == theirs.throughput.keys()
    for label, rate in theirs.throughput.items():
        assert_within(1.5, ours.throughput[label], rate, label)


def test_it_reads_as_vllm_s_own_benchmark_does(vllm: Server, replay: Replay) -> None:
    theirs = bench_serve(vllm, replay.folder, prompts=PROMPTS, input_tokens=INPUT, output_tokens=OUTPUT)
    reset(vllm)
    done = replay.completed(
        vllm,
        write(replay.folder / "workload.jsonl", [trace(INPUT, [], [], OUTPUT)]),
        tokenizer(),
        "prompts.calibrate=false",
        f"concurrency={STREAMS}",
        f"max_traces={PROMPTS}",
    )
    words = [sys.executable, "-m", "trie", "export", str(done.directory), "--format", "vllm"]
    ours = json.loads(subprocess.run(words, env=environment(), capture_output=True, text=True, check=True).stdout)
    for key in ("completed", "failed", "total_output_tokens", "max_concurrency"):
        assert ours[key] == theirs[key], key
    # It cuts its random prompts as text, which may come out a token off.
    assert ours["total_input_tokens"] == pytest.approx(theirs["total_input_tokens"], rel=0.005)
    for key in ("median_ttft_ms", "mean_ttft_ms", "median_tpot_ms", "mean_tpot_ms", "median_e2el_ms", "mean_e2el_ms"):
        print(f"{key} {ours[key]:.2f}, vllm bench serve {theirs[key]:.2f}")
        assert_within(2.5 if "ttft" in key else 1.8, ours[key], theirs[key], key)
    assert_within(1.5, ours["output_throughput"], theirs["output_throughput"], "output_throughput")


def assert_within(factor: float, ours: float, theirs: float, what: str) -> None:
    assert theirs / factor <= ours <= theirs * factor, (what, ours, theirs)


def tokenizer() -> str:
    return f"tokenizer_model={model.folder(TinyModel())}"
