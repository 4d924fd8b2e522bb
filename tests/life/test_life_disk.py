"""A disk that is full or read-only, a folder that can't be: one line, and what is on disk stays."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.run_process import run
from helpers.small_disk import small_disk

from trie.cli import main
from trie.storage.run_dir import RunDir


@pytest.fixture(name="small_disk")
def mounted_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 150 kB."""
    with small_disk(tmp_path / "disk", "150k") as mounted:
        yield mounted


@pytest.mark.slow
def test_full_disk_stops_the_run_with_one_line_and_keeps_what_is_there(
    small_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run writes about 13 kB each half second here: it is full after some six seconds of 60."""
    directory = small_disk / "run"
    with run(tmp_path, "profile=fast", "duration=60", "concurrency=32", directory=directory) as stopped:
        stopped.started()
        code, said = stopped.ended(40)
    assert code == 1
    assert "No space left on device; those before are kept" in said
    assert len(said.splitlines()) == 1
    assert list((directory / "requests").glob("*.tmp")) == []
    kept = RunDir.open(directory).records()
    assert kept.num_rows > 100
    assert main.run(["report", str(directory)]) == 0
    shown = capsys.readouterr()
    assert "its disk was full" in shown.out
    assert all("can't be written: No space left on device" in line for line in shown.err.splitlines())


def test_disk_that_is_full_from_the_start_is_one_line(small_disk: Path, tmp_path: Path) -> None:
    (small_disk / "others").write_bytes(b"x" * 143_360)
    with run(tmp_path, "profile=fast", "duration=60", directory=small_disk / "run") as stopped:
        code, said = stopped.ended()
    assert (code, said) == (1, "trie: the run's directory can't be written: No space left on device\n")


@pytest.mark.slow
def test_read_only_folder_is_one_line_and_its_runs_can_be_read(
    small_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with run(tmp_path, "profile=fast", "duration=0.5", directory=small_disk / "run") as first:
        assert first.ended() == (0, "")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert main.run([f"hydra.run.dir={small_disk}/other", "duration=1"]) == 1
    assert capsys.readouterr().err == f"trie: {small_disk}/other: can't make the run directory: Read-only file system\n"
    assert main.run([f"hydra.run.dir={small_disk}", "duration=1"]) == 1
    assert capsys.readouterr().err == f"trie: {small_disk}: can't be written to: Read-only file system\n"
    assert main.run(["report", str(small_disk / "run"), "--json"]) == 0
    shown = capsys.readouterr()
    said = shown.err.splitlines()
    assert said[0].endswith("summary.json: can't be written: Read-only file system; shown, and not kept")
    assert all("can't be written: Read-only file system" in line for line in said)
    assert json.loads(shown.out)["requests"]["ok"] > 0


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("hydra.run.dir=/proc/none/x", "run directory"),
        ("-m hydra.sweep.dir=/proc/none/x concurrency=2,3", "directory of the sweep"),
    ],
)
def test_folder_that_cannot_be_is_one_line(line: str, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(line.split()) == 1
    assert capsys.readouterr().err == f"trie: /proc/none/x: can't make the {what}: No such file or directory\n"
