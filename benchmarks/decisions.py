"""How right decisions are, where the truth is known: the capacity of a simulated server, and A/B comparisons of two.

    python benchmarks/decisions.py                        both tables
    python benchmarks/decisions.py capacity               the search against long runs
    python benchmarks/decisions.py ab --comparisons 100   equal servers, and one that is 3 % slower

Everything runs in virtual time. The tables of docs/decisions.md are what this prints. What is measured stays in
--folder DIR, and the same command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import shutil
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from trie.cli.compose import composed
from trie.config import RunConfig
from trie.decide.ab.experiment import Experiment
from trie.decide.ab.result import Arm, Plan, Result
from trie.decide.ab.sequential import Rule
from trie.decide.capacity import TOLERANCE, Capacity, Search
from trie.decide.capacity_report import load_of
from trie.metrics.metric_names import numbers
from trie.metrics.slo.expression import parse
from trie.run import execute
from trie.storage.run_dir import RunDir, write_json
from trie.workload.load import load
from trie.workload.trace import Workload

SERVERS = {
    "gpu": (),
    "a fifth of its cache": ("sim.cache_blocks=20000",),
    "two thirds of its prefill": ("sim.prefill_tok_s=20000",),
}
SEARCHES = (
    ("gpu", "tpot_s<0.03@p99"),
    ("gpu", "ttft_s<0.5@p95"),
    ("gpu", "latency_s<400@p95"),
    ("a fifth of its cache", "ttft_s<1@p95"),
    ("two thirds of its prefill", "ttft_s<1@p95"),
    ("two thirds of its prefill", "latency_s<700@p95"),
    ("a fifth of its cache", "latency_s<600@p95"),
)
LOW, HIGH = 4, 512
SHORT_S, LONG_S = 3600.0, 4 * 3600.0
START = "start=stationary"  # else percentiles of first tokens hold the burst with which all traces begin
PROFILE = (
    "clock=virtual", "profile=gpu", "workload=agentic-synthetic", "workload.rows=1024", "html=false", "progress=none",
)  # fmt: skip


def settings(*overrides: str) -> RunConfig:
    return composed([*PROFILE, *overrides]).run()


def capacity(folder: Path) -> None:
    """Each search's answer beside the highest load that keeps the limits in a run of four hours."""
    most = math.ceil(math.log2(HIGH - LOW)) + 2
    print(f"from {LOW} to {HIGH}; log2 of the loads + 2 is {most} cells")
    print("| server | objective | answer | truth | cells | by doubling and halving | hours |")
    print("| --- | --- | --: | --: | --: | --: | --: |")
    workload = load(settings().workload)
    for number, (server, slo) in enumerate(SEARCHES):
        answer, hours, cells = searched(server, slo, folder / f"search-{number}", workload)
        truth = true_capacity(Truth(server, folder, workload), slo, answer)
        doubling = cells_by_doubling(truth)
        print(f"| {server} | {slo} | {answer.text} | {truth} | {cells} | {doubling} | {hours:.1f} |", flush=True)


def searched(server: str, slo: str, folder: Path, workload: Workload) -> tuple[Capacity, float, int]:
    """As `trie -m search=capacity` measures it; the answer, simulated hours, and the number of cells."""
    search, hours, cells = Search(LOW, HIGH), 0.0, 0
    while (concurrency := search.next_load()) is not None:
        path = folder / f"c{concurrency}"
        if not (path / "summary.json").exists():
            shutil.rmtree(path, ignore_errors=True)
            base = settings(
                *SERVERS[server], f"duration={SHORT_S:g}", f"concurrency={concurrency}", f"seed={concurrency}", START
            )
            execute(replace(base, slo=slo, stop_when="slo"), path, workload=workload)
        cell = load_of(path, slo)
        search.record(concurrency, cell.answers[""], beyond="" in cell.beyond)
        end = RunDir.open(path).manifest().end
        assert end is not None
        hours, cells = hours + end.wall_time_s / 3600.0, cells + 1
    return search.capacity, hours, cells


@dataclass(frozen=True, slots=True)
class Truth:
    """Long runs of a server, each made once."""

    server: str
    folder: Path
    workload: Workload

    def keeps(self, load: int, slo: str) -> bool:
        """Whether the plain numbers of a long run are within all limits, without intervals and estimates."""
        values = self._numbers(load)
        return all((value := values[objective.path]) is not None and objective.meets(value) for objective in parse(slo))

    def _numbers(self, load: int) -> dict[str, float | None]:
        path = self.folder / f"{self.server.replace(' ', '-')}-{load}.json"
        if not path.exists():
            base = settings(*SERVERS[self.server], f"duration={LONG_S:g}", "seed=2", f"concurrency={load}", START)
            with tempfile.TemporaryDirectory() as run:
                write_json(path, numbers(execute(base, Path(run) / "run", workload=self.workload).summary.to_json()))
        content: dict[str, float | None] = json.loads(path.read_text())
        return content


