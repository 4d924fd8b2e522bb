"""The wall clock may jump: nothing that is measured knows it."""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import run

import trie

WALL = {
    "time.time",
    "time.time_ns",
    "time.localtime",
    "time.gmtime",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
}
STATED = {"manifest.py": 2, "client.py": 1}  # when a run began, for people; the name of its directory


def wall_clock_reads(source: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in WALL:
            yield ast.unparse(node)
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (f"time.{name.name}" for name in node.names if f"time.{name.name}" in WALL)


def test_no_duration_is_taken_from_the_wall_clock() -> None:
    package = Path(trie.__file__).parent
    found = {file.relative_to(package).as_posix(): len(list(wall_clock_reads(file))) for file in package.rglob("*.py")}
    assert {name: count for name, count in found.items() if count} == STATED


@pytest.mark.slow
def test_clock_that_is_set_back_an_hour_changes_nothing(tmp_path: Path) -> None:
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        pytest.skip("needs libfaketime: apt-get install faketime")
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    fake = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with run(tmp_path, "profile=fast", "duration=3", "concurrency=4", **fake) as turned_back:
        turned_back.started()
        time.sleep(1.0)
        clock.write_text("-3600\n")
        assert turned_back.ended() == (0, "")
    log = (turned_back.directory / "trie.log").read_text().splitlines()
    assert log[-1][:13] < log[0][:13], "the clock of the run was set back"
    # What an hour would do to a duration is seen on any machine, however slow.
    rows = turned_back.rows().records().to_pandas()
    end = turned_back.rows().manifest()["end"]
    assert end["reason"] == "deadline"
    assert 3.0 <= end["wall_time_s"] < 60.0
    assert rows.end_s.between(0.0, 60.0).all()
    assert (rows.end_s >= rows.sent_s).all()
    assert rows.loop_lag_s.max() < 60.0
