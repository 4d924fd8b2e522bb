"""How far short runs are from the throughput of a long one, by how they start, in virtual time.

    python benchmarks/starts.py --data agentic_coding_8k.jsonl
    python benchmarks/starts.py --seeds 20

Without --data the stand-in of the agentic traces is replayed. Each seed has another order of the traces. The truth is
the steady state of a run of --hours that starts together. Profile gpu, with caches of several sizes.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, pstdev

import numpy as np
from harness import machine, table

from trie.config import Clock, ConcurrencyConfig, RunConfig, SimConfig, Start, WorkloadConfig
from trie.config.shipped_groups import endpoint_named_or_at, load, workload_named_or_at
from trie.metrics.columns import Columns
from trie.metrics.throughput import Points, rates
from trie.replay.event_loop import undisturbed
from trie.replay.virtual import VirtualReplay
from trie.storage.parquet_parts import to_table
from trie.storage.record import RequestRecord
from trie.workload.load import load as load_workload
from trie.workload.trace import Trace

MINUTES = (3, 10, 30)


def completion_tok_s(
    workload: WorkloadConfig,
    traces: Sequence[Trace],
    start: Start,
    blocks: int,
    *,
    hours: float,
    concurrency: int,
    seed: int,
) -> tuple[float, float, float]:
    """Steady-state completion tok/s, hit rate, and seconds of the warm-up of one run."""
    config = RunConfig(
        workload=workload,
        endpoint=endpoint_named_or_at("sim"),
        concurrency=ConcurrencyConfig(concurrency),
        duration=3600.0 * hours,
        clock=Clock.virtual,
        start=start,
        sim=SimConfig(**{**load("profile", "gpu"), "cache_blocks": blocks}),
    )
    shuffled = random.Random(seed).sample(list(traces), len(traces))
    rows: list[RequestRecord] = []
    replay = VirtualReplay(config, shuffled, write=rows.extend, seed=seed)
    with undisturbed():
        replay.run()
    columns = Columns(to_table(rows))
    steady = rates(Points.of(columns), wall_time_s=replay.elapsed_s, num_gpus=None)["completion_tok_s"].steady_state
    ok = columns.outcome("ok")
    hit_rate = float(columns.cached_tokens[ok].sum() / columns["usage_prompt_tokens"][ok].sum())
    return steady or np.nan, hit_rate, replay.warm_up_s or 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a JSONL file of traces; default: the agentic stand-in")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--concurrency", type=int, default=48)
    parser.add_argument("--hours", type=float, default=40.0)
    parser.add_argument("--blocks", type=int, nargs="+", default=[20_000, 40_000, 100_000])
    parser.add_argument("--starts", nargs="+", default=[start.name for start in Start], metavar="START")
    options = parser.parse_args()
    workload = workload_named_or_at(str(options.data) if options.data else "agentic-synthetic")
    traces = load_workload(workload).traces
    print(f"{machine()}; {workload.name}, concurrency {options.concurrency}, {options.seeds} seeds\n")
    lines = []
    for blocks in options.blocks:

        def run(start: Start, hours: float, seed: int, blocks: int = blocks) -> tuple[float, float, float]:
            return completion_tok_s(
                workload, traces, start, blocks, hours=hours, concurrency=options.concurrency, seed=seed
            )

        truth, hit_rate, _ = run(Start.together, options.hours, 0)
        for start in (Start[name] for name in options.starts):
            runs = {minutes: [run(start, minutes / 60, seed) for seed in range(options.seeds)] for minutes in MINUTES}
            warm_up_s = fmean(warm_up for _, _, warm_up in runs[MINUTES[0]])
            lines.append(
                [
                    f"{blocks * 16 / 1000:,.0f} k tokens, hits {hit_rate:.0%} in the long run",
                    start.name,
                    *(error([value for value, _, _ in runs[minutes]], truth) for minutes in MINUTES),
                    f"{warm_up_s:.0f} s",
                ]
            )
    table(
        ["cache                               ", "start", *(f"{minutes} min" for minutes in MINUTES), "warm-up"], lines
    )


def error(values: list[float], truth: float) -> str:
    errors = [100.0 * (value / truth - 1.0) for value in values]
    return f"{fmean(errors):+.1f} ± {pstdev(errors):.1f} %"


if __name__ == "__main__":
    main()
