"""Cells of a search that say nothing of their load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.command_line import in_this_process
from helpers.rows import planned_row
from helpers.run_directories import written_run

from trie.decide.capacity_report import load_of, measured_load
from trie.errors import EndpointError
from trie.storage import sweep_dir
from trie.storage.record import Outcome, RequestRecord


def row(number: int, end_s: float, **fields: Any) -> RequestRecord:
    return planned_row(number, queued_s=0.0, sent_s=end_s - 1.0, first_token_s=end_s - 0.5, end_s=end_s, **fields)


def refused(number: int, end_s: float) -> RequestRecord:
    return row(number, end_s, outcome=Outcome.failed, error_kind="connect", error="Connection refused")


def test_a_server_that_went_away_ends_the_search_and_its_cell_is_measured_again(tmp_path: Path) -> None:
    cell = tmp_path / "w-c8"
    written_run(cell, [row(0, 5.0), refused(1, 6.0), refused(2, 7.0)], concurrency={"value": 8})
    assert load_of(cell, "failed<1%").gone_s == 6.0
    with pytest.raises(EndpointError, match=r"stopped at load 8: from 6\.0 s on nobody listened"):
        measured_load(cell, 8, "failed<1%")
    assert sweep_dir.read(cell).status is sweep_dir.Status.failed  # so that the next search does not take it for done


def test_a_server_that_came_back_may_have_missed_its_limits(tmp_path: Path) -> None:
    written_run(tmp_path / "w-c8", [row(0, 5.0), refused(1, 6.0), row(2, 7.0)], concurrency={"value": 8})
    cell = measured_load(tmp_path / "w-c8", 8, "failed<1%")
    assert cell.gone_s is None
    assert cell.answers == {"": "no"}  # by Wilson's interval of 1 of 3, which begins at 6 %


def test_a_limit_on_what_is_not_measured_ends_the_search_at_its_first_cell(tmp_path: Path) -> None:
    done = in_this_process(
        tmp_path, "-m", "search=capacity", "slo=tpot_s<1@p99", "concurrency=2..64", "clock=virtual", "workload=sample",
        "stream=false", "duration=30", "html=false", "progress=none", "hydra.sweep.dir=found",
    )  # fmt: skip
    assert done.returncode == 1
    assert "slo: 'tpot_s<1@p99': load 2 gave no value" in done.stderr
    assert len(list(tmp_path.glob("found/*/manifest.json"))) == 1
