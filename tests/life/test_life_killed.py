"""SIGKILL at any moment: what was flushed is read, at most a second is lost, and nothing half is taken for whole."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from helpers.run_process import answered, logging_server, run, write_workload

from trie.cli import main
from trie.errors import RunDirError
from trie.storage.run_dir import RunDir

LOST_AT_MOST_S = 1.0
DURATION_S = 3.0
RANDOM = random.Random(7)
MOMENTS = [RANDOM.uniform(0.0, DURATION_S + 1.5) for _ in range(20)]  # the end and the report included


@pytest.mark.slow
@pytest.mark.parametrize("moment_s", MOMENTS)
def test_killed_run_keeps_all_but_its_last_second(
    moment_s: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "answers.csv"
    settings = ("concurrency=12", f"duration={DURATION_S}", "tokenizer_model=words", write_workload(tmp_path))
    with logging_server(log) as url, run(tmp_path, f"endpoint={url}", *settings) as killed:
        killed.under_way()
        time.sleep(moment_s)
        killed.process.kill()
        at = time.monotonic()
        killed.process.communicate()
        killed.assert_nothing_left()
        answers = answered(log)
    rows = RunDir.open(killed.directory).records().to_pylist()
    found = {(row["session_id"], row["turn"]) for row in rows if row["outcome"] in ("ok", "cancelled")}
    assert len(found) == len(rows)  # none twice, none half
    due = {(session, turn) for _, session, turn, instant in answers if instant < at - LOST_AT_MOST_S}
    assert due <= found
    assert moment_s < LOST_AT_MOST_S or due  # the first answers were on disk when the moment began
    assert main.run(["report", str(killed.directory)]) == 0
    assert ("the end of the run is missing" in capsys.readouterr().out) == (
        RunDir.open(killed.directory).manifest()["end"] is None
    )


@pytest.mark.parametrize("moment_s", [0.5, *(pytest.param(s / 5, marks=pytest.mark.slow) for s in (1, 2, 4, 6, 7))])
def test_killed_in_its_start_it_leaves_nothing_that_looks_like_a_run(moment_s: float, tmp_path: Path) -> None:
    with run(tmp_path, "profile=fast", "duration=60") as killed:
        time.sleep(moment_s)
        killed.process.kill()
        killed.process.communicate()
        killed.assert_nothing_left()
    if (killed.directory / "manifest.json").exists():
        assert RunDir.open(killed.directory).manifest()["end"] is None
        assert RunDir.open(killed.directory).records().num_rows == 0
    else:
        with pytest.raises(RunDirError, match=r"no such directory|holds no manifest\.json"):
            RunDir.open(killed.directory)
