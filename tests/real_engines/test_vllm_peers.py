"""The same load from other clients: agreement where the definitions agree."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import TypeVar

import pytest
from availability import or_skip
from counters import Counters
from engine_setup import model
from engine_setup.model import TinyModel
from engine_setup.server import Server
from engine_setup.vllm import reset
from helpers.command_line import environment
from peers import Table, bench_serve, reference, run_reference
from replaying import WIDE, Replay
from workloads import trace, write

pytestmark = pytest.mark.engine
ENGINE = {
    "ttft": "time_to_first_token_seconds",
    "tpot": "request_time_per_output_token_seconds",
    "e2el": "e2e_request_latency_seconds",
}
T = TypeVar("T")
STREAMS, PROMPTS, INPUT, OUTPUT = 8, 96, 500, 64


def test_it_reads_as_the_reference_does(vllm: Server, replay: Replay) -> None:
    """The reference's own command line, word for word, in both.

    What it says of the server's cache agrees. Its times hold what that client adds, from half as much again as vLLM
    took in the same run to several times that (the mean of vLLM's own latencies times a trace's requests), and bursts
    that it read late inflate its decode speeds: they bound nothing but the time that vLLM took. Ours are held against
    that.
    """
    command = or_skip(reference)
    path = write(replay.folder / "workload.jsonl", [trace(500, [48, 32], [60, 40], 64, latency=0.05)]).partition("=")[2]
    settings = (f"workload_path={path}", tokenizer(), f"concurrency={STREAMS}", "duration=25", "stream=True")
    theirs, their_engine = over(vllm, lambda: run_reference(command, vllm, replay.folder, *settings))
    run, our_engine = over(vllm, lambda: replay.completed(vllm, *settings, "model=tiny"))
    ours = Table.of(run.printed)
    print(f"tokenspeed-trie {theirs} {their_engine}\ntrie            {ours} {our_engine}")
    for key in ("cache_hit_rate_pct", "eligible_cache_hit_rate_pct"):
        assert ours.rows["p50"][key] == pytest.approx(theirs.rows["p50"][key], abs=0.5), key
    waits, requests = 2 * 0.05, 3
    mine, other = (
        (table.rows["mean"]["latency_s"] - waits) / (requests * engine["e2el"])
        for table, engine in ((ours, our_engine), (theirs, their_engine))
    )
    assert mine == pytest.approx(1.0, abs=0.25)
    assert other > 0.9
    assert ours.rows["p50"].keys() == theirs.rows["p50"].keys()
    assert ours.throughput.keys() == theirs.throughput.keys()


def test_it_reads_as_vllm_s_own_benchmark_does(vllm: Server, replay: Replay) -> None:
    theirs, their_engine = over(
        vllm,
        lambda: bench_serve(vllm, replay.folder, prompts=PROMPTS, input_tokens=INPUT, output_tokens=OUTPUT),
    )
    run, our_engine = over(
        vllm,
        lambda: replay.completed(
            vllm,
            write(replay.folder / "workload.jsonl", [trace(INPUT, [], [], OUTPUT)]),
            tokenizer(),
            "prompts.calibrate=false",
            f"concurrency={STREAMS}",
            f"max_traces={PROMPTS}",
        ),
    )
    words = [sys.executable, "-m", "trie", "export", str(run.directory), "--format", "vllm"]
    ours = json.loads(
        subprocess.run(words, env=environment(COLUMNS=WIDE), capture_output=True, text=True, check=True).stdout
    )
    for key in ("completed", "failed", "total_output_tokens", "max_concurrency"):
        assert ours[key] == theirs[key], key
    # It cuts its random prompts as text, which may come out a token off.
    assert ours["total_input_tokens"] == pytest.approx(theirs["total_input_tokens"], rel=0.005)
    for name, bound in (("ttft", 0.5), ("tpot", 0.2), ("e2el", 0.25)):
        our_mean, their_mean = ours[f"mean_{name}_ms"] / 1e3, theirs[f"mean_{name}_ms"] / 1e3
        mine, other = our_mean / our_engine[name], their_mean / their_engine[name]
        print(f"{name}: {our_mean:.4f} s, {mine:.3f} of vLLM's; bench serve {their_mean:.4f} s, {other:.3f} of vLLM's")
        assert mine == pytest.approx(other, rel=bound), name


def over(server: Server, run: Callable[[], T]) -> tuple[T, dict[str, float]]:
    """What a run gives, and vLLM's own means over it in seconds: another run may find the machine changed."""
    reset(server)
    before = Counters.read(server)
    given = run()
    after = Counters.read(server)
    return given, {name: after.histogram(before, metric).mean for name, metric in ENGINE.items()}


def tokenizer() -> str:
    return f"tokenizer_model={model.folder(TinyModel())}"
