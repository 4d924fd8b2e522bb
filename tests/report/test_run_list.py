"""`trie ls`, the latest run, and what counts as a run or a sweep."""

from __future__ import annotations

import json
import os
import time
from functools import partial
from pathlib import Path

import pytest
from helpers.command_line import Command, in_this_process
from helpers.manifests import KILLED
from helpers.rows import planned_row
from helpers.run_directories import written_run

from trie.report.run_list import latest, listed, runs_below
from trie.storage import sweep_dir
from trie.storage.run_lock import goes_on, going_on


def began(hour: int) -> dict[str, object]:
    return {"unix_s": 1.0, "wall_clock": f"2026-01-01T{hour:02}:00:00.000+00:00"}


@pytest.fixture
def here(tmp_path: Path) -> Command:
    return partial(in_this_process, tmp_path)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two runs and a sweep of one cell, which began in this order."""
    written_run(tmp_path / "outputs" / "day" / "a", [planned_row(end_s=1.0)], started=began(1))
    written_run(tmp_path / "outputs" / "day" / "b", [planned_row(end_s=1.0)], started=began(2))
    written_run(tmp_path / "multirun" / "m" / "w-c8-1", [planned_row(end_s=1.0)], started=began(3))
    (tmp_path / "multirun" / "m" / "multirun.yaml").touch()
    return tmp_path


def test_runs_and_sweeps_newest_first(runs: Path) -> None:
    entries = runs_below(runs)
    assert [entry.path.name for entry in entries] == ["m", "b", "a"]
    assert [entry.verdict for entry in entries] == ["1 of 1 done", "INVALID", "INVALID"]  # of one trace
    assert [entry.path.name for entry in runs_below(runs / "multirun" / "m")] == ["w-c8-1"]
    assert latest([runs / "outputs"]).name == "b"


def test_the_command_and_its_json(here: Command, runs: Path) -> None:
    shown = here("ls")
    assert shown.stdout.index("multirun/m") < shown.stdout.index("outputs/day/b") < shown.stdout.index("outputs/day/a")
    (newest,) = json.loads(here("ls", "outputs", "-n", "1", "--json").stdout)
    assert (newest["directory"], newest["kind"], newest["concurrency"]) == ("outputs/day/b", "run", 8)
    assert [number["value"] for number in newest["numbers"] if number["key"] == "requests_failed_share"] == [0.0]
    assert here("report", "--no-html").stdout.endswith("multirun/m\n")


def test_a_folder_of_runs_is_no_sweep(here: Command, runs: Path) -> None:
    for name in "ab":
        hydra = runs / "outputs" / "day" / name / ".hydra"
        hydra.mkdir()
        (hydra / "hydra.yaml").write_text("hydra:\n  mode: RUN\n")
    (runs / "outputs" / "day" / "sweep.csv").touch()  # as an older trie left it
    assert not sweep_dir.is_sweep(runs / "outputs" / "day")
    assert here("report", "outputs/day").stderr == (
        "trie: outputs/day: holds no manifest.json; give the directory of a run (trie ls lists those below it)\n"
    )


def test_a_report_on_a_run_that_goes_on_writes_nothing(here: Command, tmp_path: Path) -> None:
    run = written_run(tmp_path / "r", [planned_row(end_s=1.0)], summary=False, end=KILLED).path
    with going_on(run):
        done = here("report", "r")
    assert done.stderr == "trie: r goes on: these are its numbers so far, and nothing is written\n"
    assert "running after 1 of 100 s" in done.stdout
    assert not (run / "summary.json").exists()


def test_a_run_goes_on_while_its_process_holds_it(tmp_path: Path) -> None:
    run = written_run(tmp_path / "r", [planned_row(end_s=1.0)], summary=False, end=KILLED).path
    an_hour_ago = time.time() - 3600
    os.utime(run / "requests", (an_hour_ago, an_hour_ago))
    with going_on(run):
        assert goes_on(run)
        (run / "live.json").write_text('{"requests_failed_share": 0.25}')
        entry = listed(run)
        assert (entry.verdict, entry.texts[-1]) == ("running", "25.00")
    assert listed(run).verdict == "unfinished"
