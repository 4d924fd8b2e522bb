"""A sweep's files: the long table with its types, and the page, whatever became of the cells."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from helpers.cells import cell as rows_cell
from helpers.rows import planned_row
from helpers.run_directories import written_run

from trie.metrics.evaluate_run import summarized
from trie.report.html.document import Verdict
from trie.storage import sweep_dir
from trie.sweep.page import cells_table, page, write


def cell(sweep: Path, concurrency: int, *, duration: float = 60.0, traces: int = 2, **settings: Any) -> Path:
    """Of two traces, and of `traces` at the same times: 5 of 5 tokens a second each after the first second of two."""
    path = sweep / f"w-c{concurrency}-{duration:g}-{settings.get('repeat', 1)}"
    times = {"queued_s": 0.0, "sent_s": 0.0, "first_token_s": 0.5}
    rows = [planned_row(number, end_s=1.0 + number % 2, **times) for number in range(traces)]
    return written_run(path, rows, concurrency={"value": concurrency}, duration=duration, **settings).path


def test_table_has_a_row_a_cell_and_a_column_a_metric(tmp_path: Path) -> None:
    cell(tmp_path, 8, num_gpus=2)
    cell(tmp_path, 16, num_gpus=2)
    (cell(tmp_path, 24, num_gpus=2) / "manifest.json").unlink()
    (tmp_path / "w-c32" / ".hydra").mkdir(parents=True)
    (tmp_path / "w-c32" / ".hydra" / "config.yaml").write_text("workload: {name: w}\nconcurrency: {value: 32}\n")
    (tmp_path / "w-c32" / "failure.json").write_text(json.dumps({"error": "nobody answers"}))
    write(tmp_path, sweep_dir.find(tmp_path))

    table = pq.read_table(tmp_path / "sweep.parquet")
    assert table.column_names[:6] == ["cell", "workload", "variant", "concurrency", "repeat", "status"]
    frame = table.to_pandas()
    by_status = frame.groupby("status").size().to_dict()
    assert by_status == {"done": 2, "damaged": 1, "failed": 1}
    assert list(frame.loc[frame.status == "done", "completion_tok_s_steady_state"]) == [5.0, 5.0]
    assert list(frame.loc[frame.status == "done", "completion_tok_s_steady_state_per_gpu"]) == [2.5, 2.5]
    assert list(frame.loc[frame.status == "done", "ttft_s_p50"]) == [0.5, 0.5]
    failed = frame[frame.status == "failed"].iloc[0]
    assert (failed.concurrency, failed.why) == (32, "nobody answers")
    described = table.schema.field("ttft_s_p50").metadata
    assert (described[b"label"], described[b"unit"]) == (b"TTFT (s) p50", b"s")

    with (tmp_path / "sweep.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == table.column_names
    assert [line["ttft_s_p50"] for line in lines if line["status"] == "failed"] == [""]  # not measured, which is not 0


def test_cells_that_differ_in_more_than_their_place_are_told_apart(tmp_path: Path) -> None:
    cell(tmp_path, 8, seed=1)
    cell(tmp_path, 8, seed=2, repeat=2)
    cell(tmp_path, 8, duration=30.0)
    found = write(tmp_path, sweep_dir.find(tmp_path))
    assert sorted((one["variant"], one["repeat"]) for one in found) == [
        ("duration=30.0", 1),
        ("duration=60.0", 1),
        ("duration=60.0", 2),
    ]


@pytest.mark.parametrize("name", ["manifest.json", "summary.json", "requests/part-000000.parquet"])
def test_report_stands_whatever_is_broken(tmp_path: Path, name: str) -> None:
    cell(tmp_path, 8)
    (cell(tmp_path, 16) / name).write_bytes(b"PAR1 {")
    cells = [summarized(cell) for cell in sweep_dir.find(tmp_path)]
    found = write(tmp_path, cells)
    assert [one["status"] for one in found] == ["done", "damaged"]
    html = (tmp_path / "sweep.html").read_text()
    assert "1 OF 2 CELLS DONE" in html
    assert "w-c16-60-1" in html


def test_report_of_a_sweep_without_one_good_cell(tmp_path: Path) -> None:
    (cell(tmp_path, 8) / "manifest.json").write_text("{}")
    assert [one["status"] for one in write(tmp_path, sweep_dir.find(tmp_path))] == ["damaged"]
    assert "0 OF 1 CELLS DONE" in (tmp_path / "sweep.html").read_text()


def test_page_names_the_knee_and_links_to_the_cells(tmp_path: Path) -> None:
    for number in (8, 16, 24):
        cell(tmp_path, number, traces=30)
    write(tmp_path, sweep_dir.find(tmp_path))
    html = (tmp_path / "sweep.html").read_text()
    assert "<small>knee 8</small>" in html
    assert 'href="w-c8-60-1/summary.json"' in html
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]


def test_the_verdict_has_five_reasons_at_most_the_commonest_first(tmp_path: Path) -> None:
    invalid = [rows_cell(number, 1.0, valid=False, why=f"few traces completed: {number}; more") for number in (8, 16)]
    failed = [rows_cell(number, None, status="failed", why=f"reason {number}") for number in range(20, 26)]
    (verdict,) = [block for block in page(tmp_path, [*invalid, *failed]).blocks if isinstance(block, Verdict)]
    assert [check.name for check in verdict.checks] == [
        "2 cells invalid: few traces completed",
        *(f"w-c{number} failed: reason {number}" for number in range(20, 24)),
        "2 more reasons",
    ]


def test_a_doubtful_point_is_hollow_says_why_and_is_on_no_front(tmp_path: Path) -> None:
    figures = {"request_tpot_s_n": 9, "request_ttft_s_n": 9, "request_ttft_s_p90": 0.1}
    rows = [
        rows_cell(8, 10.0, request_tpot_s_p50=0.02, request_ttft_s_n=99, request_ttft_s_p90=0.2),
        rows_cell(16, 30.0, request_tpot_s_p50=0.01, **figures),  # the best in both, of 9 values
        rows_cell(24, 99.0, request_tpot_s_p50=0.001, valid=False, why="few traces completed: 1; and more"),
    ]
    hero = next(plot for plot in page(tmp_path, rows).plots() if plot.key == "hero")
    points = hero.data["points"]
    assert list(points["x"]) == pytest.approx([50.0, 100.0, 1000.0])  # 1 / TPOT
    assert points["front"] == [False, True, False]
    assert points["doubt"] == ["", "", "invalid: few traces completed: 1"]
    assert hero.choices["x"][1].label == "TTFT p90 of requests (ms)"
    assert list(points["x1"])[:2] == pytest.approx([200.0, 100.0])
    assert points["doubt10"][1] == "Request TTFT p90 of too few values (n = 9)"
    assert points["front10"] == [True, False, False]


def test_what_was_not_measured_is_no_empty_frame(tmp_path: Path) -> None:
    found = page(tmp_path, [rows_cell(8, 10.0, request_ttft_s_p50=0.1), rows_cell(16, 20.0)])
    empty = {plot.key for plot in found.plots() if plot.empty}
    assert "small-per_request-tpot-0" in empty
    assert "small-per_request-ttft-0" not in empty


def test_the_table_of_cells_begins_with_what_is_to_be_believed(tmp_path: Path) -> None:
    table = cells_table(tmp_path, [rows_cell(8, 1.0, traces_completed=40, requests_failed_share=0.25)])
    labels = [column.label for column in table.columns]
    assert labels[:5] == ["Cell", "Valid", "n", "requests failed", "censored"]
    assert labels[-2:] == ["Status", "Why"]
    assert table.rows[0][1:4] == ["yes", 40, 25.0]


def test_a_sweep_has_the_interval_of_its_steady_rate(tmp_path: Path) -> None:
    path = cell(tmp_path, 8, num_gpus=2)
    content = json.loads((path / "summary.json").read_text())
    content["certainty"] = {"steady_state": {"completion_tok_s": {"value": 5.0, "low": 4.0, "high": 6.0}}}
    (path / "summary.json").write_text(json.dumps(content))
    (row,) = write(tmp_path, sweep_dir.find(tmp_path))
    assert (row["completion_tok_s_steady_state_low"], row["completion_tok_s_steady_state_high"]) == (4.0, 6.0)
    assert row["completion_tok_s_steady_state_per_gpu_low"] == 2.0
    assert row["total_prompt_tok_s_steady_state_low"] is None
