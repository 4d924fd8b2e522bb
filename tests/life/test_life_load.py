"""Two thousand traces at once, and an hour: no row is lost, and memory stays where it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.command_line import ROOT, environment

SOAK_S = float(os.environ.get("TRIE_SOAK_S", "3600"))


def measured(concurrency: int, duration_s: float, itl_ms: float, warm_up_s: float) -> dict[str, Any]:
    """The figures of benchmarks/load.py, which also holds every row against the server's log."""
    script = ROOT / "benchmarks" / "load.py"
    command = [sys.executable, str(script), f"--concurrency={concurrency}", f"--duration={duration_s}"]
    command += [f"--itl-ms={itl_ms}", f"--warm-up={warm_up_s}"]
    done = subprocess.run(
        command, env=environment(), cwd=Path("/"), capture_output=True, text=True, check=False, timeout=duration_s + 300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def assert_whole(figures: dict[str, Any]) -> None:
    rows = figures["rows"]
    assert (rows["lost"], rows["unknown"], rows["twice"]) == (0, 0, 0)
    assert figures["requests"]["failed"] == 0
    assert rows["rows"] >= figures["concurrency"]
    assert rows["rows_ok"] > 0
    assert figures["memory"]["open_files_max"] < figures["concurrency"] + 64


@pytest.mark.slow
def test_two_thousand_traces_at_once() -> None:
    assert_whole(measured(2000, 30.0, itl_ms=250.0, warm_up_s=10.0))


@pytest.mark.soak
def test_memory_of_a_long_run_is_flat() -> None:
    """Lags of the event loop are kept, some 10 MB an hour; a row that stayed in memory would show as ten times that."""
    figures = measured(200, SOAK_S, itl_ms=50.0, warm_up_s=SOAK_S / 6)
    assert_whole(figures)
    grown_mib = figures["memory"]["last_tenth_mib"] - figures["memory"]["first_tenth_mib"]
    assert grown_mib < 10.0 + 20.0 * SOAK_S / 3600
