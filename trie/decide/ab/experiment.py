"""An A/B comparison: blocks of both arms in turn, the same traces and waits in each pair, until it is sure."""

from __future__ import annotations

import logging
import random
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trie.config import ProgressStyle
from trie.decide.ab import saved
from trie.decide.ab.differences import COMPARED
from trie.decide.ab.result import Arm, Pair, Plan, Result
from trie.errors import EndpointError
from trie.metrics.evaluate_run import EvaluatedRun, evaluate
from trie.run import execute
from trie.storage.run_dir import RunDir
from trie.storage.sweep_dir import held, set_aside
from trie.workload.load import load
from trie.workload.trace import Workload

log = logging.getLogger("trie")

# Checks that a short block fails by its nature, and that say nothing of a pair.
OF_SHORT_RUNS = frozenset({"something_completed", "enough_completed", "little_censoring"})
# Tests of one block for a change in it. Over tens of blocks some of them fail by chance, and what changes from block to
# block is in the spread of the pairs.
OF_STEADINESS = frozenset({"steady_rate", "steady_cache", "level_shift"})
READY_S = 600.0  # for a server that a command has just started


@dataclass(frozen=True, slots=True)
class Experiment:
    """Both arms and the plan; a folder for the blocks."""

    arms: Sequence[Arm]  # a and b
    plan: Plan
    directory: Path  # that exists

    def results(self) -> Iterator[Result]:
        """Measure pair after pair; yields the result after each, and ends when it is decided or there are no more.

        Pairs that ab.json has are kept. A pair of which one block is there is measured again, both blocks: two blocks
        that are hours apart would not let a drift of the surroundings fall out. So is a last pair that can't be
        believed, and the result says so. Where nothing is left to measure, the one result is that of before.

        Raises:
            TrieError: for what the user can mend; what was measured before stays in the folder.
        """
        with held(self.directory):
            workloads = _workloads(self.arms)
            result = saved.restored(self.arms, self.plan, workloads, self.directory)
            if result.pairs or result.tries:
                log.info("%s: %d pairs were measured before", self.directory, len(result.pairs))
            result.drop_doubtful()
            if result.ended:
                yield result
            while not result.ended and not result.interrupted:
                self._measure_pair(result, workloads)
                yield result

    def _measure_pair(self, result: Result, workloads: Mapping[str, Workload]) -> None:
        """Add a pair to the result, or note that it was interrupted."""
        number = len(result.pairs) + 1
        result.tries += 1
        saved.write(result, self.arms, workloads)
        order = self.arms if number % 2 else self.arms[::-1]  # A B, B A, A B: a drift of the surroundings falls out
        runs = self._pair_of_blocks(order, number, self._seed(number, result.tries), workloads)
        if runs is None:
            result.interrupted = True
            return
        result.pairs.append(_pair(number, order[0].name, runs))
        result.tries = 0
        saved.write(result, self.arms, workloads)

    def _seed(self, number: int, tries: int) -> int:
        """Of a pair; another one for each try, since a server may have the prompts of the last in its cache."""
        again = f" {tries}" if tries > 1 else ""
        return random.Random(f"{self.plan.seed} {number}{again}").getrandbits(48)

    def _pair_of_blocks(
        self, order: Sequence[Arm], number: int, seed: int, workloads: Mapping[str, Workload]
    ) -> dict[str, EvaluatedRun] | None:
        """Both blocks of a pair; None where one was interrupted."""
        runs: dict[str, EvaluatedRun] = {}
        for arm in order:
            if arm.before is not None:
                _prepare(arm)
            block = self._block(arm, f"{number:02d}-{arm.name}", seed, workloads[arm.name])
            if block is None:
                return None
            runs[arm.name] = block
        return runs

    def _block(self, arm: Arm, name: str, seed: int, workload: Workload) -> EvaluatedRun | None:
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
        if path.exists() and (aside := set_aside(path)) is not None:
            log.info("%s: the pair was not finished and is measured again; what there was is in %s", name, aside)
        done = execute(config, path, api_key=arm.api_key, workload=_in_order_of(order, workload))
        return None if done.interrupted else evaluate(RunDir.open(path))


def _workloads(arms: Sequence[Arm]) -> dict[str, Workload]:
    """The workload of each arm; read once where both have the same."""
    first = load(arms[0].config.workload)
    return {
        arm.name: first if arm.config.workload == arms[0].config.workload else load(arm.config.workload) for arm in arms
    }


def _own_seed(arm: Arm, arms: Sequence[Arm], seed: int) -> int:
    """The same prompts for both, unless one server would find the other block's prompts in its cache."""
    servers = {other.config.endpoint.base_url for other in arms}
    shared = len(servers) == 1 and None not in servers and not arm.config.reset_cache and arm.before is None
    return seed + (arm is arms[-1]) if shared else seed


def _in_order_of(seed: int, workload: Workload) -> Workload:
    """The workload in an order of the pair's own, so that no two pairs begin with the same traces."""
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
    differences = {compared.key: compared.difference(a, b) for compared in COMPARED}
    return Pair(number, first, differences, [*_failed(number, runs, of_steadiness=False)], [*_failed(number, runs)])


def _failed(number: int, runs: Mapping[str, EvaluatedRun], *, of_steadiness: bool = True) -> Iterator[str]:
    """What the verdicts of both blocks object to: their steadiness, or all else that short runs do not always fail."""
    for name, run in sorted(runs.items()):
        for check in run.summary.verdict:
            counts = check.level == "error" and not check.ok and check.id not in OF_SHORT_RUNS
            if counts and (check.id in OF_STEADINESS) == of_steadiness:
                yield f"block {number:02d}-{name}: {check.line}"
