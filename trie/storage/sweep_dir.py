"""A sweep's directory: one run directory a cell, and what became of each. Nothing in here raises over a broken cell."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from trie.errors import RunDirError, TrieError
from trie.one_line import one_line
from trie.storage.manifest import FULL_LENGTH, End, Manifest
from trie.storage.run_dir import MANIFEST, REPORT, REQUESTS, SUMMARY, RunDir, write_json
from trie.storage.typed_json import decode

HYDRA_SWEEP = "multirun.yaml"  # what was asked for, there before the first cell
OF_A_SWEEP = ("sweep.parquet", "sweep.csv", "sweep.html")  # its report
HYDRA_CONFIG = Path(".hydra") / "config.yaml"  # what the command line composed, there before anything can fail
FAILURE = "failure.json"  # why a cell came to nothing
LOCK = ".lock"
_OF_A_RUN = (MANIFEST, REQUESTS, SUMMARY, REPORT, FAILURE)


class Status(Enum):
    """What became of a cell; all but `done` are measured again by the next sweep."""

    done = "done"
    failed = "failed"  # an error ended it, or every request failed
    unfinished = "unfinished"  # interrupted, killed, or being measured
    damaged = "damaged"  # its files can't be read, or don't belong together


@dataclass(frozen=True)
class Cell:
    """One cell as its files tell it; `config` and `summary` are JSON values of any version, empty where unknown."""

    path: Path
    status: Status
    why: str = ""  # one line, where the status is not `done`
    config: Mapping[str, Any] = field(default_factory=dict)  # of the run: its manifest's, else what was composed
    manifest: Manifest | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)  # summary.json

    @property
    def workload(self) -> str:
        """As reports call it; the directory's name where nothing else is known."""
        return str(at(self.config, "workload", "name") or self.path.name)

    @property
    def concurrency(self) -> int | None:
        value = at(self.config, "concurrency", "value")
        return value if isinstance(value, int) else None

    @property
    def repeat(self) -> int:
        value = at(self.config, "repeat")
        return value if isinstance(value, int) else 1

    @property
    def sort_key(self) -> tuple[str, int, int, str]:
        return (self.workload, self.concurrency or 0, self.repeat, self.path.name)


def find(sweep: Path) -> list[Cell]:
    """The cells of a sweep, by workload, concurrency and repeat; whatever state they are in.

    Raises:
        RunDirError: when `sweep` is no directory or holds no cell.
    """
    if not sweep.is_dir():
        raise RunDirError(f"{sweep}: no such directory; give the directory of a sweep")
    cells = [read(path) for path in sweep.iterdir() if path.is_dir() and _is_cell(path)]
    if not cells:
        raise RunDirError(f"{sweep}: holds no cell of a sweep; give the directory that `trie -m ...` named")
    return sorted(cells, key=lambda cell: cell.sort_key)


def is_sweep(path: Path) -> bool:
    """Whether a directory is a sweep's: no run's, and no folder of runs that have nothing in common."""
    if not path.is_dir() or (path / MANIFEST).exists():
        return False
    if (path / HYDRA_SWEEP).exists():
        return True
    cells = [cell for cell in path.iterdir() if _is_cell(cell)]
    if any((path / name).exists() for name in OF_A_SWEEP):  # which an older trie wrote into any folder
        return bool(cells) and not any("mode: RUN" in _hydra_settings(cell) for cell in cells)
    return bool(cells) and all("mode: MULTIRUN" in _hydra_settings(cell) for cell in cells)


def _hydra_settings(cell: Path) -> str:
    try:
        return (cell / ".hydra" / "hydra.yaml").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _is_cell(path: Path) -> bool:
    return any((path / name).exists() for name in (*_OF_A_RUN, HYDRA_CONFIG))


def read(path: Path) -> Cell:
    """One cell; files that can't be read make it damaged and are no error."""
    manifest: Manifest | None = None
    summary: dict[str, Any] = {}
    try:
        if (path / MANIFEST).exists():
            manifest = RunDir(path).manifest()
        if (path / SUMMARY).exists():
            summary = RunDir(path).summary()
        status, why = _judged(path, manifest, summary)
    except RunDirError as error:
        status, why = Status.damaged, str(error).removeprefix(f"{path}/")
    except (KeyError, TypeError) as error:
        status, why = Status.damaged, f"its files lack what a run writes: {error}"
    if (reason := _failure(path)) is not None:
        status, why = Status.failed, reason
    if status is Status.damaged:
        summary = {}
    return Cell(path, status, why, _composed(path) if manifest is None else manifest.config, manifest, summary)


