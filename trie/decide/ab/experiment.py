"""An A/B comparison: blocks of both arms in turn, the same traces and waits in each pair, until it is sure."""

from __future__ import annotations

import logging
import random
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trie.config import ProgressStyle, RunConfig
from trie.decide.ab.differences import COMPARED, Compared
from trie.decide.ab.sequential import Decision, Interval, Rule, looks
from trie.errors import EndpointError
from trie.metrics.evaluate_run import EvaluatedRun, evaluate
from trie.run import execute
from trie.storage.run_dir import RunDir, write_json
from trie.workload.load import load
from trie.workload.trace import Workload

log = logging.getLogger("trie")

RESULT = "ab.json"
# Checks that a short block fails by its nature, and that say nothing of a pair.
OF_SHORT_RUNS = frozenset({"something_completed", "enough_completed", "little_censoring"})
READY_S = 600.0  # for a server that a command has just started


@dataclass(frozen=True, slots=True)
class Arm:
    """One of the two sides."""

    name: str  # a or b
    config: RunConfig
    before: str | None = None  # a command of the user's before each block, for the shell; never written down
    api_key: str | None = field(default=None, repr=False)  # of this arm's server alone


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often."""

    rule: Rule
    block_s: float
    metric: str = COMPARED[0].key  # on which it is decided
    seed: int = 0
    same_traces: bool = True  # in both blocks of a pair; False: each block draws its own


@dataclass(slots=True)
class Pair:
    """Two blocks of the same traces."""

    number: int  # from 1
    first: str  # the arm that came first
    differences: dict[str, float | None]
    doubts: list[str] = field(default_factory=list)  # why a block can't be believed


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of one number."""

    of: Compared
    interval: Interval | None
    decision: Decision


@dataclass(slots=True)
class Result:
    """An A/B comparison as far as it went."""

    plan: Plan
    directory: Path
    pairs: list[Pair]
    interrupted: bool = False

    @property
    def doubts(self) -> list[str]:
        return [doubt for pair in self.pairs for doubt in pair.doubts]

    @property
    def findings(self) -> list[Finding]:
        return [self._finding(compared) for compared in COMPARED]

    @property
    def main(self) -> Finding:
        """That of the number on which it is decided."""
        return next(finding for finding in self.findings if finding.of.key == self.plan.metric)

    @property
    def decision(self) -> Decision:
        """None is made on blocks that can't be believed, nor between two looks."""
        return "unsure" if self.doubts or self.interrupted else self.main.decision

    @property
    def needs_more(self) -> int | None:
        """How many more pairs it takes; None: more than the plan allows."""
        return self.plan.rule.needs_more(self.differences_of(self.plan.metric))

    def differences_of(self, key: str) -> list[float]:
        """Of the pairs that tell it."""
        values = (pair.differences[key] for pair in self.pairs)
        return [value for value in values if value is not None]

    def _finding(self, compared: Compared) -> Finding:
        rule = self.plan.rule
        interval = rule.interval(self.differences_of(compared.key))
        return Finding(compared, interval, rule.decide(interval, higher_is_better=compared.higher_is_better))


