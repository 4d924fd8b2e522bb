"""`trie fit` as typed: from runs to a profile that a forecast uses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.command_line import Command

VIRTUAL = ("clock=virtual", "workload=agentic-synthetic", "profile=gpu", "seed=1", "duration=600", "html=false")


def measured(folder: Path, name: str) -> None:
    """Let a run in virtual time pass for one of a server."""
    file = folder / name / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["clock"] = manifest["config"]["clock"] = "real"
    file.write_text(json.dumps(manifest))


@pytest.mark.slow
def test_runs_become_a_profile_which_forecasts(script: Command, tmp_path: Path):
    for concurrency in (1, 2, 4):
        done = script(*VIRTUAL, f"concurrency={concurrency}", f"hydra.run.dir=c{concurrency}")
        assert done.returncode == 0, done.stdout + done.stderr
        measured(tmp_path, f"c{concurrency}")
    done = script("fit", "c1", "c2", "c4", "-o", "conf/profile/mine.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    shown = " ".join(done.stdout.split())
    assert "scheduler=separate" in shown
    assert "batches of 1.0 to 4.0 requests were measured: others are extrapolated" in shown
    profile = (tmp_path / "conf" / "profile" / "mine.yaml").read_text()
    assert "prefill_tok_s: 30000.0" in profile
    done = script("-cd", "conf", *VIRTUAL[:2], "profile=mine", "concurrency=8", "duration=600", "html=false")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "virtual time: the model of profile mine is replayed against" in done.stdout
    shown = " ".join(done.stdout.split())
    assert "the forecast goes beyond what was measured" in shown
    assert "batches of up to 4, in which the cache was never full" in shown


@pytest.mark.slow
def test_json_and_page_have_each_run_measured_and_simulated(script: Command, tmp_path: Path):
    for concurrency in (1, 4):
        script(*VIRTUAL, f"concurrency={concurrency}", f"hydra.run.dir=c{concurrency}")
        measured(tmp_path, f"c{concurrency}")
    done = script("fit", "c1", "c4", "--json", "--scheduler", "separate", "--html", "fit.html")
    found = json.loads(done.stdout)
    assert [run["concurrency"] for run in found["runs"]] == [1, 4]
    assert all(abs(figure["ratio"]) < 0.02 for run in found["runs"] for figure in run["figures"])
    assert found["parameters"]["decode_base_s"]["value"] == pytest.approx(0.012, rel=0.01)
    page = (tmp_path / "fit.html").read_text()
    for figure in found["runs"][1]["figures"]:
        assert f'data-value="{figure["measured"]!r}"' in page
        assert figure["name"] in page


def test_what_can_t_be_fitted_is_refused_in_one_line(script: Command, tmp_path: Path):
    script(*VIRTUAL, "concurrency=1", "hydra.run.dir=c1")
    done = script("fit", "c1")
    assert done.returncode == 1
    assert done.stderr == "trie: c1: is of virtual time; a profile is fitted to what was measured\n"
    measured(tmp_path, "c1")
    done = script("fit", "c1")
    assert done.returncode == 1
    assert done.stderr.startswith("trie: trie fit: batches were between 1.0 and 1.0 requests: what a further request")
    done = script("fit", "c1", "-o", "mine.json")
    assert done.stderr == "trie: --output mine.json: must be the name of a profile and .yaml\n"
