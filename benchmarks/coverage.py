"""How often a stated 95 % interval holds the true value, and how far estimates are off, in virtual time.

    TRIE_DATASET_CACHE=/data python benchmarks/coverage.py --folder coverage
    python benchmarks/coverage.py --folder coverage --seeds 20 --cells agentic:gpu:8

Each seed of a cell is one run of two hours that starts inside its traces (start=stationary), with another order of the
traces; what its first minutes say is what a shorter run would have said. The truth is a run of --hours hours. Both are
kept in --folder, so that the same command goes on where it was stopped. The agentic traces are the recorded ones where
TRIE_DATASET_CACHE names the folder that holds them, else their stand-in; the office traces are a stand-in.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from harness import machine, table

from trie.config import Clock, ConcurrencyConfig, RunConfig, SimConfig, Start
from trie.config.shipped_groups import endpoint_named_or_at, load, workload_named_or_at
from trie.metrics.certainty.assess import Values, certainty
from trie.metrics.certainty.estimate import Estimate
from trie.metrics.certainty.population import Population
from trie.metrics.certainty.workload_estimates import RunFacts
from trie.metrics.columns import Columns
from trie.metrics.definitions.metric import RunRows
from trie.metrics.throughput import Points, rates
from trie.metrics.traces import traces
from trie.metrics.values import per_request, per_trace
from trie.replay.event_loop import undisturbed
from trie.replay.virtual import VirtualReplay
from trie.storage.parquet_parts import to_table
from trie.storage.record import Outcome, RequestRecord
from trie.workload.load import load as load_workload
from trie.workload.trace import Trace

AGENTIC = "agentic" if os.environ.get("TRIE_DATASET_CACHE") else "agentic-synthetic"
WORKLOADS = {"agentic": AGENTIC, "office": "office-synthetic"}
SMALL_CACHE_BLOCKS = 8_000  # of 16 tokens: too few for eight traces at once
PROFILES = ("gpu", "small-cache")
CONCURRENCY = (8, 24, 48)
MINUTES = (3, 10, 30, 60, 120)
RATE_KEY = "completion_tok_s"
PERCENTILES = {"p50": 50, "p90": 90, "p99": 99}
WARM_UP_S = 3 * 3600.0  # of the long run, which starts with all traces together


@dataclass(frozen=True, slots=True)
class BenchmarkCell:
    workload: str
    profile: str
    concurrency: int

    @property
    def name(self) -> str:
        return f"{self.workload}-{self.profile}-{self.concurrency}"

    @property
    def sim(self) -> SimConfig:
        sim = SimConfig(**load("profile", "gpu"))
        return sim if self.profile == "gpu" else replace(sim, cache_blocks=SMALL_CACHE_BLOCKS)

    @property
    def kv_capacity(self) -> int:
        """Tokens that the server's cache holds."""
        return self.sim.cache_blocks * self.sim.block_tokens

    def config(self, hours: float, start: Start) -> RunConfig:
        return RunConfig(
            workload=workload_named_or_at(WORKLOADS[self.workload]),
            endpoint=endpoint_named_or_at("sim"),
            concurrency=ConcurrencyConfig(self.concurrency),
            duration=3600.0 * hours,
            clock=Clock.virtual,
            start=start,
            sim=self.sim,
        )


@cache
def workload(name: str) -> tuple[Sequence[Trace], Population]:
    loaded = load_workload(workload_named_or_at(WORKLOADS[name])).traces
    return loaded, Population.of(loaded)


def simulated(cell: BenchmarkCell, seed: int, hours: float = 2.0) -> pa.Table:
    """The rows of one run."""
    shuffled = random.Random(seed).sample(list(workload(cell.workload)[0]), len(workload(cell.workload)[0]))
    rows: list[RequestRecord] = []
    with undisturbed():
        VirtualReplay(cell.config(hours, Start.stationary), shuffled, write=rows.extend, seed=seed).run()
    return to_table(rows)


def first(rows: pa.Table, seconds: float) -> pa.Table:
    """What a run that ended after so many seconds would have left."""
    rows = rows.filter(pc.less(rows["queued_s"], seconds))
    late = pc.greater(rows["end_s"], seconds)
    for name in ("first_token_s", "last_token_s"):
        value = rows[name]
        rows = _with(rows, name, pc.if_else(pc.greater(value, seconds), pa.scalar(None, pa.float64()), value))
    rows = _with(rows, "end_s", pc.if_else(late, seconds, rows["end_s"]))
    return _with(rows, "outcome", pc.if_else(late, "cancelled", rows["outcome"]))


