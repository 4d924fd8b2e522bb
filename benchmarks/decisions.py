"""How right decisions are, where the truth is known: the capacity of a simulated server, and A/B comparisons of two.

    python benchmarks/decisions.py              both tables
    python benchmarks/decisions.py capacity     the search against the loads that pass in long runs
    python benchmarks/decisions.py ab           equal servers, and one that is 3 % slower

Everything runs in virtual time. The tables of docs/decisions.md are what this prints.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import math
import statistics
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

from trie.cli.compose import composed
from trie.cli.main import run as trie
from trie.config import ConcurrencyConfig, RunConfig
from trie.decide.ab.experiment import Experiment
from trie.decide.ab.result import Arm, Plan, Result
from trie.decide.ab.sequential import Rule
from trie.decide.capacity_report import load_of
from trie.run import execute

SLOS = ("ttft_s<0.3@p90", "tpot_s<0.025@p99", "latency_s<250@p90")
RANGE = (4, 512)
SHORT_S, LONG_S = 3600.0, 10 * 3600.0
PROFILE = ("clock=virtual", "profile=gpu", "workload=agentic-synthetic")


def settings(*overrides: str) -> RunConfig:
    return composed([*PROFILE, *overrides]).run()


def quietly(arguments: list[str]) -> int:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return trie(arguments)


def capacity() -> None:
    """The search's answer beside the highest load that passes in a run of 10 hours."""
    most = math.ceil(math.log2(RANGE[1] - RANGE[0])) + 2
    print(f"{'objective':<22}{'search':<22}{'cells':>6}{'truth':>8}  (at most {most} cells)")
    for slo in SLOS:
        with tempfile.TemporaryDirectory() as folder:
            quietly([
                "-m", "search=capacity", f"slo={slo}", f"concurrency={RANGE[0]}..{RANGE[1]}", *PROFILE, "html=false",
                f"duration={SHORT_S:g}", f"hydra.sweep.dir={folder}/sweep", "progress=none",
            ])  # fmt: skip
            content = json.loads((Path(folder) / "sweep" / "capacity.json").read_text())
        (search,) = content["searches"].values()
        answer, cells = search["tiers"][""], len(search["loads"])
        truth = true_capacity(slo, answer["passes"] or RANGE[0], answer["fails"] or RANGE[1])
        print(f"{slo:<22}{answer['text']:<22}{cells:>6}{truth:>8}", flush=True)


def true_capacity(slo: str, passes: int, fails: int) -> str:
    """The highest load whose value keeps the limit in a long run, looked for around the search's answer."""
    for load in range(fails + 2, max(passes - 4, 0), -1):
        with tempfile.TemporaryDirectory() as folder:
            base = settings("html=false", "progress=none", f"duration={LONG_S:g}")
            execute(replace(base, concurrency=ConcurrencyConfig(load)), Path(folder) / "run")
            (judged,) = load_of(Path(folder) / "run", slo).judged
        if judged.value is not None and judged.value < judged.limit:
            return str(load)
    return f"< {max(passes - 3, 1)}"


def ab(count: int) -> None:
    """Equal servers and a slower one; blocks of ten minutes with traces of their own, which the noise comes from."""
    base = settings("concurrency=8", "html=false")
    slower = replace(base, sim=replace(base.sim, decode_per_request_s=SLOW_STEP))
    words = ("better", "worse", "equivalent", "unsure")
    print(f"{'B':<12}{'comparisons':>12}{''.join(f'{word:>12}' for word in words)}{'pairs p50':>11}{'predicted':>11}")
    for name, b in (("as A", base), ("slower", slower)):
        results = [compared(base, b, number) for number in range(count)]
        ends = Counter(result.decision for result in results)
        differences = [result.differences_of(result.plan.metric) for result in results]
        deviation = math.sqrt(statistics.mean(statistics.variance(values) for values in differences))
        effect = math.expm1(statistics.mean(statistics.mean(values) for values in differences))
        pairs = statistics.median(len(result.pairs) for result in results)
        shown = "".join(f"{ends[word]:>12}" for word in words)
        predicted = RULE.needs(effect, deviation)
        print(f"{name:<12}{count:>12}{shown}{pairs:>11g}{predicted!s:>11}  {effect:+.1%}", flush=True)


def compared(a: RunConfig, b: RunConfig, number: int) -> Result:
    """One comparison to its end."""
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(RULE, 600.0, seed=number, same_traces=False)
        *_, last = Experiment((Arm("a", a), Arm("b", b)), plan, Path(folder)).results()
    return last


RULE = Rule(margin=0.02, most=20)
SLOW_STEP = 0.0006


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("what", nargs="*", choices=["capacity", "ab"], default=["capacity", "ab"])
    arguments.add_argument("--comparisons", type=int, default=100)
    options = arguments.parse_args()
    logging.disable(logging.WARNING)
    if "capacity" in options.what:
        capacity()
    if "ab" in options.what:
        ab(options.comparisons)
    return 0


if __name__ == "__main__":
    sys.exit(main())
