"""A sweep's files: the long table with its types, and the page, whatever became of the cells."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from helpers.rows import planned_row
from helpers.run_directories import written_run

from trie.metrics.evaluate_run import summarized
from trie.storage import sweep_dir
from trie.sweep.page import write


def cell(sweep: Path, concurrency: int, *, duration: float = 60.0, **settings: Any) -> Path:
    """A cell of one trace: 5 of 5 tokens a second after the first second of two."""
    path = sweep / f"w-c{concurrency}-{duration:g}-{settings.get('repeat', 1)}"
    times = {"queued_s": 0.0, "sent_s": 0.0, "first_token_s": 0.5}
    rows = [planned_row(number, end_s=1.0 + number, **times) for number in range(2)]
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
        cell(tmp_path, number)
    write(tmp_path, sweep_dir.find(tmp_path))
    html = (tmp_path / "sweep.html").read_text()
    assert "w, knee 8" in html
    assert 'href="w-c8-60-1/summary.json"' in html
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]