def true_capacity(truth: Truth, slo: str, answer: Capacity) -> int:
    """The highest load that keeps the limits: near the answer, further away where that is wrong, then halved."""
    passes, fails, step = answer.passes or LOW - 1, answer.fails or HIGH + 1, 1
    while passes >= LOW and not truth.keeps(passes, slo):
        passes, fails, step = max(passes - step, LOW - 1), passes, 2 * step
    step = 1
    while fails <= HIGH and truth.keeps(fails, slo):
        passes, fails, step = fails, min(fails + step, HIGH + 1), 2 * step
    while fails - passes > 1:
        middle = (passes + fails) // 2
        passes, fails = (middle, fails) if truth.keeps(middle, slo) else (passes, middle)
    return passes


def cells_by_doubling(capacity: int) -> int:
    """How many cells doubling and then halving takes to the same tolerance, where every answer is sure and right."""
    cells, passes = 1, LOW
    while passes < HIGH and passes <= capacity:
        passes = min(2 * passes, HIGH)
        cells += 1
    low, high = passes // 2, passes
    while high - low > max(1, int(TOLERANCE * low)):
        middle = (low + high) // 2
        low, high = (middle, high) if middle <= capacity else (low, middle)
        cells += 1
    return cells


def ab(folder: Path, count: int) -> None:
    """Equal servers and a slower one; blocks of ten minutes with traces of their own, which the noise comes from."""
    base = settings("concurrency=8")
    slower = replace(base, sim=replace(base.sim, decode_per_request_s=SLOW_STEP))
    print("| B | truth | better | worse | equivalent | unsure | pairs, median | predicted | decided by then |")
    print(f"| --- | {' | '.join(['--:'] * 8)} |")
    for name, b in (("as A", base), ("slower", slower)):
        results = list(comparisons(base, b, folder / name.replace(" ", "-"), count))
        ends = Counter(result.decision for result in results)
        effect = long_rate(b, folder, name) / long_rate(base, folder, "as A") - 1.0
        differences = [result.differences_of(result.plan.metric) for result in results]
        deviation = math.sqrt(statistics.mean(statistics.variance(values) for values in differences))
        predicted = RULE.needs(effect, deviation)
        pairs = [len(result.pairs) for result in results]
        decided = [len(result.pairs) for result in results if result.decision != "unsure"]
        by_then = sum(size <= (predicted or 0) for size in decided)
        words = " | ".join(str(ends[word]) for word in ("better", "worse", "equivalent", "unsure"))
        print(f"| {name} | {effect:+.1%} | {words} | {statistics.median(pairs):g} | {predicted} | {by_then} |")
        print(f"pairs spread by {deviation:.2%}", file=sys.stderr, flush=True)


def comparisons(a: RunConfig, b: RunConfig, folder: Path, count: int) -> Iterator[Result]:
    """Each to its end; of its blocks nothing stays but ab.json."""
    for number in range(count):
        plan = Plan(RULE, 600.0, seed=number, same_traces=False)
        directory = folder / f"{number:03d}"
        directory.mkdir(parents=True, exist_ok=True)
        *_, last = Experiment((Arm("a", a), Arm("b", b)), plan, directory).results()
        for block in directory.glob("??-?"):
            shutil.rmtree(block)
        yield last


def long_rate(config: RunConfig, folder: Path, name: str) -> float:
    """Completion tok/s of steady state in 20 hours."""
    path = folder / f"rate-{name.replace(' ', '-')}.json"
    if not path.exists():
        with tempfile.TemporaryDirectory() as run:
            done = execute(replace(config, duration=5 * LONG_S, seed=1), Path(run) / "run")
        write_json(path, {"tok_s": done.summary.workload["completion_tok_s"].steady_state})
    return float(json.loads(path.read_text())["tok_s"])


RULE = Rule(margin=0.02, most=20)
SLOW_STEP = 0.00053  # s for each further request of a step, instead of 0.0004


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("what", nargs="*", choices=["capacity", "ab"], default=["capacity", "ab"])
    arguments.add_argument("--comparisons", type=int, default=100)
    arguments.add_argument("--folder", type=Path, help="where what is measured stays, to go on from")
    options = arguments.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        if "capacity" in options.what:
            capacity(folder)
        if "ab" in options.what:
            ab(folder, options.comparisons)
    return 0


if __name__ == "__main__":
    sys.exit(main())
