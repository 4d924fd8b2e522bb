"""The page of a run that goes on."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from helpers.manifests import KILLED
from helpers.rows import row
from helpers.run_directories import written_run

from trie import Client
from trie.report.live import interval_s, write_live


def test_the_page_says_that_the_run_goes_on_and_is_loaded_again(tmp_path: Path) -> None:
    run = written_run(tmp_path / "r", [row(sent=3.0)], summary=False, end=KILLED, duration=7200.0).path
    write_live(run, 750.0, 30.0)
    page = (run / "report.html").read_text()
    assert "RUNNING" in page
    assert "0:12:30 of 2:00:00; every number is of the requests that have ended so far" in page
    assert '<meta http-equiv="refresh" content="30">' in page
    numbers = json.loads((run / "live.json").read_text())
    assert (numbers["valid"], numbers["wall_time_s"], numbers["requests"]["ok"]) == (None, 750.0, 1)
    assert not (run / "summary.json").exists()  # which says that a run is whole


def test_runs_over_five_minutes_are_live_unless_told_otherwise() -> None:
    assert [interval_s(None, 300.0), interval_s(None, 301.0), interval_s(0.0, 301.0), interval_s(5.0, 1.0)] == [
        0.0,
        30.0,
        0.0,
        5.0,
    ]


@pytest.mark.slow
async def test_a_run_is_seen_while_it_goes_on_and_its_page_is_whole_at_the_end(tmp_path: Path) -> None:
    """The page is there before the run ends, and at the end it is the one with the verdict."""
    client, run = Client(), tmp_path / "r"
    task = asyncio.create_task(
        client.run("sample", concurrency=2, duration=20, live=0.5, directory=run, progress="none", show=False)
    )
    while not (run / "live.json").exists():
        assert not task.done()
        await asyncio.sleep(0.1)
    assert json.loads((run / "live.json").read_text())["valid"] is None
    await task
    assert "RUNNING" not in (run / "report.html").read_text()
    assert not (run / "live.json").exists()
