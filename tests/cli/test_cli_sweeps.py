"""Sweeps as typed: plan, order, repeats and seeds, what is redone and what is not, interruption, the report."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.command_line import Command, Endpoint, Finished, environment

FAST = ("duration=0.5", "tokenizer_model=words", "progress=none", "prompts.pool_tokens=16384")


@pytest.fixture
def line(endpoint: Endpoint, workload_file: Path) -> tuple[str, ...]:
    """Cells of half a second on an endpoint that answers at once, in the folder `s`."""
    return ("-m", f"workload=./{workload_file.name}", f"endpoint={endpoint.url}", "hydra.sweep.dir=s", *FAST)


def table(sweep: Path) -> list[dict[str, str]]:
    with (sweep / "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def statuses(sweep: Path) -> dict[str, str]:
    """Of each cell by its name without the fingerprint."""
    return {re.sub(r"-\w{8}", "", row["cell"], count=1): row["status"] for row in table(sweep)}


@pytest.mark.slow
def test_plan_of_the_full_sweep_comes_from_one_command(script: Command, tmp_path: Path) -> None:
    done = script("sweep=full", "endpoint=http://127.0.0.1:9/v1", "model=M", "num_gpus=4", "plan=true")
    assert (done.returncode, done.stderr) == (0, "")
    assert "multirun/127.0.0.1-9-v1-M" in done.stdout
    assert "18 cells, 36 h of replay in total" in done.stdout
    rows = re.findall(r"^│ (\w+) +((?:│ +2 h ){6})│$", done.stdout, re.MULTILINE)
    assert [name for name, _ in rows] == ["agentic", "qa", "office"]
    assert not (tmp_path / "multirun").exists()


def test_a_profile_says_what_each_cell_is_expected_to_give(script: Command, tmp_path: Path) -> None:
    line = (
        "-m",
        "endpoint=http://127.0.0.1:9/v1",
        "model=M",
        "concurrency=2,4",
        "duration=60",
        "repeats=2",
        "plan=true",
    )
    done = script(*line, "profile=slow", "plan_json=plan.json")
    assert (done.returncode, done.stderr) == (0, "")
    cells = json.loads((tmp_path / "plan.json").read_text())["cells"]
    assert [cell["forecast"]["profile"] for cell in cells] == ["slow"] * 4
    completed = {cell["concurrency"]: cell["forecast"]["traces_completed"] for cell in cells}
    for concurrency, traces in completed.items():
        assert re.search(rf"^│ ?sample +│ +{concurrency} ?│[^│]+│ +{traces} ?│", done.stdout, re.MULTILINE)
    assert "profile slow in virtual time, no server was measured" in " ".join(done.stdout.split())


@pytest.mark.slow
def test_the_full_sweep_as_typed_is_workload_major(script: Command) -> None:
    done = script("-m", "workload=agentic,qa,office", "concurrency=8,16,24,32,40,48", "plan=true")
    assert "18 cells, 1 h 30 min of replay in total" in done.stdout


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (("-m", "concurrency=1,2", "duration=-1"), "duration=-1.0: must be above 0 (seconds)"),
        (("-m", "concurrency=1,2", "repeats=0"), "repeats=0: must be 1 or more"),
        (("-m", "concurrency=1,2", "repeats=1,2"), "repeats=1,2: a sweep takes one value of repeats"),
        (
            ("-m", "repeat=1,2", "repeats=2"),
            "repeat=1,2: repeats=2 numbers the repeats; leave out one of the two",
        ),
        (("-m", "concurrency=1,2", "order=random"), "order"),
        (("-m", "concurrency=1,1"), "several cells of the sweep are the same"),
        (
            ("-m", "concurrency=1,2", "hydra.sweep.subdir=x"),
            "x: several cells of the sweep are the same, or share this",
        ),
        (("-m", "concurrency=1,2", "hydra.sweep.dir=/proc/x"), "/proc/x: can't make the directory of the sweep"),
        (("plan=true",), "plan=true: shows the plan of a sweep (-m or sweep=...); --cfg job shows a run"),
        (
            ("reset_cache=true", "endpoint=llamacpp"),  # whose dialect has no route; that of a URL is found by asking
            "reset_cache=true: must be false: endpoint.reset_route",
        ),
    ],
)
def test_a_mistake_in_all_cells_is_one_line_before_the_first(
    script: Command, tmp_path: Path, typed: tuple[str, ...], message: str
) -> None:
    done = script(*typed)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_damaged_cells_are_measured_again_and_others_are_not(
    module: Command, line: tuple[str, ...], endpoint: Endpoint, tmp_path: Path
) -> None:
    done = module(*line, "concurrency=1,2,3")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.rstrip().endswith("\ns")
    cells = {number: next((tmp_path / "s").glob(f"mine-c{number}-*")) for number in (1, 2, 3)}
    written = {number: (cell / "summary.json").stat().st_mtime_ns for number, cell in cells.items()}
    (cells[1] / "summary.json").write_text('{"requests": {"ok')
    [part] = (cells[2] / "requests").iterdir()
    part.write_bytes(part.read_bytes()[:-10])

    shown = module("report", "s")
    assert shown.returncode == 0
    assert statuses(tmp_path / "s") == {"mine-c1": "damaged", "mine-c2": "damaged", "mine-c3": "done"}

    again = module(*line, "concurrency=1,2,3,4")
    assert (again.returncode, again.stderr) == (0, "")
    assert "1 done before" in again.stdout
    assert re.search(r"^again +mine-c1-\w+, damaged: summary.json: can't be read", again.stdout, re.MULTILINE)
    assert set(statuses(tmp_path / "s").values()) == {"done"}
    assert len(statuses(tmp_path / "s")) == 4
    kept = cells[1] / "unfinished-1"
    assert {path.name for path in kept.iterdir()} >= {"manifest.json", "requests", "summary.json"}
    assert (cells[2] / "unfinished-1" / "requests" / part.name).exists()
    assert (cells[3] / "summary.json").stat().st_mtime_ns > written[3]  # by `trie report`, which reads all rows again
    assert not (cells[3] / "unfinished-1").exists()


@pytest.mark.slow
def test_rerun_measures_again_what_is_done_and_keeps_it(module: Command, line: tuple[str, ...], tmp_path: Path) -> None:
    module(*line, "concurrency=2")
    done = module(*line, "concurrency=2", "rerun=true")
    assert done.returncode == 0, done.stderr
    [cell] = (tmp_path / "s").glob("mine-c2-*")
    assert (cell / "earlier-1" / "summary.json").exists()
    assert statuses(tmp_path / "s") == {"mine-c2": "done"}


@pytest.mark.slow
def test_repeats_have_seeds_and_directories_of_their_own(
    module: Command, line: tuple[str, ...], tmp_path: Path
) -> None:
    done = module(*line, "concurrency=1,2", "repeats=2", "seed=7", "order=written", "pause=0.1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("pause of 0.1 s") == 3
    order = re.findall(r"^cell \d of 4  mine-c(\d)-\w{8}(-r2)?  ", done.stdout, re.MULTILINE)
    assert order == [("1", ""), ("1", "-r2"), ("2", ""), ("2", "-r2")]
    manifests = [json.loads(path.read_text()) for path in tmp_path.glob("s/*/manifest.json")]
    seeds = {manifest["seed"] for manifest in manifests}
    assert len(seeds) == 4
    assert 7 not in seeds  # which a run of its own with seed=7 would have
    assert sorted(row["repeat"] for row in table(tmp_path / "s")) == ["1", "1", "2", "2"]
    configs = [(path.parent / ".hydra" / "config.yaml").read_text() for path in tmp_path.glob("s/*/manifest.json")]
    assert all(f"seed: {manifest['seed']}" in config for manifest, config in zip(manifests, configs, strict=True))


def test_a_failed_cell_is_known_at_once_and_in_the_report(
    module: Command, line: tuple[str, ...], tmp_path: Path
) -> None:
    done = module(*line, "concurrency=1", "workload=./nix.jsonl,./mine.jsonl")
    assert done.returncode == 1
    assert done.stderr == "trie: 1 of 2 cells failed; run the same command again to measure them\n"
    assert done.stdout.index("[error] nix-c1") < done.stdout.index("cell 2 of 2")
    assert statuses(tmp_path / "s") == {"mine-c1": "done", "nix-c1": "failed"}
    why = {row["why"] for row in table(tmp_path / "s") if row["status"] == "failed"}
    assert why == {"nix.jsonl: no such file; workload= takes a name or the path of a JSONL file"}
    assert "1 OF 2 CELLS DONE" in (tmp_path / "s" / "sweep.html").read_text()


@pytest.mark.slow
def test_a_bug_in_a_cell_shows_its_traceback_and_ends_no_other(line: tuple[str, ...], tmp_path: Path) -> None:
    code = (
        "import sys, trie.cli.hydra_app as t\n"
        "whole = t.measure\n"
        "t.measure = lambda cfg, *a: {}['bug'] if cfg.concurrency.value == 1 else whole(cfg, *a)\n"
        "from trie.__main__ import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", code, *line, "concurrency=1,2"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "KeyError: 'bug'" in done.stdout
    assert statuses(tmp_path / "s") == {"mine-c1": "failed", "mine-c2": "done"}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sweep_leaves_what_is_done_and_its_report(
    number: signal.Signals, line: tuple[str, ...], tmp_path: Path
) -> None:
    """The first cell lasts half a second, the second a minute; -v says when each begins."""
    command = [sys.executable, "-m", "trie", *line, "-v", "duration=0.5,60"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert sum("starting benchmark" in line for line in until(process.stdout, "starting benchmark", 2)) == 2
        time.sleep(0.5)
        process.send_signal(number)
        output, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (130, "trie: interrupted\n")
    assert "run the same command again to resume; what is done so far: s" in output
    status_of = {float(row["duration_s"]): row["status"] for row in table(tmp_path / "s")}
    assert status_of == {0.5: "done", 60.0: "unfinished"}
    assert "1 OF 2 CELLS DONE" in (tmp_path / "s" / "sweep.html").read_text()


def until(lines: Iterator[str], text: str, times: int) -> Iterator[str]:
    """Lines up to the one that brings `text` for the so-manieth time."""
    for line in lines:
        yield line
        times -= text in line
        if not times:
            return


@pytest.mark.slow
def test_report_of_a_sweep_is_made_again_from_its_files(module: Command, line: tuple[str, ...], tmp_path: Path) -> None:
    first = module(*line, "concurrency=1,2", "num_gpus=2")
    cells = re.findall(r"^cell (\d of 2)  mine-c(\d)-\w{8}  (?:IN)?VALID  .*", first.stdout, re.MULTILINE)
    assert cells == [("1 of 2", "1"), ("2 of 2", "2")]
    assert "Per-trace metrics" not in first.stdout
    kept = [dict(row) for row in table(tmp_path / "s")]
    for name in ("sweep.csv", "sweep.parquet", "sweep.html"):
        (tmp_path / "s" / name).unlink()
    shown = module("report", "s")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert table(tmp_path / "s") == kept
    assert shown.stdout in first.stdout
    as_json: list[dict[str, Any]] = json.loads(module("report", "s", "--json").stdout)
    assert [row["concurrency"] for row in as_json] == [1, 2]
    assert as_json[0]["completion_tok_s_steady_state_per_gpu"] > 0


def run_of(done: Finished) -> Path:
    return Path(done.stdout.rstrip().splitlines()[-1])


def test_a_run_states_how_it_found_the_engine(module: Command) -> None:
    done = module("duration=0.5", "concurrency=1", "profile=fast", "progress=none", "reset_cache=true")
    assert done.returncode == 0, done.stderr
    server = json.loads((run_of(done) / "manifest.json").read_text())["server"]
    assert (server["in_flight_before"], server["cache_reset"]) == (0, True)
    assert "the engine's prefix cache was emptied" in done.stdout
