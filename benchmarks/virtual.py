"""What virtual time costs: two hours at concurrency 48 simulated, the same as a command, the full sweep of 18 cells.

    TRIE_DATASET_CACHE=/data python benchmarks/virtual.py
    python benchmarks/virtual.py --no-sweep

The agentic traces are the recorded ones where TRIE_DATASET_CACHE names the folder that holds them, else their stand-in;
the other workloads are stand-ins. Goals are seconds of CPU on one core; figures are medians with half their range.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from harness import Child, machine, run, spread, table

from trie.config import ConcurrencyConfig, RunConfig, SimConfig
from trie.config.shipped_groups import endpoint_named_or_at, load, workload_named_or_at
from trie.replay.event_loop import undisturbed
from trie.replay.virtual import VirtualReplay
from trie.storage.record import RequestRecord
from trie.workload.load import load as load_workload

CACHE = "TRIE_DATASET_CACHE"
AGENTIC = "agentic" if os.environ.get(CACHE) else "agentic-synthetic"
CELL = ("profile=gpu", "duration=7200", "html=false")


def simulation() -> tuple[float, int]:
    """CPU seconds of the event simulation alone, and how many requests it made."""
    config = RunConfig(
        workload=workload_named_or_at(AGENTIC),
        endpoint=endpoint_named_or_at("sim"),
        concurrency=ConcurrencyConfig(48),
        duration=7200.0,
        sim=SimConfig(**load("profile", "gpu")),
    )
    traces = load_workload(config.workload).traces
    rows: list[RequestRecord] = []
    replay = VirtualReplay(config, traces, write=rows.extend)
    with undisturbed():
        began = time.process_time()
        replay.run()
        return time.process_time() - began, len(rows)


def command(*words: str) -> Child:
    with tempfile.TemporaryDirectory() as folder:
        return run([sys.executable, "-m", "trie", "clock=virtual", *CELL, *words], Path(folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-sweep", action="store_true")
    options = parser.parse_args()
    print(f"{machine()}; {AGENTIC}\n")
    alone = [simulation() for _ in range(options.repeats)]
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows = [
        [f"2 h at 48, simulation of {alone[0][1]:,} requests", "1", spread((s for s, _ in alone), 2), f"{peak_mb:.0f}"]
    ]
    cells = [command(f"workload={AGENTIC}", "concurrency=48") for _ in range(options.repeats)]
    rows.append(["the same as a command, with its report", "4", *costs(cells)])
    if not options.no_sweep:
        workloads = f"workload={AGENTIC},qa-synthetic,office-synthetic"
        rows.append(["the full sweep, 18 cells", "90", *costs([command("sweep=full", workloads)])])
    table([f"{'what':<50}", "goal s", "CPU s        ", "peak MB   "], rows)


def costs(children: list[Child]) -> list[str]:
    return [spread((child.cpu_s for child in children), 2), f"{max(child.peak_mb for child in children):.0f}"]


if __name__ == "__main__":
    main()
