"""Runs and sweeps side by side: what is compared with what, and the differences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trie.compare import config_diff
from trie.compare.bootstrap import Units, units
from trie.compare.config_diff import Doubt, Setting
from trie.compare.differences import Difference, Settings, differences, draw_traces, shown
from trie.compare.gates import Gate, Judged, judge
from trie.errors import RunDirError
from trie.metrics.evaluate_run import evaluate, stored_summary
from trie.metrics.metric_names import numbers
from trie.metrics.summary import Summary
from trie.storage import sweep_dir
from trie.storage.manifest import Manifest
from trie.storage.run_dir import REQUESTS, RunDir
from trie.storage.sweep_dir import Cell, Status

SCHEMA_VERSION = 1
LABELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ALWAYS = ("workload.name", "concurrency.value", "repeat")  # what tells the cells of a sweep apart
NOT_A_CELL = ("seed",)  # what may vary from cell to cell and tells none apart


@dataclass(frozen=True, slots=True)
class Run:
    """One run as its files tell it; `units` is None where its rows are not there."""

    label: str
    path: Path
    manifest: Manifest
    summary: Summary
    numbers: Mapping[str, float | None]  # of summary.json, whatever version wrote it
    units: Units | None


@dataclass(frozen=True, slots=True)
class Pair:
    """A candidate beside its baseline."""

    baseline: Run
    candidate: Run
    differences: list[Difference]
    settings: list[Setting]
    facts: list[Setting]
    doubts: list[Doubt]
    paired: int | None  # traces drawn for both together; None without intervals
    gates: list[Judged]
    shown: list[Difference]  # to people: without percentiles of too few values


@dataclass(frozen=True, slots=True)
class Comparison:
    """All pairs, by the cell of the sweeps that they belong to; the cell of runs has no name."""

    inputs: Mapping[str, Path]  # by label, the baseline first
    cells: Mapping[str, list[Pair]]
    alone: list[str]  # cells that were passed over, one line each
    settings: Settings

    @property
    def pairs(self) -> list[Pair]:
        return [pair for pairs in self.cells.values() for pair in pairs]

    @property
    def failed(self) -> list[Judged]:
        """The gates that failed."""
        return [gate for pair in self.pairs for gate in pair.gates if gate.failed]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; docs/compare.md has the keys."""
        return {
            "schema_version": SCHEMA_VERSION,
            "inputs": {label: str(path) for label, path in self.inputs.items()},
            "bootstrap": asdict(self.settings),
            "cells": [{"cell": name, "pairs": list(map(_pair, pairs))} for name, pairs in self.cells.items()],
            "passed_over": self.alone,
            "failed": bool(self.failed),
        }


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        "baseline": {"label": pair.baseline.label, "path": str(pair.baseline.path)},
        "candidate": {"label": pair.candidate.label, "path": str(pair.candidate.path)},
        "paired_traces": pair.paired,
        "warnings": [asdict(doubt) for doubt in pair.doubts],
        "settings": [asdict(setting) for setting in pair.settings],
        "facts": [asdict(fact) for fact in pair.facts],
        "metrics": {difference.of.key: _difference(difference) for difference in pair.differences},
        "gates": [_gate(gate) for gate in pair.gates],
    }


def _difference(difference: Difference) -> dict[str, Any]:
    numbers = {name: getattr(difference, name) for name in ("baseline", "candidate", "change", "relative")}
    bounds = {name: getattr(difference, name) for name in ("low", "high", "relative_low", "relative_high")}
    described = {name: getattr(difference.of, name) for name in ("label", "statistic", "unit", "better")}
    return {**described, **numbers, **bounds, "verdict": difference.verdict}


def _gate(judged: Judged) -> dict[str, Any]:
    return {
        "fail_if": judged.gate.text,
        "key": judged.key,
        "found": judged.value,
        "failed": judged.failed,
        "certain": judged.certain,
    }


def compare(paths: Sequence[Path], settings: Settings, gates: Sequence[Gate] = ()) -> Comparison:
    """Everything about the runs or sweeps in `paths`, the first of which is the baseline.

    Raises:
        RunDirError: for a path that is neither, or where nothing can be compared.
        ConfigError: for a gate on a metric that there is not.
    """
    inputs = dict(zip(LABELS, paths, strict=False))
    alone: list[str] = []
    cells: dict[str, list[Pair]] = {}
    for name, baseline, candidates in _aligned(inputs, alone):
        first = read(*baseline)
        cells[name] = [_compared(first, read(*candidate), settings, gates) for candidate in candidates]
    if not cells:
        raise RunDirError(
            f"{', '.join(map(str, paths))}: no cell is in the baseline and in another; {'; '.join(alone)}"
        )
    return Comparison(inputs, cells, alone, settings)


