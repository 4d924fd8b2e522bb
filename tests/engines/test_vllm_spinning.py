"""vLLM as shipped on few cores: its processes spin while they wait, and keep its client off the CPU."""

from __future__ import annotations

import os

import pytest
from availability import Start
from counters import Counters
from engine_setup import model
from engine_setup.model import TinyModel
from replaying import Replay
from workloads import trace, write

pytestmark = pytest.mark.engine
FEW_CORES = 2
STREAMS = 8


def test_a_run_whose_client_was_starved_says_that_it_is_not_to_be_believed(start_vllm: Start, replay: Replay) -> None:
    server = start_vllm(spin=True)
    before = Counters.read(server)
    done = replay.completed(
        server,
        write(replay.folder / "workload.jsonl", [trace(400, [128], [40], 128)]),
        f"tokenizer_model={model.folder(TinyModel())}",
        "prompts.calibrate=false",
        f"concurrency={STREAMS}",
        f"max_traces={6 * STREAMS}",
    )
    theirs = Counters.read(server).histogram(before, "time_to_first_token_seconds")
    ours = (done.rows.first_token_s - done.rows.sent_s).mean()
    print(f"TTFT: mean {ours * 1e3:.1f} ms, vLLM's {theirs.mean * 1e3:.1f} ms; {done.check('client on time')['found']}")
    starved = ours > 1.5 * theirs.mean
    if len(os.sched_getaffinity(0)) > FEW_CORES and not starved:
        pytest.skip("the spinning left the client a core: what it says is right")
    assert starved
    assert not done.summary["valid"]
    assert not done.check("client on time")["ok"]
    assert done.check("client on time")["level"] == "error"
    assert done.summary["client"]["suspect_share"] > 0.5
    assert "INVALID" in done.printed