def _with(rows: pa.Table, name: str, values: pa.ChunkedArray) -> pa.Table:
    return rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), values)


def estimated(cell: BenchmarkCell, rows: pa.Table, seconds: float) -> dict[str, Any]:
    """What the report of a run says: value, low and high by quantity; and how many blocks it has."""
    columns = Columns(rows)
    sessions, points = traces(columns), Points.of(columns)
    workload_rates = rates(points, wall_time_s=seconds, num_gpus=None)
    values = Values(workload_rates, per_trace(columns, sessions, stream=True), per_request(columns, stream=True))
    facts = RunFacts(cell.concurrency, stream=True, kv_capacity=cell.kv_capacity)
    known = certainty(RunRows(columns, sessions, seconds), points, values, facts, workload(cell.workload)[1])
    found: dict[str, Estimate | None] = {
        "steady": known.steady_state.get(RATE_KEY) or _alone(workload_rates[RATE_KEY].steady_state),
        "population": known.population.completion_tok_s,
    }
    for key in ("latency_s", "ttft_s", "ttfat_s"):
        estimates = getattr(known.population, key) or {}
        found |= {f"{key}.{name}": estimates.get(name) for name in ("mean", *PERCENTILES)}
    return {
        "blocks": known.blocks,
        "why": dict(known.why),
        **{key: None if e is None else [e.value, e.low, e.high] for key, e in found.items()},
    }


def _alone(value: float | None) -> Estimate | None:
    return None if value is None else Estimate(value)


def measured(cell: BenchmarkCell, seed: int) -> dict[str, Any]:
    """One seed of a cell, evaluated at each length."""
    rows = simulated(cell, seed, hours=max(MINUTES) / 60)
    return {str(minutes): estimated(cell, first(rows, 60.0 * minutes), 60.0 * minutes) for minutes in MINUTES}


def truth(cell: BenchmarkCell, hours: float) -> dict[str, float]:
    """Of the sessions that a long run began after its first hours and saw to their end.

    All traces count the same, however often each was replayed. Throughput by Little's law from their mean latency.
    """
    loaded, population = workload(cell.workload)
    shuffled = [trace for seed in range(40) for trace in random.Random(-1 - seed).sample(list(loaded), len(loaded))]
    times: dict[int, list[float]] = {}  # by session: its trace, and the four instants below

    def note(rows: list[RequestRecord]) -> None:
        for row in rows:
            if row.outcome is not Outcome.ok:
                continue
            sent, first_token, end = row.sent_s or 0.0, row.first_token_s or 0.0, row.end_s or 0.0
            of_session = times.setdefault(row.session_id, [float(row.trace_id), *[np.nan] * 4])
            if row.turn == 0:
                of_session[1:3] = sent, first_token
            if row.is_final:
                of_session[3:5] = first_token, end

    with undisturbed():
        VirtualReplay(cell.config(hours, Start.together), shuffled, write=note).run()
    of_sessions = np.array(list(times.values()))
    began, ended = of_sessions[:, 1], of_sessions[:, 4]
    # The last ones to begin are counted as long as all that began before them were seen to their end.
    cut_off = float(began[np.isnan(ended)].min())
    trace, begun, first_token, last_first, end = of_sessions[(began > WARM_UP_S) & (began < cut_off)].T
    _, place, replays = np.unique(trace, return_inverse=True, return_counts=True)
    weight = 1.0 / replays[place]
    found = {"sessions": float(len(trace)), "traces": float(len(replays))}
    for key, values in (("latency_s", end - begun), ("ttft_s", first_token - begun), ("ttfat_s", last_first - begun)):
        found[f"{key}.mean"] = float(np.average(values, weights=weight))
        found |= {f"{key}.{name}": weighted_percentile(values, weight, at) for name, at in PERCENTILES.items()}
    completion = float(population.whole[:, 1].mean())
    found["population"] = found["steady"] = cell.concurrency * completion / found["latency_s.mean"]
    return found


def weighted_percentile(values: np.ndarray, weight: np.ndarray, at: float) -> float:
    order = np.argsort(values)
    below = np.cumsum(weight[order]) - weight[order] / 2
    return float(np.interp(at / 100 * weight.sum(), below, values[order]))


