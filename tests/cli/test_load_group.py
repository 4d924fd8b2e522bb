"""The load group and the starts on the command line: what a stranger would type."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.command_line import in_this_process

from trie.storage.run_dir import RunDir

QUICK = ("workload=sample", "seed=3", "html=false", "progress=none", "profile=fast")


def run(folder: Path, *words: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The manifest and the rows of a run, by session and turn."""
    done = in_this_process(folder.parent, *QUICK, *words, f"hydra.run.dir={folder}")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = RunDir.open(folder).records().sort_by([("session_id", "ascending"), ("turn", "ascending")]).to_pylist()
    return json.loads((folder / "manifest.json").read_text()), rows


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("load=poisson", "load.rate=6"),
        ("load=constant", "load.rate=6"),
        ("load=ramp", "load.levels=[1,4]"),
        ("start=stationary",),
    ],
    ids=" ".join,
)
def test_both_clocks_begin_the_same_traces_at_the_same_time(words: tuple[str, ...], tmp_path: Path) -> None:
    """Until a client's lateness adds up: sessions and traces are equal, arrivals to the microsecond."""
    real, virtual = (run(tmp_path / clock, *words, "duration=5", f"clock={clock}")[1] for clock in ("real", "virtual"))
    first = [{row["session_id"]: row for row in reversed(rows)} for rows in (real, virtual)]
    both = sorted(first[0].keys() & first[1].keys())
    assert len(both) >= 0.9 * max(map(len, first))
    for key in ("trace_id", "load_step", "new_prompt_tokens"):
        same = [first[0][session][key] == first[1][session][key] for session in both]
        assert sum(same) >= 0.85 * len(both)
    if "rate" in words[-1]:
        due = [[rows[session]["due_s"] for session in both] for rows in first]
        assert due[0] == pytest.approx(due[1], abs=1e-6)
        assert all(rows[session]["sent_s"] >= rows[session]["due_s"] - 0.002 for rows in first for session in both)


def test_an_open_load_in_virtual_time_counts_its_arrivals(tmp_path: Path) -> None:
    manifest, rows = run(tmp_path / "run", "load=constant", "load.rate=2", "clock=virtual", "duration=20")
    assert manifest["end"]["traces_due"] == 40
    assert [row["due_s"] for row in rows if not row["turn"]][:3] == [0.0, 0.5, 1.0]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["load"]["waited_share"] == 0.0
    assert summary["concurrency"]["configured"] == 1000


def test_a_start_without_slots_that_begin_at_once_is_refused(tmp_path: Path) -> None:
    done = in_this_process(tmp_path, *QUICK, "load=poisson", "start=stationary", f"hydra.run.dir={tmp_path / 'run'}")
    assert done.returncode == 1
    assert "start=stationary: must be together with load=poisson" in done.stderr
