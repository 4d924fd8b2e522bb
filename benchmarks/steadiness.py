"""How often drifts and level shifts are found, and how often steady runs are left alone, in virtual time.

    TRIE_DATASET_CACHE=/data python benchmarks/steadiness.py
    python benchmarks/steadiness.py --runs 20 --concurrency 8 --workload office-synthetic

Each run replays the workload in an order of its own. A run of two hours is also judged as the one of 10, 30 and 60
minutes that it begins with. The changes are planted in runs of half an hour: decode that slows down all the time, a
worker that dies (prefill half as fast, each further request of a batch twice as dear), a cache that loses most of its
blocks, and a cache that is too small from the start. Figures are runs of 100.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial

from harness import machine, table

from trie.config import ConcurrencyConfig, RunConfig, SimConfig
from trie.config.shipped_groups import endpoint_named_or_at, load, workload_named_or_at
from trie.metrics.columns import Columns
from trie.metrics.sections import Steadiness
from trie.metrics.steadiness.blocks import CONTEXT, HITS, RATE, TPOT
from trie.metrics.steadiness.judge import steadiness
from trie.metrics.throughput import Points
from trie.replay.virtual import VirtualReplay
from trie.storage.parquet_parts import to_table
from trie.storage.record import Outcome, RequestRecord
from trie.workload.load import load as load_workload
from trie.workload.trace import Trace

AGENTIC = "agentic" if os.environ.get("TRIE_DATASET_CACHE") else "agentic-synthetic"
HALF_HOUR = 1800.0
CHANGE_AT = 0.6  # of the run
BLOCKS = 750  # of the small cache, for each slot
STEP_S = 30.0  # between two steps of a drift


class Planted(VirtualReplay):
    """A server that changes while it is measured."""

    def plant(self, change: str) -> None:
        name, _, share = change.partition(" ")
        if name == "drift":
            self._drift(float(share))
        elif name in ("worker", "slower", "cache"):
            self._at(CHANGE_AT * self._config.duration, getattr(self, f"_{name}"), float(share or 0))

    def _drift(self, share: float) -> None:
        sim = self.endpoint.config
        base = sim.decode_base_s, sim.decode_per_request_s

        def slow_down(_: None) -> None:
            factor = 1.0 + share * self.now / self._config.duration
            sim.decode_base_s, sim.decode_per_request_s = (value * factor for value in base)
            self._at(self.now + STEP_S, slow_down, None)

        self._at(0.0, slow_down, None)

    def _worker(self, _: float) -> None:
        sim = self.endpoint.config
        sim.prefill_tok_s /= 2.0
        sim.decode_per_request_s *= 2.0

    def _slower(self, share: float) -> None:
        sim = self.endpoint.config
        sim.decode_base_s *= 1.0 + share
        sim.decode_per_request_s *= 1.0 + share

    def _cache(self, _: float) -> None:
        self.endpoint.model.cache.capacity = BLOCKS // 2 * self._config.concurrency.value


@dataclass(frozen=True, slots=True)
class Lab:
    """One cell of the table."""

    workload: str
    concurrency: int
    change: str
    duration_s: float
    judged_at: tuple[float, ...]

    def judge(self, seed: int) -> list[Steadiness]:
        """The run with this seed, judged as what it was at each of the times."""
        slots = self.concurrency
        sim = SimConfig(**load("profile", "gpu"))
        config = RunConfig(
            workload=workload_named_or_at(self.workload),
            endpoint=endpoint_named_or_at("sim"),
            concurrency=ConcurrencyConfig(slots),
            duration=self.duration_s,
            sim=replace(sim, cache_blocks=BLOCKS * slots) if self.change == "cold" else sim,
        )
        order = list(all_traces(self.workload))
        random.Random(seed).shuffle(order)
        rows: list[RequestRecord] = []
        replay = Planted(config, order, write=rows.extend)
        replay.plant(self.change)
        replay.run()
        return [judged(rows, until) for until in self.judged_at]


@cache
def all_traces(workload: str) -> Sequence[Trace]:
    return load_workload(workload_named_or_at(workload)).traces


def judged(rows: Sequence[RequestRecord], until: float) -> Steadiness:
    """The run as it would have been with an earlier deadline."""
    columns = Columns(to_table([cut(row, until) for row in rows if row.queued_s < until]))
    return steadiness(columns, Points.of(columns))


def cut(row: RequestRecord, until: float) -> RequestRecord:
    assert row.end_s is not None
    if row.end_s <= until:
        return row
    seen = {name: value if value is not None and value <= until else None for name, value in instants(row)}
    return replace(row, outcome=Outcome.cancelled, end_s=until, **seen)


def instants(row: RequestRecord) -> Iterator[tuple[str, float | None]]:
    return ((name, getattr(row, name)) for name in ("first_token_s", "last_token_s"))


RULES: dict[str, Callable[[Steadiness], bool]] = {
    "any": lambda steady: any(rule(steady) for name, rule in RULES.items() if name != "any"),
    "rate or TPOT drifts": lambda steady: any(drifts(steady, name) for name in (RATE, TPOT)),
    "hits drift": lambda steady: drifts(steady, HITS),
    "hits fell before": lambda steady: steady.cold_cache is not None,
    "context grows": lambda steady: drifts(steady, CONTEXT) and steady.drift[CONTEXT].change > 0,
    "level shift": lambda steady: bool(steady.shifts),
}


def drifts(steady: Steadiness, name: str) -> bool:
    return name in steady.drift and steady.drift[name].drifts


def rates(lab: Lab, runs: int, jobs: int) -> Iterator[list[str]]:
    """A line for each time at which the runs were judged."""
    with ProcessPoolExecutor(jobs) as pool:
        by_run = list(pool.map(partial(Lab.judge, lab), range(runs), chunksize=5))
    for until, of_runs in zip(lab.judged_at, zip(*by_run, strict=True), strict=True):
        shares = [f"{100 * sum(map(rule, of_runs)) / runs:.0f}" for rule in RULES.values()]
        yield [lab.workload, lab.change, str(lab.concurrency), f"{until / 60:.0f}", *shares]


CHANGES = ("drift 0.1", "drift 0.25", "slower 0.1", "worker", "cache", "cold")


def labs(options: argparse.Namespace) -> Iterator[Lab]:
    for workload in options.workload:
        for slots in options.concurrency:
            if "steady" in options.change:
                yield Lab(workload, slots, "steady", 7200.0, (600.0, HALF_HOUR, 3600.0, 7200.0))
        for change in [change for change in options.change if change != "steady" and workload == AGENTIC]:
            for slots in options.concurrency:
                times = (600.0, HALF_HOUR) if change == "cold" else (HALF_HOUR,)
                yield Lab(workload, slots, change, HALF_HOUR, times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--concurrency", type=int, nargs="+", default=[8, 24, 48])
    parser.add_argument("--change", nargs="+", default=["steady", *CHANGES])
    parser.add_argument("--workload", nargs="+", default=[AGENTIC, "office-synthetic"])
    options = parser.parse_args()
    print(f"{machine()}; {options.runs} runs a line; figures are runs of 100 that were found to have\n")
    lines = []
    for lab in labs(options):
        for line in rates(lab, options.runs, options.jobs):
            print(" ".join(line), file=sys.stderr, flush=True)
            lines.append(line)
    table(["workload", "change", "concurrency", "minutes", *RULES], lines)


if __name__ == "__main__":
    main()
