"""Cells of a sweep: which are finished, and what becomes of those that are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trie.cli.task import finished, set_aside


def cell(directory: Path, reason: str | None, ok: int | None) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "requests").mkdir()
    (directory / "trie.log").write_text("log")
    end = None if reason is None else {"reason": reason}
    (directory / "manifest.json").write_text(json.dumps({"end": end}))
    if ok is not None:
        (directory / "summary.json").write_text(json.dumps({"requests": {"ok": ok}}))
    return directory


@pytest.mark.parametrize(
    ("reason", "ok", "expected"),
    [
        ("deadline", 5, True),
        ("deadline", 0, False),  # every request failed
        ("interrupted", 5, False),
        (None, 5, False),  # killed, and reported on later
        ("deadline", None, False),  # killed before the summary
    ],
)
def test_only_a_cell_that_ran_to_its_end_is_finished(
    tmp_path: Path, reason: str | None, ok: int | None, expected: bool
) -> None:
    assert finished(cell(tmp_path / "cell", reason, ok)) is expected


def test_unfinished_runs_are_kept_in_the_cell_one_by_one(tmp_path: Path) -> None:
    directory = cell(tmp_path / "cell", "interrupted", 5)
    set_aside(directory)
    cell(directory, None, None)
    set_aside(directory)
    assert sorted(path.name for path in directory.iterdir()) == ["trie.log", "unfinished-1", "unfinished-2"]
    first = {path.name for path in (directory / "unfinished-1").iterdir()}
    assert first == {"manifest.json", "requests", "summary.json"}


def test_nothing_to_set_aside_makes_no_folder(tmp_path: Path) -> None:
    set_aside(tmp_path)
    assert not list(tmp_path.iterdir())
