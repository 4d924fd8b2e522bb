"""Memory over time: the resident set of a run of the agentic workload against the precise server.

    TRIE_DATASET_CACHE=/data/traces python benchmarks/memory.py --duration 600
    python benchmarks/memory.py --concurrency 48 --duration 7200          without the recorded traces: their stand-in

The slope is a line fitted through the second half, in MB an hour: flat is around nothing. The peak has the report in
it, which the run makes of its rows at the end.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from harness import machine, run, server, table

GOALS_MB = {48: 300, 1000: 1500}
TENTHS = (0.1, 0.25, 0.5, 0.75, 0.95)  # of the duration, at which the resident set is printed


def line(concurrency: int, duration_s: float) -> list[str]:
    workload = "agentic" if os.environ.get("TRIE_DATASET_CACHE") else "agentic-synthetic"
    settings = [f"workload={workload}", f"concurrency={concurrency}", f"duration={duration_s}", "progress=none"]
    itl_ms = 20 if concurrency <= 256 else 50
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with server(folder, ttft_ms=200, itl_ms=itl_ms) as at:
            words = [sys.executable, "-m", "trie", f"endpoint={at.url}", *settings, "prompts.calibrate=false"]
            child = run(words, folder, watch=True)
        requests = len(at.log())
    times, resident = np.array(child.memory).T
    late = (times > duration_s / 2) & (times < duration_s)
    slope = np.polyfit(times[late], resident[late], 1)[0] * 3600
    at_times = [resident[np.searchsorted(times, duration_s * share) - 1] for share in TENTHS]
    goal = f"{GOALS_MB[concurrency]:,}" if concurrency in GOALS_MB else "-"
    return [f"{concurrency:,}", f"{requests:,}", *(f"{value:,.0f}" for value in at_times), f"{child.peak_mb:,.0f}",
            goal, f"{slope:+,.0f}", f"{child.cpu_s / child.wall_s:.0%}"]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[48, 1000])
    parser.add_argument("--duration", type=float, default=120.0, help="seconds of each run")
    options = parser.parse_args()
    if options.duration < 20:
        parser.error("--duration: 20 or more, or there is no slope to speak of")
    print(machine())
    print(f"{options.duration:g} s each; resident MB at parts of it, at most, and how it grows in the second half\n")
    parts = [f"at {share:.0%}" for share in TENTHS]
    head = ["concurrency", "requests", *parts, "peak MB", "goal MB", "MB/hour", "of a core"]
    table(head, (line(concurrency, options.duration) for concurrency in options.concurrency))


if __name__ == "__main__":
    main()
