"""Cells of a sweep as their files tell them: which are done, and what becomes of those that are not."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any

import pytest
from helpers.rows import planned_row
from helpers.run_directories import written_run

from trie.errors import EndpointError, RunDirError
from trie.storage import sweep_dir
from trie.storage.sweep_dir import Status


def cell(path: Path, reason: str | None = "deadline", ok: int | None = 1, **settings: Any) -> Path:
    """A run directory of one row that ended for `reason`; no summary where `ok` is None."""
    written_run(
        path,
        [planned_row(end_s=1.0)],
        summary=False,
        end=None if reason is None else {"reason": reason},
        **settings,
    )
    if ok is not None:
        summary = {"requests": {"ok": ok, "failed": 1 - ok, "cancelled": 0}, "errors": {"http_500": 1}}
        (path / "summary.json").write_text(json.dumps(summary))
    return path


@pytest.mark.parametrize(
    ("reason", "ok", "status", "why"),
    [
        ("deadline", 1, Status.done, ""),
        ("deadline", 0, Status.failed, "every request failed: http_500 1"),
        ("interrupted", 1, Status.unfinished, "interrupted"),
        (None, 1, Status.unfinished, "killed, or being measured"),  # and reported on later
        ("deadline", None, Status.unfinished, "ended before its summary.json was written"),
    ],
)
def test_only_a_cell_that_ran_to_its_end_is_done(
    tmp_path: Path, reason: str | None, ok: int | None, status: Status, why: str
) -> None:
    found = sweep_dir.read(cell(tmp_path / "cell", reason, ok))
    assert (found.status, found.why) == (status, why)
    assert (found.workload, found.concurrency, found.repeat) == ("w", 8, 1)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def lose_the_end(path: Path) -> None:
    path.write_text(json.dumps({"config": {}}))


@pytest.mark.parametrize(
    ("damage", "name", "why"),
    [
        (truncate, "summary.json", "summary.json: can't be read"),
        (truncate, "manifest.json", "manifest.json: can't be read"),
        (lose_the_end, "manifest.json", "manifest.json: lacks what a run writes: 'workload'"),
        (Path.unlink, "manifest.json", "manifest.json is missing"),
        (truncate, "requests/part-000000.parquet", "requests/part-000000.parquet: not a readable Parquet file"),
        (Path.unlink, "requests/part-000000.parquet", "requests holds 0 rows, summary.json counts 1"),
    ],
)
def test_a_damaged_cell_is_no_error(tmp_path: Path, damage: Any, name: str, why: str) -> None:
    path = cell(tmp_path / "cell")
    damage(path / name)
    found = sweep_dir.intact(sweep_dir.read(path))
    assert found.status is Status.damaged
    assert found.why.startswith(why)
    assert found.summary == {}


def test_an_intact_cell_stays_as_it_is(tmp_path: Path) -> None:
    found = sweep_dir.read(cell(tmp_path / "cell"))
    assert sweep_dir.intact(found) is found


def test_cells_are_found_in_the_order_of_workload_concurrency_and_repeat(tmp_path: Path) -> None:
    for name, settings in {"x": {"repeat": 2}, "y": {"repeat": 1}}.items():
        cell(tmp_path / name, **settings)
    composed = tmp_path / "w-c4-0" / ".hydra"
    composed.mkdir(parents=True)
    (composed / "config.yaml").write_text("workload: {name: w}\nconcurrency: {value: 4}\nrepeat: 3\n")
    (tmp_path / "notes").mkdir()
    (tmp_path / "sweep.csv").write_text("")
    found = sweep_dir.find(tmp_path)
    assert [(one.path.name, one.concurrency, one.repeat) for one in found] == [
        ("w-c4-0", 4, 3),
        ("y", 8, 1),
        ("x", 8, 2),
    ]
    assert found[0].status is Status.unfinished
    assert sweep_dir.is_sweep(tmp_path)
    assert not sweep_dir.is_sweep(tmp_path / "x")


@pytest.mark.parametrize("what", ["nothing", "an empty folder"])
def test_no_sweep_is_one_line(tmp_path: Path, what: str) -> None:
    path = tmp_path / what
    if what != "nothing":
        path.mkdir()
    with pytest.raises(RunDirError, match="give the directory"):
        sweep_dir.find(path)


def test_what_a_cell_held_is_kept_in_it_one_by_one(tmp_path: Path) -> None:
    path = cell(tmp_path / "cell", "interrupted")
    (path / "trie.log").write_text("log")
    sweep_dir.set_aside(path)
    (path / "requests").mkdir()
    sweep_dir.set_aside(path)
    (path / "requests").mkdir()
    sweep_dir.set_aside(path, "earlier")
    assert sorted(found.name for found in path.iterdir()) == ["earlier-1", "trie.log", "unfinished-1", "unfinished-2"]
    first = {found.name for found in (path / "unfinished-1").iterdir()}
    assert first == {"manifest.json", "requests", "summary.json"}
    assert sweep_dir.set_aside(path) is None


def test_a_failure_is_noted_and_goes_on(tmp_path: Path) -> None:
    with pytest.raises(EndpointError), sweep_dir.failure_noted(tmp_path):
        raise EndpointError("nobody\nanswers")
    found = sweep_dir.read(tmp_path)
    assert (found.status, found.why) == (Status.failed, "nobody answers")
    sweep_dir.set_aside(tmp_path)
    with pytest.raises(KeyboardInterrupt), sweep_dir.failure_noted(tmp_path):
        raise KeyboardInterrupt
    assert sweep_dir.read(tmp_path).status is Status.unfinished


def test_a_cell_is_held_by_one(tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RunDirError, match="another process is measuring there"), sweep_dir.held(tmp_path):
            pass
