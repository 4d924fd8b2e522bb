"""vLLM as shipped on few cores: its processes spin while they wait, and keep its client off the CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from availability import Start
from counters import Counters
from engine_setup import model
from engine_setup.model import TinyModel
from replaying import Replay
from workloads import trace, write

pytestmark = pytest.mark.engine
STREAMS = 8
STALL_S = 0.05
MUCH = 0.4
SLEEPER = """
import json, select, sys, time
late = []
while not select.select([sys.stdin], [], [], 0)[0]:
    began = time.monotonic()
    time.sleep(0.005)
    late.append(time.monotonic() - began - 0.005)
print(json.dumps(late))
"""


def test_a_run_whose_client_was_starved_says_so(start_vllm: Start, replay: Replay) -> None:
    server = start_vllm(spin=True)
    before = Counters.read(server)
    with witness() as lateness:
        done = replay.completed(
            server,
            write(replay.folder / "workload.jsonl", [trace(400, [128], [40], 128)]),
            f"tokenizer_model={model.folder(TinyModel())}",
            "prompts.calibrate=false",
            "client.priority=normal",  # at real-time priority it is not starved where the witness is
            f"concurrency={STREAMS}",
            f"max_traces={12 * STREAMS}",
        )
    theirs = Counters.read(server).histogram(before, "time_to_first_token_seconds")
    ours = (done.rows.first_token_s - done.rows.sent_s).mean()
    found = done.check("client_on_time")["found"]
    print(f"TTFT: mean {ours * 1e3:.1f} ms, vLLM's {theirs.mean * 1e3:.1f} ms; {found}; witness {max(lateness):.3f} s")
    if max(lateness) < STALL_S:
        pytest.skip("the spinning left a core to others: there is nothing to notice")
    assert not done.check("few_suspect_requests")["ok"]
    assert done.summary["client"]["loop_lag_max_s"] > STALL_S
    lost_s = sum(late for late in lateness if late > STALL_S)
    if lost_s > MUCH * done.summary["wall_time_s"]:  # then even the percentile of samples, which come late themselves
        assert not done.check("client_on_time")["ok"]
        assert "INVALID" in done.printed


@contextmanager
def witness() -> Iterator[list[float]]:
    """Seconds by which a process that only sleeps was late: what the client is up against, seen by another."""
    lateness: list[float] = []
    with subprocess.Popen([sys.executable, "-c", SLEEPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as sleeper:
        yield lateness
        told, _ = sleeper.communicate()
    lateness += json.loads(told)
