"""What a sweep shows of the limits that its cells keep or miss."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from helpers.cells import cell
from helpers.rows import planned_row
from helpers.run_directories import written_run
from rich.console import Console

from trie.storage import sweep_dir
from trie.sweep import objectives
from trie.sweep.markdown import sweep_markdown
from trie.sweep.page import cells_table, page, write
from trie.sweep.terminal import show_headline

LIMITS = {"slo": "tpot_s<0.05@p99"}


def test_the_front_is_of_cells_that_surely_meet_the_limits(tmp_path: Path) -> None:
    rows = [
        cell(8, 10.0, request_tpot_s_p50=0.01, slo_met="yes", **LIMITS),
        cell(16, 20.0, request_tpot_s_p50=0.02, slo_met="unsure", **LIMITS),
        cell(32, 30.0, request_tpot_s_p50=0.03, slo_met="no", slo_why="missed: tpot", **LIMITS),
        cell(64, 40.0, request_tpot_s_p50=0.04),
    ]
    found = page(tmp_path, [{**row, "request_tpot_s_n": 99} for row in rows])
    hero = next(plot for plot in found.plots() if plot.key == "hero")
    assert hero.data["points"]["slo"] == ["met", "not sure", "missed", "not judged"]
    assert hero.data["points"]["front"] == [True, False, False, False]
    assert "tpot_s<0.05@p99" in hero.caption
    table = cells_table(tmp_path, rows)
    assert [column.label for column in table.columns][2] == "SLO"
    assert [getattr(row[2], "value", None) for row in table.rows] == ["met", "not sure", "missed", "not judged"]
    unjudged = next(plot for plot in page(tmp_path, [cell(8, 10.0, request_tpot_s_p50=0.01)]).plots())
    assert "limits" not in unjudged.caption


def test_report_has_the_objectives_of_the_cells(tmp_path: Path) -> None:
    rows = [planned_row(number, queued_s=0.0, sent_s=0.0, first_token_s=0.5, end_s=1.0) for number in range(40)]
    for load, slo in ((8, "failed<20%"), (16, {"fast": "ttft_s<0.1@max", "slow": "failed<20%"})):
        written_run(tmp_path / f"w-c{load}", rows, concurrency={"value": load}, duration=60.0, slo=slo)
    table = write(tmp_path, sweep_dir.find(tmp_path))
    assert [row["slo_met"] for row in table] == ["yes", "no"]
    assert table[1]["slo"] == "fast: ttft_s<0.1@max; slow: failed<20%"
    assert table[1]["slo_why"] == "missed: fast: ttft_s<0.1@max (0.5)"
    assert "| VALID | missed |" in sweep_markdown(tmp_path, table)
    console = Console(width=140, file=io.StringIO())
    show_headline(table, console)
    assert "w: met up to concurrency 8, missed from 16 on" in console.file.getvalue()


def test_what_a_doubtful_run_meets_is_not_sure() -> None:
    check = {"id": "lengths", "level": "error", "ok": False, "check": "", "title": "t", "found": "f", "advice": ""}
    judged = {"expression": "failed<1%", "met": "yes", "tier": ""}
    assert objectives.facts({"slo": [judged], "verdict": [check]})["slo_met"] == "unsure"
    assert objectives.facts({"slo": [judged], "verdict": [{**check, "id": "little_censoring"}]})["slo_met"] == "yes"
    assert objectives.facts({"verdict": [check]}) == {"slo": None, "slo_met": None, "slo_why": None}


@pytest.mark.parametrize(
    ("answers", "text"),
    [
        (
            [(4, "yes"), (8, "unsure"), (16, "no"), (32, "yes")],
            "met up to concurrency 4, not sure at 8, missed from 16 on",
        ),
        ([(4, "no")], "met at no concurrency, missed from 4 on"),
        ([(4, "yes"), (8, None)], "met up to concurrency 4"),
    ],
)
def test_up_to_which_load_the_limits_are_met(answers: list[tuple[int, objectives.Met | None]], text: str) -> None:
    assert objectives.range_text(answers) == text
