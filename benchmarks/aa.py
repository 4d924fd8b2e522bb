"""How often `trie compare` calls two runs different that are not, and how often it finds a difference that is there.

    TRIE_DATASET_CACHE=/data python benchmarks/aa.py
    python benchmarks/aa.py --pairs 20 --cells 8x600

Runs are made in virtual time, as the command makes them, and compared from their files, as the command compares them.
A pair has the same settings and other seeds. `orders`: each run replays the traces in an order of its own. `waits`:
both replay them in one order, and each run's tool waits are off by two percent or so, as a server's times are from run
to run. `speeds`: as `orders`, and the server of each run is faster or slower as a whole, by three percent or so. The
candidates of the last columns decode 5, 10 and 20 percent slower. With `--repeats 3` a side is three runs.

The agentic traces are the recorded ones where TRIE_DATASET_CACHE names the folder that holds them, else their stand-in.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

from harness import machine, table

from trie.compare.comparison import compare
from trie.compare.differences import Settings
from trie.config import Clock, ConcurrencyConfig, ProgressStyle, RunConfig, SimConfig
from trie.config.shipped_groups import endpoint_named_or_at, load, workload_named_or_at
from trie.run import execute_async
from trie.workload.load import load as load_workload
from trie.workload.trace import Trace, Workload

AGENTIC = "agentic" if os.environ.get("TRIE_DATASET_CACHE") else "agentic-synthetic"
WORKLOADS = (AGENTIC, "office-synthetic")
CELLS = ("8x600", "8x1800", "24x600", "24x1800")  # concurrency x seconds
SLOWER = (1.05, 1.10, 1.20)  # of the time that a step of decode takes
WAITS = 0.02  # standard deviation of what a tool wait is multiplied with
SHORTER = 40  # times, in real time
SPEEDS = 0.03  # and of what all times of a run's server are
HEADLINES = (
    "certainty.population.completion_tok_s",
    "certainty.population.latency_s.p50",
    "certainty.population.latency_s.p90",
    "certainty.population.ttft_s.p50",
    "workload.completion_tok_s.steady_state",
    "per_trace.latency_s.mean",
    "per_trace.latency_s.p50",
    "per_trace.latency_s.p90",
    "per_trace.ttft_s.p50",
    "per_trace.ttft_s.p99",
    "per_trace.ttfat_s.p50",
    "per_trace.decode_tps.mean",
    "per_request.tpot_s.mean",
    "per_request.tpot_s.p50",
    "cache.hit_rate_pct",
)


@dataclass(frozen=True, slots=True)
class Lab:
    """One cell of the table."""

    workload: str
    concurrency: int
    duration_s: int
    noise: str  # orders, waits or speeds
    real: bool = False  # against the embedded endpoint in real time, with traces that are shorter

    def run(self, seed: int, folder: Path, slower: float = 1.0) -> Path:
        """The directory of a run, which is made where it is not there."""
        clock = "real" if self.real else "virtual"
        load_of = f"c{self.concurrency}-{self.duration_s}"
        name = f"{clock}-{self.workload}-{load_of}-{self.noise}-{slower:g}-{seed}"
        directory = folder / name
        if not (directory / "summary.json").is_file():
            shutil.rmtree(directory, ignore_errors=True)  # of a run that was interrupted
            asyncio.run(execute_async(self._config(seed, slower), directory, workload=self._workload(seed)))
        return directory

    def _config(self, seed: int, slower: float) -> RunConfig:
        sim = SimConfig(**load("profile", "gpu"))
        speed = random.Random(f"speed {seed}").gauss(1.0, SPEEDS) if self.noise == "speeds" else 1.0
        slower *= speed
        return RunConfig(
            workload=workload_named_or_at(self.workload),
            endpoint=endpoint_named_or_at("sim"),
            concurrency=ConcurrencyConfig(self.concurrency),
            duration=float(self.duration_s),
            clock=Clock.real if self.real else Clock.virtual,
            progress=ProgressStyle.none,
            html=False,
            sim=replace(
                sim,
                prefill_tok_s=sim.prefill_tok_s / speed,
                decode_base_s=sim.decode_base_s * slower,
                decode_per_request_s=sim.decode_per_request_s * slower,
            ),
        )

    def _workload(self, seed: int) -> Workload:
        whole, luck = whole_workload(self.workload), random.Random(seed)
        traces = list(whole.traces)
        if self.noise != "waits":
            luck.shuffle(traces)
        else:
            traces = [_jittered(trace, luck) for trace in traces]
        if self.real:
            traces = [_shorter(trace) for trace in traces]
        return replace(whole, traces=traces)


@cache
def whole_workload(name: str) -> Workload:
    """All traces, in an order that is nobody's."""
    whole = load_workload(workload_named_or_at(name))
    traces = list(whole.traces)
    random.Random(0).shuffle(traces)
    return replace(whole, traces=traces)


