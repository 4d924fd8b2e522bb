"""The runs of a comparison: each as its files tell it, or several of one side together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from trie.compare import population
from trie.compare.units import Units, units
from trie.metrics.certainty.estimate import Estimate
from trie.metrics.columns import Floats
from trie.metrics.evaluate_run import EvaluatedRun, evaluate, stored_summary
from trie.metrics.metric_names import numbers
from trie.metrics.series import Bins, completion_rate
from trie.metrics.summary import Summary
from trie.storage.manifest import Manifest
from trie.storage.run_dir import REQUESTS, RunDir

COURSE_BINS = 72
Course = tuple[Floats, Floats]  # instants in seconds, and what was measured around each
Numbers = Mapping[str, float | None]  # by key of summary.json


@dataclass(frozen=True, slots=True)
class Run:
    """One side of a comparison: a run, or the first of several with the means of them all."""

    label: str
    path: Path
    manifest: Manifest
    summary: Summary
    numbers: Numbers  # of summary.json, whatever version wrote it, the estimates for the whole workload first
    units: Units | None  # None where its rows are not there
    repeats: tuple[Run, ...] = ()  # all of several; empty for one
    course: Course | None = None  # completion tok/s over the run; None where its rows are not there

    @property
    def runs(self) -> tuple[Run, ...]:
        """Every run of this side."""
        return self.repeats or (self,)

    @property
    def estimates(self) -> Mapping[str, Estimate]:
        """For the whole workload, by key."""
        return population.estimates(self.summary)


def read(label: str, path: Path) -> Run:
    """A run from its files; nothing is written. The numbers are computed from the rows where those are there.

    Raises:
        RunDirError: when there is no run, or it can't be read.
    """
    run = RunDir.open(path)
    if not (path / REQUESTS).is_dir():
        content = run.summary()
        summary = stored_summary(content, path)
        return Run(label, path, run.manifest(), summary, {**_of_workload(summary), **numbers(content)}, None)
    return of_rows(label, path, evaluate(run))


def of_rows(label: str, path: Path, run: EvaluatedRun) -> Run:
    """A run whose rows are there."""
    of_run = {**_of_workload(run.summary), **numbers(run.summary.to_json())}
    return Run(label, path, run.manifest, run.summary, of_run, units(run), course=_course(run))


def _course(run: EvaluatedRun) -> Course:
    bins = Bins.over(run.summary.wall_time_s, most=COURSE_BINS)
    return bins.middles, completion_rate(run.columns, bins)


def _of_workload(summary: Summary) -> Numbers:
    return {key: estimate.value for key, estimate in population.estimates(summary).items()}


def side(label: str, paths: Sequence[Path]) -> Run:
    """The runs of one side.

    Raises:
        RunDirError: when one of them can't be read.
    """
    runs = tuple(read(label, path) for path in paths)
    return runs[0] if len(runs) == 1 else replace(runs[0], numbers=_means(runs), repeats=runs)


def _means(runs: Sequence[Run]) -> Numbers:
    """Of each number that every run has."""
    keys = dict.fromkeys(key for run in runs for key in run.numbers)
    of_keys = {key: [run.numbers.get(key) for run in runs] for key in keys}
    return {
        key: None if None in values else fmean(value for value in values if value is not None)
        for key, values in of_keys.items()
    }
