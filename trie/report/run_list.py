"""The runs and sweeps below a folder, newest first, each with its verdict and the numbers that are looked for first."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trie.errors import RunDirError
from trie.metrics.first_numbers import POPULATION, FirstNumber, first_numbers
from trie.metrics.shown_numbers import CUT_OFF_SHARE, MARK
from trie.metrics.summary import Summary
from trie.report.number_format import MISSING, fine
from trie.storage import sweep_dir
from trie.storage.manifest import Manifest
from trie.storage.run_dir import LIVE, MANIFEST
from trie.storage.run_lock import goes_on
from trie.storage.sweep_dir import Cell, Status, at

VALID, INVALID, RUNNING = "VALID", "INVALID", "running"
WHOLE = "~"  # at an estimate for the whole workload
WITH_CUT_OFF = f"with what was cut off or failed counted in: more than {CUT_OFF_SHARE:.0%} was"


@dataclass(frozen=True)
class Listed:
    """One run or sweep."""

    path: Path
    verdict: str  # VALID, INVALID, running, unfinished, damaged, failed; of a sweep how many of its cells are done
    started: str  # ISO 8601, UTC; empty where it is not known
    workload: str = ""
    model: str = ""
    concurrency: int | None = None
    duration_s: float | None = None
    numbers: Sequence[FirstNumber] = ()  # the six; none of a sweep
    cells: int | None = None  # of a sweep

    @property
    def is_sweep(self) -> bool:
        return self.cells is not None

    @property
    def load(self) -> str:
        """How hard, in a word."""
        return f"{self.cells} cells" if self.is_sweep else f"c{self.concurrency}" if self.concurrency else ""

    @property
    def texts(self) -> list[str]:
        """The six as people read them, without the units of their columns."""
        return [text_of(number) for number in self.numbers] or [MISSING] * len(columns())

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        facts = {
            "directory": str(self.path),
            "kind": "sweep" if self.is_sweep else "run",
            "verdict": self.verdict,
            "started": self.started or None,
            "workload": self.workload,
            "model": self.model,
            "concurrency": self.concurrency,
            "duration_s": self.duration_s,
            "cells": self.cells,
        }
        return {**facts, "numbers": [_number(number) for number in self.numbers]}


def columns() -> list[FirstNumber]:
    """The six without values: what the columns of a list are called."""
    return first_numbers({})


def text_of(number: FirstNumber) -> str:
    """A number as people read it, marked where it is an estimate."""
    if number.value is None:
        return MISSING
    mark = WHOLE if number.of == POPULATION else MARK if number.of else ""
    return f"{fine(number.value)}{mark}{'/GPU' if number.unit.endswith('per GPU') else ''}"


def notes(entries: Iterable[Listed]) -> list[str]:
    """What the marks mean that these entries have."""
    marks = {WHOLE: f"{WHOLE} {POPULATION}, estimated", MARK: f"{MARK} {WITH_CUT_OFF}"}
    texts = [text for entry in entries for text in entry.texts]
    return [note for mark, note in marks.items() if any(mark in text for text in texts)]


def _number(number: FirstNumber) -> dict[str, Any]:
    """Plain JSON values, in the unit of `unit`."""
    names = ("name", "unit", "value", "low", "high", "n", "of")
    return {"key": number.number.key, **{name: getattr(number, name) for name in names}}


def runs_below(folder: Path) -> list[Listed]:
    """Every run and sweep below a folder, newest first; of a sweep's own folder its cells.

    Raises:
        RunDirError: when there is no such folder.
    """
    if not folder.is_dir():
        raise RunDirError(f"{folder}: no such directory")
    return sorted(map(listed, paths_below(folder)), key=lambda entry: entry.started, reverse=True)


def latest(folders: list[Path]) -> Path:
    """The run or sweep below these folders that began last.

    Raises:
        RunDirError: when there is none.
    """
    entries = [entry for folder in folders if folder.is_dir() for entry in runs_below(folder)]
    if not entries:
        where = " or ".join(f"{folder}/" for folder in folders)
        raise RunDirError(f"{where}: no run there; give the directory of a run or a sweep")
    return max(entries, key=lambda entry: entry.started).path


def paths_below(folder: Path) -> Iterator[Path]:
    """The directories of runs and sweeps, in no order; what lies inside of a run is its own."""
    for place, names, files in os.walk(folder):
        path = Path(place)
        sweep = path != folder and sweep_dir.HYDRA_SWEEP in files
        if MANIFEST in files or (sweep and sweep_dir.is_sweep(path)):
            yield path
            names.clear()
        names[:] = [name for name in names if not name.startswith(".")]


def listed(path: Path) -> Listed:
    """One run or sweep as its files tell it."""
    return _sweep(path) if sweep_dir.is_sweep(path) else _run(path)


def _sweep(path: Path) -> Listed:
    try:
        cells = sweep_dir.find(path)
    except RunDirError:  # planned, and nothing measured
        cells = []
    done = sum(cell.status is Status.done for cell in cells)
    running = any(_running(cell) for cell in cells)
    return Listed(
        path,
        f"{done} of {len(cells)} done" + (f", {RUNNING}" if running else ""),
        max((cell.manifest.started.wall_clock for cell in cells if cell.manifest), default=""),
        workload=", ".join(dict.fromkeys(cell.workload for cell in cells)),
        model=", ".join(dict.fromkeys(cell.manifest.server.model for cell in cells if cell.manifest)),
        duration_s=sum(float(cell.config.get("duration") or 0) for cell in cells) or None,
        cells=len(cells),
    )


def _run(path: Path) -> Listed:
    cell = sweep_dir.read(path)
    manifest, running = cell.manifest, _running(cell)
    return Listed(
        path,
        RUNNING if running else _verdict(cell),
        "" if manifest is None else manifest.started.wall_clock,
        workload=cell.workload,
        model="" if manifest is None else manifest.server.model,
        concurrency=cell.concurrency,
        duration_s=_duration_s(manifest),
        numbers=first_numbers(dict(_live(path) if running else cell.summary)),
    )


def of_run(path: Path, manifest: Manifest, summary: Summary) -> Listed:
    """A run whose files were read already."""
    return Listed(
        path,
        VALID if summary.valid else INVALID,
        manifest.started.wall_clock,
        workload=manifest.workload.name,
        model=manifest.server.model,
        concurrency=manifest.settings.concurrency.value,
        duration_s=_duration_s(manifest),
        numbers=first_numbers(summary.to_json()),
    )


def _duration_s(manifest: Manifest | None) -> float | None:
    if manifest is None:
        return None
    return manifest.end.wall_time_s if manifest.end else float(manifest.config.get("duration") or 0) or None


def _running(cell: Cell) -> bool:
    begun = cell.status is Status.unfinished and cell.manifest is not None and cell.manifest.end is None
    return begun and goes_on(cell.path)


def _verdict(cell: Cell) -> str:
    valid = at(cell.summary, "valid")
    return cell.status.name if valid is None else VALID if valid else INVALID


def _live(path: Path) -> dict[str, Any]:
    """The numbers so far of a run that goes on; none where it keeps none."""
    try:
        content = json.loads((path / LIVE).read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