Labelled = tuple[str, Path]


def _aligned(inputs: Mapping[str, Path], alone: list[str]) -> Iterator[tuple[str, Labelled, list[Labelled]]]:
    """Each baseline run with those that are to be compared with it; what has no partner is noted in `alone`."""
    if not any(sweep_dir.is_sweep(path) for path in inputs.values()):
        (baseline, *candidates) = inputs.items()
        yield "", baseline, candidates
        return
    sweeps = {label: _cells(label, path, alone) for label, path in inputs.items()}
    keys = _telling(sweeps)
    by_name = {label: {_name(cell, keys): cell.path for cell in cells} for label, cells in sweeps.items()}
    baseline_label, *labels = inputs
    for name, path in by_name[baseline_label].items():
        partners = [(label, by_name[label][name]) for label in labels if name in by_name[label]]
        alone += [f"{label} has no {name}" for label in labels if name not in by_name[label]]
        if partners:
            yield name, (baseline_label, path), partners
    for label in labels:
        alone += [f"{baseline_label} has no {name}" for name in by_name[label].keys() - by_name[baseline_label].keys()]


def _cells(label: str, path: Path, alone: list[str]) -> list[Cell]:
    """The finished cells of a sweep; a run is a sweep of one."""
    cells = sweep_dir.find(path) if sweep_dir.is_sweep(path) else [sweep_dir.read(RunDir.open(path).path)]
    alone += [f"{label}: {cell.path.name} is {cell.status.value}: {cell.why}" for cell in cells if _broken(cell)]
    return [cell for cell in cells if not _broken(cell)]


def _broken(cell: Cell) -> bool:
    return cell.status is not Status.done


def _telling(sweeps: Mapping[str, list[Cell]]) -> list[str]:
    """The config keys that tell cells apart: workload, concurrency, repeat, and what else varies within a sweep."""
    varying: dict[str, None] = dict.fromkeys(ALWAYS)
    for cells in sweeps.values():
        for cell in cells[1:]:
            differing = config_diff.settings(cells[0].config, cell.config)
            varying |= dict.fromkeys(setting.key for setting in differing)
    of_the_workload = {key for key in varying if key.startswith("workload.")} - {"workload.name"}
    return [key for key in varying if key not in of_the_workload and key not in NOT_A_CELL]


def _name(cell: Cell, keys: Sequence[str]) -> str:
    """A cell as people call it: `agentic c8`, with the repeat and other settings that vary."""
    values = config_diff.flat(cell.config)
    more = [f"{key}={values.get(key)}" for key in keys if key not in ALWAYS]
    repeat = [f"repeat {cell.repeat}"] if cell.repeat > 1 else []
    return " ".join([cell.workload, f"c{cell.concurrency}", *repeat, *more])


def read(label: str, path: Path) -> Run:
    """A run from its files; nothing is written. The numbers are computed from the rows where those are there.

    Raises:
        RunDirError: when there is no run, or it can't be read.
    """
    run = RunDir.open(path)
    if not (path / REQUESTS).is_dir():
        content = run.summary()
        return Run(label, path, run.manifest(), stored_summary(content, path), numbers(content), None)
    finished = evaluate(run)
    return Run(label, path, finished.manifest, finished.summary, numbers(finished.summary.to_json()), units(finished))


def _compared(baseline: Run, candidate: Run, settings: Settings, gates: Sequence[Gate]) -> Pair:
    manifests = baseline.manifest, candidate.manifest
    summaries = baseline.summary, candidate.summary
    drawn = None
    if baseline.units is not None and candidate.units is not None:
        same = config_diff.same_workload(*manifests)
        drawn = draw_traces(baseline.units, candidate.units, settings, same_workload=same)
    compared = differences(
        (baseline.numbers, candidate.numbers),
        (baseline.units, candidate.units),
        drawn,
        settings.confidence,
    )
    return Pair(
        baseline,
        candidate,
        compared,
        config_diff.settings(baseline.manifest.config, candidate.manifest.config),
        config_diff.facts(*manifests),
        config_diff.doubts(manifests, summaries),
        None if drawn is None else drawn.paired,
        [judge(gate, compared) for gate in gates],
        shown(compared, (baseline.numbers, candidate.numbers)),
    )
