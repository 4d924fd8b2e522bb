"""Runs and sweeps in virtual time as typed: the files of a real run, and the word that no server was measured."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from helpers.command_line import Command

from trie.storage.run_dir import RunDir

VIRTUAL = ("clock=virtual", "workload=agentic-synthetic", "workload.rows=64", "profile=gpu", "seed=1")


def test_two_hours_make_the_directory_of_a_run_and_say_that_no_server_was_measured(script: Command, tmp_path: Path):
    done = script(*VIRTUAL, "concurrency=16", "duration=7200", "hydra.run.dir=r")
    assert done.returncode == 0, done.stdout + done.stderr
    run = tmp_path / "r"
    assert {path.name for path in run.iterdir()} >= {"manifest.json", "summary.json", "requests", "report.html"}
    manifest, summary = (json.loads((run / name).read_text()) for name in ("manifest.json", "summary.json"))
    assert (manifest["clock"], manifest["config"]["clock"], manifest["end"]["wall_time_s"]) == (
        "virtual",
        "virtual",
        7200.0,
    )
    assert manifest["end"]["client"] is None
    [check] = [check for check in summary["verdict"] if check["id"] == "server_measured"]
    assert (check["ok"], check["title"]) == (False, "no server was measured")
    assert "virtual time: the model of profile gpu is replayed against, no server is measured" in done.stdout
    assert "none was measured: virtual time, the embedded endpoint's model with profile gpu" in " ".join(
        done.stdout.split()
    )
    assert "no server was measured" in (run / "report.html").read_text()
    rows = RunDir.open(run).records().to_pandas()
    assert set(rows.outcome) == {"ok", "cancelled"}
    counted = manifest["end"]["engine"]["counters"]["trie_sim:request_success_total"]
    assert counted == (rows.outcome == "ok").sum()
    assert (
        rows.first_token_s.notna().sum()
        == manifest["end"]["engine"]["counters"]["trie_sim:time_to_first_token_seconds_count"]
    )


def test_a_sweep_in_virtual_time_says_so_in_its_table_its_page_and_on_the_terminal(script: Command, tmp_path: Path):
    done = script("-m", *VIRTUAL, "concurrency=2,4", "duration=600", "html=false", "hydra.sweep.dir=s")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "virtual time: no server was measured" in done.stdout
    with (tmp_path / "s" / "sweep.csv").open(newline="") as file:
        assert [(row["concurrency"], row["clock"], row["status"]) for row in csv.DictReader(file)] == [
            ("2", "virtual", "done"),
            ("4", "virtual", "done"),
        ]
    assert "in virtual time: no server was measured" in (tmp_path / "s" / "sweep.html").read_text()


def test_a_comparison_with_a_run_in_virtual_time_says_so(script: Command):
    for name, concurrency in (("a", 2), ("b", 4)):
        done = script(*VIRTUAL, f"concurrency={concurrency}", "duration=600", "html=false", f"hydra.run.dir={name}")
        assert done.returncode == 0, done.stdout + done.stderr
    done = script("compare", "a", "b")
    said = " ".join(done.stdout.split())
    assert "virtual time (no server was measured)" in said
    assert "the baseline and the candidate ran in virtual time: no server was measured" in said


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ("endpoint=http://127.0.0.1:9/v1", "must be real with endpoint=URL: virtual time knows its own model alone"),
        ("endpoint.api=chat", "must be real with endpoint.api=chat: virtual time knows no chat template"),
        ("sim.tokenizer=folder", "must be real with sim.tokenizer: virtual time has no texts"),
    ],
)
def test_what_has_no_answer_in_virtual_time_is_refused_in_one_line(script: Command, typed: str, error: str):
    done = script(*VIRTUAL, typed)
    assert (done.returncode, done.stderr.strip()) == (1, f"trie: clock=virtual: {error}")


def test_a_limit_on_failures_ends_a_virtual_run_with_the_error_of_a_real_one(script: Command):
    done = script(*VIRTUAL, "profile=faulty", "sim.fault_rate=1", "sim.faults=[http_500]", "max_failures=7")
    assert done.returncode == 1
    assert "every request failed: http_status, 7 times" in done.stderr


@pytest.mark.slow
def test_a_forecast_is_laid_behind_the_measured_curves_of_a_sweep(script: Command, tmp_path: Path):
    line = ("-m", "workload=sample", "profile=fast", "html=false", "progress=none", "duration=4")
    assert script(*line, "concurrency=1,2", "hydra.sweep.dir=measured").returncode == 0
    assert script(*line, "concurrency=1,2,4,8", "clock=virtual", "hydra.sweep.dir=ahead").returncode == 0
    done = script("report", "measured", "--forecast", "ahead")
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "measured" / "sweep.html").read_text()
    assert "Dashed: a forecast in virtual time, of which no server was measured." in page
    assert '"forecast"' in page
    assert script("report", "measured").returncode == 0
    assert "Dashed: a forecast" not in (tmp_path / "measured" / "sweep.html").read_text()


@pytest.mark.slow
def test_what_is_no_forecast_is_refused(script: Command):
    line = ("-m", "workload=sample", "profile=fast", "html=false", "progress=none", "duration=2", "concurrency=1,2")
    assert script(*line, "hydra.sweep.dir=measured").returncode == 0
    done = script("report", "measured", "--forecast", "measured")
    assert done.returncode == 1
    assert "is not of virtual time; trie compare has those" in done.stderr
    other = ("-m", "workload=agentic-synthetic", "clock=virtual", "duration=60", "html=false", "concurrency=1,2")
    assert script(*other, "hydra.sweep.dir=other").returncode == 0
    done = script("report", "measured", "--forecast", "other")
    assert done.stderr == "trie: --forecast: one curve of sample is needed, found none\n"
