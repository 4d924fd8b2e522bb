"""Runs that end by `stop_when`: how long they last, and how often the number is as near to the truth as was promised.

    TRIE_DATASET_CACHE=/data python benchmarks/stopping.py
    python benchmarks/stopping.py --runs 20 --concurrency 8

Each run replays the workload in an order of its own, in virtual time, until the expression is fulfilled or two hours
are over. The truth is the mean of the estimates for the whole workload of --truth runs of two hours, in other orders.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product

from harness import machine, table

from trie.config import Clock, ConcurrencyConfig, RunConfig, SimConfig
from trie.config.shipped_groups import endpoint_named_or_at, load, workload_named_or_at
from trie.metrics.stop_rule import Look
from trie.preflight.virtual import preparation
from trie.replay.virtual_run import VirtualRun
from trie.storage.record import RequestRecord
from trie.workload.load import load as load_workload
from trie.workload.trace import Workload

AGENTIC = "agentic" if os.environ.get("TRIE_DATASET_CACHE") else "agentic-synthetic"
EXPRESSIONS = ("completion_tok_s within 2%", "completion_tok_s within 1%", "latency_s.p90 within 2%")
TWO_HOURS = 7200.0


class Rows:
    """Takes rows and keeps none: the run keeps its own."""

    def write(self, records: list[RequestRecord]) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Lab:
    """One line of the table."""

    workload: str
    concurrency: int
    expression: str

    def last_look(self, seed: int) -> tuple[bool, Look]:
        """Whether the run with this seed ended precise, and what the last look said."""
        config = RunConfig(
            workload=workload_named_or_at(self.workload),
            endpoint=endpoint_named_or_at("sim"),
            concurrency=ConcurrencyConfig(self.concurrency),
            duration=TWO_HOURS,
            clock=Clock.virtual,
            stop_when=self.expression,
            sim=SimConfig(**load("profile", "gpu")),
        )
        whole = all_traces(self.workload)
        order = list(whole.traces)
        random.Random(seed).shuffle(order)
        run = VirtualRun(preparation(config, replace(whole, traces=order)), Rows())
        run.simulate()
        assert run.last_look is not None
        return run.last_look.precise, run.last_look


def truths(lab: Lab, metrics: Sequence[str], seed: int) -> list[float]:
    """What a run of two hours says of each metric."""
    expression = " and ".join(f"{metric} within 0.001%" for metric in metrics)
    _, look = replace(lab, expression=expression).last_look(seed)
    return [reached.value or 0.0 for reached in look.reached]


@cache
def all_traces(workload: str) -> Workload:
    return load_workload(workload_named_or_at(workload))


def lines(options: argparse.Namespace) -> Iterator[list[str]]:
    metrics = list(dict.fromkeys(expression.partition(" ")[0] for expression in options.expression))
    with ProcessPoolExecutor(options.jobs) as pool:
        for workload, slots in product(options.workload, options.concurrency):
            lab = Lab(workload, slots, "")
            of_runs = pool.map(partial(truths, lab, metrics), range(10_000, 10_000 + options.truth))
            truth = dict(zip(metrics, map(statistics.fmean, zip(*of_runs, strict=True)), strict=True))
            for expression in options.expression:
                one = replace(lab, expression=expression)
                looks = list(pool.map(partial(Lab.last_look, one), range(options.runs)))
                cells = line(one, looks, truth[expression.partition(" ")[0]])
                print(" ".join(cells), file=sys.stderr, flush=True)
                yield cells


def line(lab: Lab, looks: Sequence[tuple[bool, Look]], truth: float) -> list[str]:
    ended = [look for precise, look in looks if precise]
    minutes = sorted(look.at_s / 60 for look in ended)
    errors, sure, wanted = [], [], []
    for look in ended:
        (reached,) = look.reached
        assert reached.value is not None
        assert reached.share is not None
        error = abs(reached.value / truth - 1)
        errors.append(error)
        sure.append(error * truth <= reached.share * reached.value)
        wanted.append(error <= reached.target.share)
    cells = [lab.workload, str(lab.concurrency), lab.expression, f"{len(ended)} of {len(looks)}"]
    if not ended:
        return [*cells, "-", "-", "-", "-"]
    spread = f"{statistics.median(minutes):.0f} ({minutes[0]:.0f} to {minutes[-1]:.0f})"
    rms = 100 * statistics.fmean(error**2 for error in errors) ** 0.5
    return [
        *cells,
        spread,
        f"{rms:.2f}",
        f"{100 * statistics.fmean(wanted):.0f}",
        f"{100 * statistics.fmean(sure):.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--truth", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--concurrency", type=int, nargs="+", default=[8, 24, 48])
    parser.add_argument("--workload", nargs="+", default=[AGENTIC, "office-synthetic"])
    parser.add_argument("--expression", nargs="+", default=EXPRESSIONS)
    options = parser.parse_args()
    print(f"{machine()}\n")
    heads = ["workload", "concurrency", "stop_when", "precise", "minutes", "rms error %", "as promised %", "held %"]
    table(heads, list(lines(options)))


if __name__ == "__main__":
    main()