def _jittered(trace: Trace, luck: random.Random) -> Trace:
    waits = tuple(wait * max(luck.gauss(1.0, WAITS), 0.0) for wait in trace.tool_call_latency)
    return replace(trace, tool_call_latency=waits)


def _shorter(trace: Trace) -> Trace:
    return replace(
        trace,
        input_prompt_length=max(trace.input_prompt_length // SHORTER, 1),
        assistant_response_length=tuple(max(tokens // SHORTER, 1) for tokens in trace.assistant_response_length),
        tool_call_output_length=tuple(max(tokens // SHORTER, 1) for tokens in trace.tool_call_output_length),
        tool_call_latency=tuple(wait / SHORTER for wait in trace.tool_call_latency),
        final_assistant_response_length=max(trace.final_assistant_response_length // SHORTER, 1),
    )


def words(lab: Lab, folder: Path, repeats: int, slower: float, pair: int) -> dict[str, str | None]:
    """What each number of a pair is called."""
    logging.disable(logging.WARNING)
    seeds = range(2 * pair * repeats, 2 * (pair + 1) * repeats, 2)
    sides = [lab.run(seed, folder) for seed in seeds], [lab.run(seed + 1, folder, slower) for seed in seeds]
    (found,) = compare(sides, Settings()).pairs
    return {difference.of.key: difference.verdict for difference in found.differences if difference.verdict}


def called_different(
    lab: Lab, folder: Path, slower: float, pairs: int, options: argparse.Namespace
) -> dict[str, Counter[str]]:
    """For each number with an interval how often it was called what."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    with ProcessPoolExecutor(options.jobs) as pool:
        for called in pool.map(partial(words, lab, folder, options.repeats, slower), range(pairs), chunksize=5):
            for key, word in called.items():
                counts[key][word] += 1
    return counts


def share(counts: Counter[str]) -> float | None:
    """Of the pairs with an interval those that were called different, in percent."""
    return 100.0 * (1 - counts["noise"] / counts.total()) if counts.total() else None


def shown(counts: Counter[str], pairs: int) -> str:
    different = share(counts)
    if different is None:
        return "-"
    some = "" if counts.total() == pairs else f" of {counts.total()}"
    return f"{different:.0f}{some}"


def labs(options: argparse.Namespace) -> Iterator[Lab]:
    for workload in options.workloads:
        for cell in options.cells:
            concurrency, duration = map(int, cell.split("x"))
            for noise in options.noises:
                yield Lab(workload, concurrency, duration, noise, options.real)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--planted-pairs", type=int, default=40, help="for each planted difference; 0: none")
    parser.add_argument("--cells", nargs="+", default=CELLS, metavar="CxS", help="concurrency x seconds")
    parser.add_argument("--workloads", nargs="+", default=WORKLOADS)
    parser.add_argument("--noises", nargs="+", default=("orders", "waits"), choices=("orders", "waits", "speeds"))
    parser.add_argument("--repeats", type=int, default=1, help="runs on each side")
    parser.add_argument("--real", action="store_true", help="in real time, against the embedded endpoint: 8x30")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the runs are kept for another time")
    parser.add_argument("--json", type=Path, help="every count")
    options = parser.parse_args()
    print(f"{machine()}; {options.pairs} pairs, runs on each side: {options.repeats}\n")
    results = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        for lab in labs(options):
            title = f"{lab.workload}, concurrency {lab.concurrency}, {lab.duration_s:,} s, other {lab.noise}"
            same = called_different(lab, folder, 1.0, options.pairs, options)
            planted = {
                slower: called_different(lab, folder, slower, options.planted_pairs, options)
                for slower in (SLOWER if options.planted_pairs else ())
            }
            results[title] = {"same": same, **{str(slower): counts for slower, counts in planted.items()}}
            print(f"\n{title}: called different, in percent")
            report(same, planted, options)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


def report(
    same: dict[str, Counter[str]], planted: dict[float, dict[str, Counter[str]]], options: argparse.Namespace
) -> None:
    columns = [(same, options.pairs), *((counts, options.planted_pairs) for counts in planted.values())]
    rows = [[key, *(shown(counts[key], pairs) for counts, pairs in columns)] for key in HEADLINES]
    shares = {key: share(counts) or 0.0 for key, counts in same.items()}
    if shares:
        worst = max(shares, key=shares.__getitem__)
        blank = [""] * len(planted)
        rows.append([f"the worst of {len(shares)}: {worst}", shown(same[worst], options.pairs), *blank])
    table(["number", "A/A", *(f"decode +{round(100 * slower - 100)} %" for slower in planted)], rows)


if __name__ == "__main__":
    main()
