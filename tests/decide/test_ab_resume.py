"""The same `trie ab` command goes on where it was interrupted, failed or killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from helpers.command_line import environment, in_this_process

BOTH = ("ab", "concurrency=2", "pairs=3", "-o", "out", "progress=none")
VIRTUAL = ("clock=virtual", "workload=sample", "block=60")
# Fails before the second block of A, which comes last in the second pair, until there is a file `go`.
FAILS = "a.before=test -e go || [ $(ls -d out/*-b | wc -l) -lt 2 ]"


def result(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "out" / "ab.json").read_text())
    return content


def seed(block: Path) -> int:
    return int(json.loads((block / "manifest.json").read_text())["seed"])


def test_whole_pairs_are_kept_and_half_a_pair_is_measured_again(tmp_path: Path) -> None:
    failed = in_this_process(tmp_path, *BOTH, *VIRTUAL, FAILS)
    assert failed.returncode == 1
    assert "a.before: the command ended with exit code 1" in failed.stderr
    [kept] = result(tmp_path)["pairs"]
    half = seed(tmp_path / "out" / "02-b")

    changed = in_this_process(tmp_path, *BOTH, *VIRTUAL, FAILS, "a.sim.decode_base_s=0.02", "margin=2%")
    assert changed.returncode == 1
    assert "out: was begun with a.sim.decode_base_s=0.008, not 0.02" in changed.stderr
    other = in_this_process(tmp_path, *BOTH, *VIRTUAL, "a.before=true")
    assert "was begun with a.before=another command" in other.stderr
    assert "test -e go" not in (tmp_path / "out" / "ab.json").read_text()

    (tmp_path / "go").touch()
    resumed = in_this_process(tmp_path, *BOTH, *VIRTUAL, FAILS)
    assert resumed.returncode == 0, resumed.stderr
    content = result(tmp_path)
    assert content["pairs"][0] == kept
    assert [pair["number"] for pair in content["pairs"]] == [1, 2, 3]
    assert seed(tmp_path / "out" / "02-b" / "unfinished-1") == half
    assert seed(tmp_path / "out" / "02-a") == seed(tmp_path / "out" / "02-b") != half  # no prompt is sent twice

    again = in_this_process(tmp_path, *BOTH, *VIRTUAL, FAILS)
    assert again.returncode == 0
    assert again.stdout.splitlines()[-4:] == resumed.stdout.splitlines()[-4:]
    assert result(tmp_path) == content


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").touch()
    done = in_this_process(tmp_path, *BOTH, *VIRTUAL, "a.concurrency=3")
    assert done.returncode == 1
    assert "holds no comparison to resume" in done.stderr
    (tmp_path / "out" / "ab.json").write_text('{"pairs": []}')
    assert "is of another version of trie" in in_this_process(tmp_path, *BOTH, *VIRTUAL, "a.concurrency=3").stderr


@pytest.mark.slow
def test_killed_in_a_block_it_goes_on(tmp_path: Path) -> None:
    real = (*BOTH, "profile=fast", "workload=sample", "block=1", "a.limits.loop_lag_s=1")
    command = [sys.executable, "-m", "trie", *real]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stderr=subprocess.DEVNULL) as killed:
        until = time.monotonic() + 60.0
        while not list(tmp_path.glob("out/02-a/requests/part-*.parquet")) and time.monotonic() < until:
            time.sleep(0.02)
        killed.kill()
    before = result(tmp_path)
    assert len(before["pairs"]) == 1
    assert before["tries_of_next_pair"] == 1
    assert json.loads((tmp_path / "out" / "02-a" / "manifest.json").read_text())["end"] is None
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode in (0, 4, 5), done.stderr  # the machine's noise decides
    content = result(tmp_path)
    assert content["pairs"][0] == before["pairs"][0]
    assert len(content["pairs"]) == 3
    assert (tmp_path / "out" / "02-b" / "unfinished-1" / "summary.json").exists()
    assert (tmp_path / "out" / "02-a" / "unfinished-1" / "manifest.json").exists()
