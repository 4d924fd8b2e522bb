"""The full sweep, scaled down: three workloads by six concurrencies, interrupted, resumed and extended."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from helpers.closed_loop import throughput
from helpers.command_line import environment

from trie.config import SimConfig
from trie.workload.trace import Trace

NUMBERS = (8, 16, 24, 32, 40, 48)
STEP_S, TOKENS, SLOTS = 0.04, 6, 24
ENGINE = {
    "prefill_tok_s": 1e9, "decode_base_s": STEP_S, "decode_per_request_s": 0.0, "request_overhead_s": 0.0,
    "max_running": SLOTS,
}  # fmt: skip
# Workload -> wait of its tool. An answer holds a slot for 0.24 s, five steps of its own and the one that it comes into:
# SLOTS * (0.48 + wait) / 0.48 agents hold all slots, which are 24, 28 and 36.5.
WAITS = {"none": 0.0, "short": 0.08, "long": 0.25}
KNEES = {"none": 24, "short": 32, "long": 40}  # the next on the grid
DURATION_S = 6.0


def workload(folder: Path, name: str) -> Path:
    """Traces of two answers and one tool."""
    row = {
        "num_turns": 1,
        "input_prompt_length": 8,
        "assistant_response_length": [TOKENS],
        "tool_call_output_length": [4],
        "tool_call_latency": [WAITS[name]],
        "final_assistant_response_length": TOKENS,
    }
    file = folder / f"{name}.jsonl"
    file.write_text(json.dumps(row) + "\n")
    return file


def command(folder: Path, *more: str) -> list[str]:
    files = ",".join(f"./{workload(folder, name).name}" for name in WAITS)
    engine = [f"sim.{key}={value}" for key, value in ENGINE.items()]
    given = [
        f"workload={files}",
        f"duration={DURATION_S}",
        "progress=none",
        "prompts.pool_tokens=16384",
        *engine,
        *more,
    ]
    return [sys.executable, "-m", "trie", "sweep=full", *given]


def sweep(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, *more), cwd=folder, env=environment(), capture_output=True, text=True, timeout=280, check=False
    )


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "multirun" / "sim" / "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_full_sweep_interrupted_resumed_extended_shows_the_knee_of_the_model(tmp_path: Path) -> None:
    with subprocess.Popen(
        command(tmp_path, "concurrency=8,16,24,32", "-v"),
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "cell 5 of 12" in line:
                break
        assert any("starting benchmark" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130
    assert Counter(row["status"] for row in rows(tmp_path)) == {"done": 4, "unfinished": 1}

    resumed = sweep(tmp_path, "concurrency=8,16,24,32")
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.count("done before, skipped") == 4
    extended = sweep(tmp_path)
    assert extended.returncode == 0, extended.stderr
    assert extended.stdout.count("done before, skipped") == 12

    found = rows(tmp_path)
    assert Counter(row["workload"] for row in found) == dict.fromkeys(WAITS, len(NUMBERS))
    assert {row["status"] for row in found} == {"done"}
    for name, knee in KNEES.items():
        assert f"knee       {name}: concurrency {knee};" in extended.stdout
    for row in found:
        trace = Trace(8, (TOKENS,), (4,), (WAITS[row["workload"]],), TOKENS)
        expected = throughput(SimConfig(**ENGINE), [trace], int(row["concurrency"]), DURATION_S)
        assert float(row["completion_tok_s_steady_state"]) == pytest.approx(expected, rel=0.08)