@dataclass(frozen=True, slots=True)
class _Outcomes:
    """Of a summary.json what tells how its run went."""

    requests: Mapping[str, int]
    errors: Mapping[str, int]
    warm_up: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """That the run must have."""
        return sum(self.requests.values()) + int(self.warm_up.get("requests") or 0)


def _judged(path: Path, manifest: Manifest | None, summary: Mapping[str, Any]) -> tuple[Status, str]:
    """The status, from files that could be read."""
    if manifest is None:
        if summary or (path / REQUESTS).exists():
            return Status.damaged, f"{MANIFEST} is missing"
        return Status.unfinished, "ended before its first request"
    if (cut := _cut_short(manifest.end, summary)) is not None:
        return Status.unfinished, cut
    outcomes = decode(_Outcomes, summary)
    if outcomes.requests["ok"] > 0:
        return Status.done, ""
    kinds = ", ".join(f"{kind} {number}" for kind, number in outcomes.errors.items())
    return Status.failed, "every request failed" + (f": {kinds}" if kinds else "")


def _cut_short(end: End | None, summary: Mapping[str, Any]) -> str | None:
    """What kept a run from its end, None where it got there."""
    if end is None:
        return "killed, or being measured"
    if end.reason not in FULL_LENGTH:
        return end.reason
    return None if summary else f"ended before its {SUMMARY} was written"


def intact(cell: Cell) -> Cell:
    """The cell, damaged where its rows can't be read or are not those of its summary; reads them all."""
    if cell.status is not Status.done:
        return cell
    try:
        rows = RunDir(cell.path).records().num_rows
    except RunDirError as error:
        return replace(cell, status=Status.damaged, why=str(error).removeprefix(f"{cell.path}/"), summary={})
    counted = decode(_Outcomes, cell.summary).rows
    if rows != counted:
        why = f"{REQUESTS} holds {rows} rows, {SUMMARY} counts {counted}"
        return replace(cell, status=Status.damaged, why=why, summary={})
    return cell


@contextmanager
def failure_noted(path: Path) -> Iterator[None]:
    """Leave a note in a cell of the error that ended it, and let the error go on."""
    with ExitStack() as stack:
        stack.push(partial(_note, path))
        yield


def _note(path: Path, _: object, error: BaseException | None, __: object) -> None:
    if isinstance(error, Exception):  # an interruption is no failure
        text = str(error) if isinstance(error, TrieError) else f"{type(error).__name__}: {error}"
        write_json(path / FAILURE, {"error": one_line(text)})


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep other processes out of a cell's directory; the system lets go of it however this process ends.

    A second sweep would otherwise take a cell that is being measured for one that was left unfinished.

    Raises:
        RunDirError: when another process measures there.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl  # not there on every platform

    with (path / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunDirError(f"{path}: another process is measuring there") from None
        yield


def set_aside(path: Path, word: str = "unfinished") -> Path | None:
    """Make room for a new run in a cell; what it held is kept in a folder `word`-N, and nothing is deleted."""
    left = [path / name for name in _OF_A_RUN if (path / name).exists()]
    if not left:
        return None
    number = next(n for n in count(1) if not (path / f"{word}-{n}").exists())
    aside = path / f"{word}-{number}"
    aside.mkdir()
    for item in left:
        item.rename(aside / item.name)
    return aside


def _composed(path: Path) -> dict[str, Any]:
    """The config that the command line composed; empty where there is none to read."""
    import yaml  # type: ignore[import-untyped]  # only where there is no manifest to ask

    try:
        config = yaml.safe_load((path / HYDRA_CONFIG).read_bytes())
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return config if isinstance(config, dict) else {}


def _failure(path: Path) -> str | None:
    """Why a cell came to nothing; None where it did not."""
    try:
        note = json.loads((path / FAILURE).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return f"{FAILURE} can't be read"
    return str(note.get("error", "no reason given")) if isinstance(note, dict) else "no reason given"


def at(content: Any, *keys: str) -> Any:
    """A value in nested JSON objects, None where there is none."""
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content
