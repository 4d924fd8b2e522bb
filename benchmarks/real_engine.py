"""What short runs say of a real engine: four of them beside a long one, A/A, and A/B with an option that costs speed.

    TRIE_DATASET_CACHE=/data python benchmarks/real_engine.py --folder real
    python benchmarks/real_engine.py --folder real --parts ab --option "--max-num-seqs 2"

vLLM with a tiny model on this machine's CPU (tools/engines), on one core with one thread; trie has the others. Both
run at real-time priority where the system allows it. 1,500 agentic traces with lengths and waits divided by ten,
concurrency 6, each run in an order of its own, the cache emptied before it. Runs are kept in --folder, so that the
same command goes on where it was stopped. It takes an hour and a half, two cores, and what tools/engines needs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import random
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from harness import machine, table

sys.path.append(str(Path(__file__).parents[1] / "tools" / "engines"))

from engine_setup import model as tiny
from engine_setup.model import TinyModel
from engine_setup.vllm import vllm

from trie.cli.compose import composed
from trie.cli.main import run as trie
from trie.compare.comparison import compare
from trie.compare.differences import Settings
from trie.config.shipped_groups import workload_named_or_at
from trie.run import INTERRUPTED, execute
from trie.workload import jsonl
from trie.workload.load import load
from trie.workload.trace import Trace, Workload

AGENTIC = "agentic" if os.environ.get("TRIE_DATASET_CACHE") else "agentic-synthetic"
TRACES, SHORTER, CONCURRENCY = 1_500, 10, 6
ENGINE_CORE = 0
ENGINE_PRIORITY, CLIENT_PRIORITY = 10, 20  # of real time; a nice value says nothing to processes of other sessions
RATE, P99 = "completion_tok_s", "p99"
COMPARED = (
    "certainty.population.completion_tok_s",
    "certainty.population.latency_s.p50",
    "certainty.population.latency_s.p90",
    "certainty.population.ttft_s.p50",
    "workload.completion_tok_s.steady_state",
    "per_trace.latency_s.mean",
    "per_trace.decode_tps.mean",
    "per_request.tpot_s.p50",
    "per_request.ttft_s.p50",
)


@dataclass(frozen=True)
class Lab:
    """The runs that are kept in a folder."""

    folder: Path
    short_s: float
    long_s: float
    block_s: float
    option: str
    paced: bool

    @cached_property
    def workload_file(self) -> Path:
        """The traces that are replayed, written once."""
        path = self.folder / "traces.jsonl"
        if not path.exists():
            traces = islice(load(workload_named_or_at(AGENTIC)).traces, TRACES)
            path.write_text("".join(json.dumps(jsonl.row(shorter(trace))) + "\n" for trace in traces))
        return path

    @cached_property
    def workload(self) -> Workload:
        return load(workload_named_or_at(str(self.workload_file)))

    def settings(self) -> list[str]:
        """Of every run."""
        tokenizer = tiny.folder(TinyModel())
        return [
            f"workload={self.workload_file}",
            f"concurrency={CONCURRENCY}",
            f"tokenizer_model={tokenizer}",
            "progress=none",
            "html=false",
        ]

    def run(self, url: str, name: str, seed: int, duration_s: float) -> None:
        """One run, unless it is there."""
        if self.done(name):
            return
        shutil.rmtree(self.folder / name, ignore_errors=True)  # of a run that was interrupted
        overrides = [*self.settings(), "endpoint=vllm", f"endpoint.base_url={url}", "reset_cache=true"]
        config = composed([*overrides, f"duration={duration_s:g}", f"seed={seed}"]).run()
        traces = random.Random(seed).sample(list(self.workload.traces), len(self.workload.traces))
        if execute(config, self.folder / name, workload=replace(self.workload, traces=traces)).interrupted:
            raise KeyboardInterrupt

    def done(self, name: str) -> bool:
        """Whether a run went to its end."""
        directory = self.folder / name
        if not (directory / "summary.json").is_file():
            return False
        end = json.loads((directory / "manifest.json").read_text())["end"]
        return bool(end["reason"] != INTERRUPTED)

    def summary(self, name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / name / "summary.json").read_text())
        return content


def shorter(trace: Trace) -> Trace:
    def tokens(lengths: Sequence[int]) -> tuple[int, ...]:
        return tuple(max(length // SHORTER, 1) for length in lengths)

    return replace(
        trace,
        input_prompt_length=max(trace.input_prompt_length // SHORTER, 1),
        assistant_response_length=tokens(trace.assistant_response_length),
        tool_call_output_length=tokens(trace.tool_call_output_length),
        tool_call_latency=tuple(wait / SHORTER for wait in trace.tool_call_latency),
        final_assistant_response_length=max(trace.final_assistant_response_length // SHORTER, 1),
    )


@contextlib.contextmanager
def engines(lab: Lab, *flags: str) -> Iterator[list[str]]:
    """Servers with these flags, their models all on one core; what this process does meanwhile is on the others."""
    cores = os.sched_getaffinity(0)
    os.environ |= {"OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": str(ENGINE_CORE)}
    if lab.paced:
        os.environ["PYTHONPATH"] = str(plugin(lab.folder / "plugin"))
    with contextlib.ExitStack() as stack:
        stack.callback(place, cores, os.SCHED_OTHER, 0)
        place(cores, os.SCHED_RR, ENGINE_PRIORITY)
        urls = [stack.enter_context(vllm(*of_one.split())).url for of_one in flags]
        place(cores - {ENGINE_CORE}, os.SCHED_RR, CLIENT_PRIORITY)
        yield urls


def plugin(folder: Path) -> Path:
    """paced_steps.py as vLLM finds it: beside the description of a distribution."""
    about = folder / "paced_steps-1.dist-info"
    about.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).with_name("paced_steps.py"), folder)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: paced_steps\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[vllm.general_plugins]\npaced_steps = paced_steps:register\n")
    return folder


def place(cores: set[int], policy: int, priority: int) -> None:
    """Where and how this process runs, and what it starts from now on."""
    os.sched_setaffinity(0, cores)
    with contextlib.suppress(PermissionError):  # real time is not allowed here: others on the machine disturb the runs
        os.sched_setscheduler(0, policy, os.sched_param(priority))


RUN_HEAD = [
    f"{'run':<24}",
    *(f"{title:<16}" for title in ("steady tok/s", "all traces", "p99 completed", "p99 all traces")),
    *("R2    ", "lag p99 ms", "verdict"),
]
SHORT = ("short-1", "short-2", "short-3", "short-4")
LONG = "long"


def precision(lab: Lab) -> None:
    """Four short runs around a long one."""
    plan = [(name, lab.short_s) for name in SHORT]
    plan.insert(2, (LONG, lab.long_s))
    if not all(lab.done(name) for name, _ in plan):
        with engines(lab, "") as (url,):
            for seed, (name, duration_s) in enumerate(plan):
                lab.run(url, name, seed, duration_s)
    print(f"\n{lab.short_s:g} s four times, and {lab.long_s:g} s; p99 of trace latency in seconds")
    table(RUN_HEAD, [precision_line(lab, name) for name in (*SHORT, LONG)])
    errors(lab)


def precision_line(lab: Lab, name: str) -> list[str]:
    summary = lab.summary(name)
    certainty = summary["certainty"]
    population = certainty["population"]
    p99 = (population["latency_s"] or {}).get(P99)
    failed = [check["id"] for check in summary["verdict"] if not check["ok"]]
    return [
        name,
        shown(certainty["steady_state"].get(RATE), summary["workload"][RATE]["steady_state"]),
        shown(population[RATE]),
        f"{summary['per_trace']['latency_s'][P99]:.1f}",
        shown(p99),
        f"{certainty['model']['r2']:.2f}",
        f"{1e3 * summary['client']['loop_lag_p99_s']:.1f}",
        ", ".join(failed) or "ok",
    ]


def shown(estimate: dict[str, float | None] | None, alone: float | None = None) -> str:
    value = estimate["value"] if estimate else alone
    if value is None:
        return "-"
    low, high = (estimate["low"], estimate["high"]) if estimate else (None, None)
    half = "" if low is None or high is None else f" ±{100 * (high - low) / 2 / value:.1f} %"
    return f"{value:.1f}{half}"


def errors(lab: Lab) -> None:
    """Of each short run against the long one, in percent."""

    def values(name: str) -> list[float]:
        summary = lab.summary(name)
        population = summary["certainty"]["population"]
        of_traces = population["latency_s"][P99]["value"], summary["per_trace"]["latency_s"][P99]
        return [population[RATE]["value"], summary["workload"][RATE]["steady_state"], *of_traces]

    true_rate, _, true_p99, _ = values(LONG)
    print("\nagainst the estimates of the long run, in percent")
    lines = []
    for name in SHORT:
        shares = [
            value / true - 1
            for value, true in zip(values(name), (true_rate, true_rate, true_p99, true_p99), strict=True)
        ]
        lines.append([name, *(f"{100 * share:+.1f}" for share in shares)])
    table(["run     ", "all traces", "steady state", "p99 all traces", "p99 completed"], lines)


def pairs(lab: Lab) -> None:
    """A/A of the short runs, in the order A B B A, and so A/B with the option."""
    print(f"\nA/A: two runs of {lab.short_s:g} s on each side")
    first, second, third, last = (lab.folder / name for name in SHORT)
    comparison((first, last), (second, third))
    names = [f"{slug(lab.option)}-{turn}" for turn in ("1a", "2b", "3b", "4a")]
    if not all(map(lab.done, names)):
        with engines(lab, "", lab.option) as urls:
            for seed, name in enumerate(names, start=10):
                lab.run(urls[name.endswith("b")], name, seed, lab.short_s)
    print(f"\nA/B, B with {lab.option}: two runs of {lab.short_s:g} s on each side")
    first, second, third, last = (lab.folder / name for name in names)
    comparison((first, last), (second, third))


def slug(option: str) -> str:
    return option.strip("-").replace(" ", "-")


def comparison(baseline: Sequence[Path], candidate: Sequence[Path]) -> None:
    logging.disable(logging.WARNING)
    (pair,) = compare((baseline, candidate), Settings()).pairs
    by_key = {difference.of.key: difference for difference in pair.differences}
    lines = []
    for key in COMPARED:
        difference = by_key[key]
        change = "-" if difference.relative is None else f"{100 * difference.relative:+.1f} %"
        low, high = difference.relative_low, difference.relative_high
        bounds = "-" if low is None or high is None else f"{100 * low:+.1f} to {100 * high:+.1f}"
        lines.append([key, change, bounds, difference.verdict or "-"])
    table([f"{'number':<40}", "change  ", "95 % interval   ", "word      "], lines)
    words = [difference.verdict for difference in pair.differences if difference.verdict]
    print(f"of {len(words)} numbers with an interval {sum(word == 'noise' for word in words)} are within noise")


def ab(lab: Lab) -> None:
    """`trie ab` with the same options on both servers, and with the option on one of them."""
    for option in ("", lab.option):
        directory = lab.folder / f"ab-{slug(option) or 'same'}"
        if not (directory / "ab.json").is_file():
            with engines(lab, "", option) as (one, other):
                arms = [f"a.endpoint.base_url={one}", f"b.endpoint.base_url={other}", "endpoint=vllm"]
                plan = [f"block={lab.block_s:g}", "pairs=8", "margin=5%", "reset_cache=true"]
                trie(["ab", *arms, *plan, *lab.settings(), "-o", str(directory)])
        result = json.loads((directory / "ab.json").read_text())
        print(
            f"\ntrie ab, B {'with ' + option if option else 'as A'}: {result['decision']}, {len(result['pairs'])} pairs"
        )
        for key, finding in result["findings"].items():
            bounds = [f"{100 * finding[bound]:+.1f}" for bound in ("low", "high") if finding[bound] is not None]
            print(f"  {key}: {finding['decision']}, {' to '.join(bounds)} %", flush=True)


PARTS = {"precision": precision, "pairs": pairs, "ab": ab}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--option", default="--max-num-seqs 3", help="of B")
    parser.add_argument("--short", type=float, default=120.0, metavar="S", help="length of a short run")
    parser.add_argument("--long", type=float, default=900.0, metavar="S")
    parser.add_argument("--block", type=float, default=60.0, metavar="S", help="of trie ab")
    parser.add_argument("--unpaced", action="store_true", help="steps as fast as this machine makes them")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    print(f"{machine()}; vLLM on core {ENGINE_CORE}")
    lab = Lab(options.folder.resolve(), options.short, options.long, options.block, options.option, not options.unpaced)
    for name in options.parts:
        PARTS[name](lab)


if __name__ == "__main__":
    main()
