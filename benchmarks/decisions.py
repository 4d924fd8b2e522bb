"""How right decisions are, where the truth is known: the capacity of a simulated server, and A/B comparisons of two.

    python benchmarks/decisions.py                        both tables
    python benchmarks/decisions.py capacity               the search against long runs
    python benchmarks/decisions.py ab --comparisons 100   equal servers, and one that is 3 % slower

Everything runs in virtual time. The tables of docs/decisions.md are what this prints. What is measured stays in
--folder DIR, and the same command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import io
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
from trie.cli.main import run as trie
from trie.config import RunConfig
from trie.decide.ab.experiment import Experiment
from trie.decide.ab.result import Arm, Plan, Result
from trie.decide.ab.sequential import Rule
from trie.decide.capacity import TOLERANCE
from trie.metrics.metric_names import numbers
from trie.metrics.slo.expression import parse
from trie.run import execute
from trie.storage.run_dir import RunDir, write_json

SERVERS = {
    "gpu": (),
    "a fifth of its cache": ("sim.cache_blocks=20000",),
    "two thirds of its prefill": ("sim.prefill_tok_s=20000",),
}
SEARCHES = (
    ("gpu", "ttft_s<0.5@p95"),
    ("gpu", "request_ttft_s<0.3@p95"),
    ("gpu", "tpot_s<0.03@p99"),
    ("gpu", "tpot_s<0.05@p99"),
    ("gpu", "latency_s<400@p95"),
    ("gpu", "ttft_s<0.5@p95, tpot_s<0.025@p99, failed<1%"),
    ("a fifth of its cache", "ttft_s<1@p95"),
    ("a fifth of its cache", "latency_s<600@p95"),
    ("two thirds of its prefill", "ttft_s<1@p95"),
    ("two thirds of its prefill", "tpot_s<0.02@p99"),
    ("two thirds of its prefill", "latency_s<700@p95"),
)
LOW, HIGH = 4, 512
SHORT_S, LONG_S = 3600.0, 10 * 3600.0
PROFILE = ("clock=virtual", "profile=gpu", "workload=agentic-synthetic", "html=false", "progress=none")


def settings(*overrides: str) -> RunConfig:
    return composed([*PROFILE, *overrides]).run()


def quietly(arguments: list[str]) -> None:
    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        code = trie(arguments)
    if code:
        sys.exit(f"trie {' '.join(arguments)}: exit code {code}: {errors.getvalue()[-500:]}")


def capacity(folder: Path) -> None:
    """Each search's answer beside the highest load that keeps the limits in a run of ten hours."""
    most = math.ceil(math.log2(HIGH - LOW)) + 2
    print(f"from {LOW} to {HIGH}; log2 of the loads + 2 is {most} cells")
    print("| server | objective | answer | truth | cells | by doubling and halving | hours |")
    print("| --- | --- | --: | --: | --: | --: | --: |")
    for number, (server, slo) in enumerate(SEARCHES):
        sweep = folder / f"search-{number:02d}"
        if not (sweep / "capacity.json").exists():
            quietly([
                "-m", "search=capacity", f"slo='{slo}'", f"concurrency={LOW}..{HIGH}", *PROFILE, *SERVERS[server],
                f"duration={SHORT_S:g}", "seed=1", f"hydra.sweep.dir={sweep}",
            ])  # fmt: skip
        (search,) = json.loads((sweep / "capacity.json").read_text())["searches"].values()
        answer, cells = search["tiers"][""], search["loads"]
        hours = sum(simulated_s(sweep / cell["cell"]) for cell in cells) / 3600
        truth = true_capacity(Truth(server, folder), slo, answer["passes"] or LOW - 1, answer["fails"] or HIGH + 1)
        doubling = cells_by_doubling(truth)
        print(
            f"| {server} | {slo} | {answer['text']} | {truth} | {len(cells)} | {doubling} | {hours:.1f} |", flush=True
        )


def simulated_s(cell: Path) -> float:
    end = RunDir.open(cell).manifest().end
    return 0.0 if end is None else end.wall_time_s


@dataclass(frozen=True, slots=True)
class Truth:
    """Long runs of a server, each made once."""

    server: str
    folder: Path

    def keeps(self, load: int, slo: str) -> bool:
        """Whether the plain numbers of a long run are within all limits, without intervals and estimates."""
        values = self._numbers(load)
        return all((value := values[objective.path]) is not None and objective.meets(value) for objective in parse(slo))

    def _numbers(self, load: int) -> dict[str, float | None]:
        path = self.folder / f"{self.server.replace(' ', '-')}-{load}.json"
        if not path.exists():
            base = settings(*SERVERS[self.server], f"duration={LONG_S:g}", "seed=2", f"concurrency={load}")
            with tempfile.TemporaryDirectory() as run:
                write_json(path, numbers(execute(base, Path(run) / "run").summary.to_json()))
        content: dict[str, float | None] = json.loads(path.read_text())
        return content


def true_capacity(truth: Truth, slo: str, passes: int, fails: int) -> int:
    """The highest load that keeps the limits: near the answer, further away where that is wrong, then halved."""
    step = 1
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
    base = settings("concurrency=8", "workload.rows=1024")  # of which a block replays about forty
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
            done = execute(replace(config, duration=2 * LONG_S, seed=1), Path(run) / "run")
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
