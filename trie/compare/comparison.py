"""Runs and sweeps side by side: the differences of each pair, and all that stands beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trie.compare import config_diff
from trie.compare.config_diff import Doubt, Setting
from trie.compare.differences import Difference, Settings, differences, shown
from trie.compare.gates import SLO, Gate, Judged, judge, judge_slo
from trie.compare.intervals import intervals
from trie.compare.matching import aligned
from trie.compare.runs import Run, side
from trie.errors import RunDirError

SCHEMA_VERSION = 1
LABELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Pair:
    """A candidate beside its baseline."""

    baseline: Run
    candidate: Run
    differences: list[Difference]
    settings: list[Setting]
    facts: list[Setting]
    doubts: list[Doubt]
    paired: int | None  # traces that both replayed in the same order; None without intervals
    gates: list[Judged]
    shown: list[Difference]  # to people: without percentiles of too few values

    @property
    def repeated(self) -> bool:
        """Whether how runs of one side differ is known."""
        return any(difference.repeated for difference in self.differences)


@dataclass(frozen=True, slots=True)
class Comparison:
    """All pairs, by the cell of the sweeps that they belong to; the cell of runs has no name."""

    inputs: Mapping[str, Path]  # by label, the baseline first; of several runs as they were typed, with commas
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
            "bootstrap": {name: getattr(self.settings, name) for name in ("resamples", "seed", "confidence")},
            "intervals": {"confidence": self.settings.confidence, "margin": self.settings.margin},
            "cells": [{"cell": name, "pairs": list(map(_pair, pairs))} for name, pairs in self.cells.items()],
            "passed_over": self.alone,
            "failed": bool(self.failed),
        }


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        "baseline": _side(pair.baseline),
        "candidate": _side(pair.candidate),
        "repeated": pair.repeated,
        "paired_traces": pair.paired,
        "warnings": [asdict(doubt) for doubt in pair.doubts],
        "settings": [asdict(setting) for setting in pair.settings],
        "facts": [asdict(fact) for fact in pair.facts],
        "metrics": {difference.of.key: _difference(difference) for difference in pair.differences},
        "gates": [_gate(gate) for gate in pair.gates],
    }


def _side(run: Run) -> dict[str, Any]:
    return {"label": run.label, "path": str(run.path), "runs": [str(one.path) for one in run.runs]}


def _difference(difference: Difference) -> dict[str, Any]:
    numbers = {name: getattr(difference, name) for name in ("baseline", "candidate", "change", "relative")}
    bounds = {name: getattr(difference, name) for name in ("low", "high", "relative_low", "relative_high")}
    seen = {name: getattr(difference, name) for name in ("detectable", "relative_detectable", "speaks_for")}
    described = {name: getattr(difference.of, name) for name in ("label", "statistic", "unit", "better")}
    return {**described, **numbers, **bounds, **seen, "verdict": difference.verdict}


def _gate(judged: Judged) -> dict[str, Any]:
    return {
        "fail_if": judged.gate.text,
        "key": judged.key,
        "found": judged.value,
        "failed": judged.failed,
        "certain": judged.certain,
        "beyond_noise": judged.beyond_noise,
    }


def compare(
    sides: Sequence[Path | Sequence[Path]],
    settings: Settings,
    gates: Sequence[Gate] = (),
    labels: Sequence[str] = LABELS,
) -> Comparison:  # fmt: skip
    """Everything about the runs or sweeps in `sides`, the first of which is the baseline; a side may be several.

    Raises:
        RunDirError: for a path that is neither, or where nothing can be compared.
        ConfigError: for a gate on a metric that there is not.
    """
    lists = [[one] if isinstance(one, Path) else list(one) for one in sides]
    inputs = dict(zip(labels, lists, strict=False))
    alone: list[str] = []
    cells: dict[str, list[Pair]] = {}
    for name, baseline, candidates in aligned(inputs, alone):
        first = side(*baseline)
        cells[name] = [pair(first, side(*candidate), settings, gates) for candidate in candidates]
    typed = {label: Path(",".join(map(str, paths))) for label, paths in inputs.items()}
    if not cells:
        raise RunDirError(
            f"{', '.join(map(str, typed.values()))}: no cell is in the baseline and in another; {'; '.join(alone)}"
        )
    return Comparison(typed, cells, alone, settings)


def pair(baseline: Run, candidate: Run, settings: Settings, gates: Sequence[Gate] = ()) -> Pair:
    """A candidate beside its baseline."""
    manifests = baseline.manifest, candidate.manifest
    numbers = baseline.numbers, candidate.numbers
    same = config_diff.same_workload(*manifests)
    bounds = intervals(baseline, candidate, settings.confidence, same_workload=same)
    compared = differences(numbers, bounds, settings.margin)
    same_run = {run.path.resolve() for run in baseline.runs} == {run.path.resolve() for run in candidate.runs}
    return Pair(
        baseline,
        candidate,
        compared,
        config_diff.settings(baseline.manifest.config, candidate.manifest.config),
        config_diff.facts(*manifests),
        config_diff.of_sides(baseline, candidate),
        bounds.paired,
        [
            judge_slo(gate, [one.met for one in candidate.summary.slo])
            if gate.of == SLO
            else judge(gate, compared, same_run=same_run)
            for gate in gates
        ],
        shown(compared, numbers),
    )