def kept_truth(cell: BenchmarkCell, folder: Path, hours: float) -> dict[str, float]:
    file = folder / f"{cell.name}.truth.json"
    if not file.exists():
        file.write_text(json.dumps(truth(cell, hours)))
    content: dict[str, float] = json.loads(file.read_text())
    return content


def kept_runs(cell: BenchmarkCell, folder: Path, seeds: range) -> list[dict[str, Any]]:
    for seed in seeds:
        file = folder / f"{cell.name}.{seed}.json"
        if not file.exists():
            file.write_text(json.dumps(measured(cell, seed)))
    return [json.loads((folder / f"{cell.name}.{seed}.json").read_text()) for seed in seeds]


def results(cell: BenchmarkCell, folder: Path, seeds: range, hours: float) -> tuple[BenchmarkCell, Any, Any]:
    return cell, kept_truth(cell, folder, hours), kept_runs(cell, folder, seeds)


SHOWN = ("steady", "population", "latency_s.mean", "latency_s.p90")


def coverage_lines(
    cell: BenchmarkCell, true: Mapping[str, float], runs: Sequence[Mapping[str, Any]]
) -> Iterator[list[str]]:
    """A line for each length of which any run has an interval."""
    for minutes in MINUTES:
        of_length = [run[str(minutes)] for run in runs]
        stated = sum(run["blocks"] is not None for run in of_length)
        if minutes >= 30:
            cells = [_coverage([run[key] for run in of_length], true[key]) for key in SHOWN]
            yield [cell.workload, cell.profile, str(cell.concurrency), str(minutes), f"{stated}/{len(runs)}", *cells]


def _coverage(estimates: Sequence[Sequence[float | None] | None], true: float) -> str:
    """How many percent of the intervals hold the truth, and their mean half-width."""
    bounds = [
        (low, high) for value in estimates if value for _, low, high in [value] if low is not None and high is not None
    ]
    if not bounds:
        return "-"
    held = np.mean([low <= true <= high for low, high in bounds])
    half = np.mean([(high - low) / 2 for low, high in bounds]) / true
    return f"{100 * held:.0f} (±{100 * half:.{2 if half < 0.02 else 1}f} %)"


def error_lines(
    cell: BenchmarkCell, true: Mapping[str, float], runs: Sequence[Mapping[str, Any]]
) -> Iterator[list[str]]:
    """The root of the mean squared error, with and without intervals."""
    for minutes in MINUTES:
        cells = []
        for key in ("steady", "population", "latency_s.p50", "latency_s.p90", "latency_s.p99"):
            values = [run[str(minutes)][key][0] for run in runs if run[str(minutes)][key]]
            errors = np.array(values) / true[key] - 1.0
            cells.append(f"{100 * np.sqrt((errors**2).mean()):.2f}" if len(errors) else "-")
            if key == "population":
                cells.append(f"{len(values)}/{len(runs)}")
        yield [cell.workload, cell.profile, str(cell.concurrency), str(minutes), *cells]


def chosen(words: Sequence[str]) -> list[BenchmarkCell]:
    cells = {cell.name: cell for of in product(WORKLOADS, PROFILES, CONCURRENCY) for cell in [BenchmarkCell(*of)]}
    return [cells[word.replace(":", "-")] for word in words] or list(cells.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--hours", type=float, default=100.0)
    parser.add_argument("--cells", nargs="*", default=[], help="agentic:gpu:8 ..., in this order; default: all twelve")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    print(f"{machine()}; {AGENTIC}, office-synthetic; {options.seeds} seeds, truth from {options.hours:g} h\n")
    work = partial(results, folder=options.folder, seeds=range(options.seeds), hours=options.hours)
    with ProcessPoolExecutor(options.processes) as pool:
        found = list(pool.map(work, chosen(options.cells)))
    print("Intervals that hold the truth, in percent, and their mean half-width")
    head = ["workload", "profile    ", "concurrency", "minutes", "with intervals"]
    table([*head, *(f"{key:<18}" for key in SHOWN)], [line for one in found for line in coverage_lines(*one)])
    print("\nRoot mean squared error in percent")
    head = ["workload", "profile    ", "concurrency", "minutes", "steady", "population", "estimated"]
    table([*head, "latency p50", "p90", "p99"], [line for one in found for line in error_lines(*one)])


if __name__ == "__main__":
    main()
