"""What is compared with what: runs, several runs of a side, or the cells of sweeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from trie.compare import config_diff
from trie.errors import RunDirError
from trie.storage import sweep_dir
from trie.storage.run_dir import RunDir
from trie.storage.sweep_dir import Cell, Status

ALWAYS = ("workload.name", "concurrency.value", "repeat")  # what tells the cells of a sweep apart, or repeats of one

Side = tuple[str, list[Path]]  # a label, and the runs that stand together under it
Inputs = Mapping[str, Sequence[Path]]  # by label, the baseline first


def split(words: Sequence[str]) -> list[list[Path]]:
    """The sides as typed: a directory, or several with commas between them.

    Raises:
        RunDirError: for a comma without a directory beside it.
    """
    sides = []
    for word in words:
        parts = [word] if "," not in word or Path(word).exists() else word.split(",")
        if not all(parts):
            raise RunDirError(f"{word}: a directory is missing beside a comma; several runs of a side are A1,A2")
        sides.append([Path(part) for part in parts])
    return sides


def aligned(inputs: Inputs, alone: list[str]) -> Iterator[tuple[str, Side, list[Side]]]:
    """Each baseline with those that are to be compared with it; what has no partner is noted in `alone`.

    Raises:
        RunDirError: for a path that is neither a run nor a sweep.
    """
    if not any(sweep_dir.is_sweep(path) for paths in inputs.values() for path in paths):
        (baseline, *candidates) = ((label, list(paths)) for label, paths in inputs.items())
        yield "", baseline, candidates
        return
    cells = {label: [cell for path in paths for cell in _cells(label, path, alone)] for label, paths in inputs.items()}
    keys = _telling(cells)
    by_name = {label: _by_name(of_label, keys) for label, of_label in cells.items()}
    baseline_label, *labels = inputs
    for name, paths in by_name[baseline_label].items():
        partners = [(label, by_name[label][name]) for label in labels if name in by_name[label]]
        alone += [f"{label} has no {name}" for label in labels if name not in by_name[label]]
        if partners:
            yield name, (baseline_label, paths), partners
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
    """The config keys that tell cells apart: workload, concurrency, and what else varies within a sweep."""
    varying: dict[str, None] = dict.fromkeys(ALWAYS)
    for cells in sweeps.values():
        for cell in cells[1:]:
            differing = config_diff.settings(cells[0].config, cell.config)
            varying |= dict.fromkeys(setting.key for setting in differing)
    of_the_workload = {key for key in varying if key.startswith("workload.")} - {"workload.name"}
    return [key for key in varying if key not in of_the_workload and key not in config_diff.NOT_A_CELL]


def _by_name(cells: Sequence[Cell], keys: Sequence[str]) -> dict[str, list[Path]]:
    """The runs of each cell, its repeats in their order."""
    names: dict[str, list[Path]] = {}
    for cell in sorted(cells, key=lambda cell: cell.repeat):
        names.setdefault(_name(cell, keys), []).append(cell.path)
    in_order = dict.fromkeys(_name(cell, keys) for cell in cells)
    return {name: names[name] for name in in_order}


def _name(cell: Cell, keys: Sequence[str]) -> str:
    """A cell as people call it: `agentic c8`, with other settings that vary; its repeats have one name."""
    values = config_diff.flat(cell.config)
    more = [f"{key}={values.get(key)}" for key in keys if key not in ALWAYS]
    return " ".join([cell.workload, f"c{cell.concurrency}", *more])