@dataclass(frozen=True, slots=True)
class Experiment:
    """Both arms and the plan; a folder for the blocks."""

    arms: Sequence[Arm]  # a and b
    plan: Plan
    directory: Path

    def results(self) -> Iterator[Result]:
        """Measure pair after pair; yields the result after each, and ends when it is decided or there are no more.

        Raises:
            TrieError: for what the user can mend; what was measured before stays in the folder.
        """
        result = Result(self.plan, self.directory, [])
        ends = set(looks(self.plan.rule.most))
        for number in range(1, self.plan.rule.most + 1):
            order = self.arms if number % 2 else self.arms[::-1]  # A B, B A, A B: a drift of the surroundings falls out
            runs = self._pair_of_blocks(order, number)
            if runs is None:
                result.interrupted = True
                yield result
                return
            result.pairs.append(_pair(number, order[0].name, runs))
            write_json(self.directory / RESULT, to_json(result))
            yield result
            if result.doubts or (number in ends and result.main.decision != "unsure"):
                return

    def _pair_of_blocks(self, order: Sequence[Arm], number: int) -> dict[str, EvaluatedRun] | None:
        """Both blocks of a pair; None where one was interrupted."""
        seed = random.Random(f"{self.plan.seed} {number}").getrandbits(48)
        runs: dict[str, EvaluatedRun] = {}
        for arm in order:
            if arm.before is not None:
                _prepare(arm)
            block = self._block(arm, f"{number:02d}-{arm.name}", seed)
            if block is None:
                return None
            runs[arm.name] = block
        return runs

    def _block(self, arm: Arm, name: str, seed: int) -> EvaluatedRun | None:
        """One block; None for one that was interrupted."""
        config = replace(
            arm.config,
            duration=self.plan.block_s,
            seed=_own_seed(arm, self.arms, seed),
            html=False,
            wait_for_ready=max(arm.config.wait_for_ready, READY_S if arm.before else 0.0),
            progress=ProgressStyle.none,
        )
        order = seed if self.plan.same_traces else seed + 2 * (arm is self.arms[-1]) + 2
        path = self.directory / name
        done = execute(config, path, api_key=arm.api_key, workload=_in_order_of(order, config))
        return None if done.interrupted else evaluate(RunDir.open(path))


def _own_seed(arm: Arm, arms: Sequence[Arm], seed: int) -> int:
    """The same prompts for both, unless one server would find the other block's prompts in its cache."""
    servers = {other.config.endpoint.base_url for other in arms}
    shared = len(servers) == 1 and None not in servers and not arm.config.reset_cache and arm.before is None
    return seed + (arm is arms[-1]) if shared else seed


def _in_order_of(seed: int, config: RunConfig) -> Workload:
    """The workload in an order of the pair's own, so that no two pairs begin with the same traces."""
    workload = load(config.workload)
    traces = list(workload.traces)
    random.Random(seed).shuffle(traces)
    return replace(workload, traces=traces)


def _prepare(arm: Arm) -> None:
    """Run the user's command; what it prints goes to this terminal.

    Raises:
        EndpointError: when it fails.
    """
    assert arm.before is not None
    log.info("%s: running the command before the block", arm.name)
    command = ["/bin/sh", "-c", arm.before]
    done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL)  # noqa: S603 - the user's own command
    if done.returncode:
        raise EndpointError(f"{arm.name}.before: the command ended with exit code {done.returncode}")


def _pair(number: int, first: str, runs: dict[str, EvaluatedRun]) -> Pair:
    a, b = runs["a"], runs["b"]
    doubts = [
        f"block {number:02d}-{name}: {check.line}"
        for name, run in sorted(runs.items())
        for check in run.summary.verdict
        if check.level == "error" and not check.ok and check.id not in OF_SHORT_RUNS
    ]
    return Pair(number, first, {compared.key: compared.difference(a, b) for compared in COMPARED}, doubts)


def to_json(result: Result) -> dict[str, Any]:
    """Everything, as ab.json has it."""
    rule = result.plan.rule
    return {
        "schema_version": 1,
        "decision": result.decision,
        "metric": result.plan.metric,
        "margin": rule.margin,
        "confidence": rule.confidence,
        "block_s": result.plan.block_s,
        "most_pairs": rule.most,
        "seed": result.plan.seed,
        "interrupted": result.interrupted,
        "needs_more_pairs": result.needs_more,
        "doubts": result.doubts,
        "findings": {
            finding.of.key: {
                "decision": finding.decision,
                "value": finding.interval and finding.interval.value,
                "low": finding.interval and finding.interval.low,
                "high": finding.interval and finding.interval.high,
                "pairs": finding.interval.pairs if finding.interval else 0,
            }
            for finding in result.findings
        },
        "pairs": [
            {"number": pair.number, "first": pair.first, "log_ratios": pair.differences, "doubts": pair.doubts}
            for pair in result.pairs
        ],
    }
