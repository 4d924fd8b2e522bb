"""`trie workload`: import, validate."""

from __future__ import annotations

import json
import re
from pathlib import Path

from helpers.command_line import Command
from helpers.import_examples import BURSTGPT, CODEX, MOONCAKE


def test_an_import_writes_rows_and_a_report_that_replay(module: Command, tmp_path: Path) -> None:
    (tmp_path / "theirs.jsonl").write_text(MOONCAKE.files["trace.jsonl"])
    finished = module("workload", "import", "theirs.jsonl", "-o", "mine.jsonl")
    assert finished.returncode == 0, finished.stderr
    assert "mooncake (told by rows with input_length, output_length and hash_ids)" in finished.stdout
    assert [json.loads(line) for line in (tmp_path / "mine.jsonl").read_text().splitlines()] == MOONCAKE.rows
    report = json.loads((tmp_path / "mine.jsonl.import.json").read_text())
    assert (report["rows"], report["traces"], report["turns"]) == (3, 2, 1)
    checked = module("workload", "validate", "mine.jsonl")
    assert (checked.returncode, checked.stdout) == (0, "mine.jsonl: 2 traces, all rows are allowed\n")


def test_the_report_is_printed_as_json(module: Command, tmp_path: Path) -> None:
    (tmp_path / "burst.csv").write_text(BURSTGPT.files["BurstGPT.csv"])
    finished = module("workload", "import", "burst.csv", "-o", "mine.jsonl", "--report", "--input-length", "whole")
    assert json.loads(finished.stdout) == json.loads((tmp_path / "mine.jsonl.import.json").read_text())


def test_validate_names_every_row_that_is_not_allowed(module: Command, tmp_path: Path) -> None:
    good, bad = json.dumps(MOONCAKE.rows[1]), json.dumps({**MOONCAKE.rows[1], "input_prompt_length": 0})
    (tmp_path / "mine.jsonl").write_text(f"{good}\n{bad}\n\n{{broken\n")
    finished = module("workload", "validate", "mine.jsonl")
    assert finished.returncode == 1
    lines = finished.stderr.splitlines()
    assert lines[0].startswith("trie: mine.jsonl:2: input_prompt_length: found 0")
    assert lines[1].startswith("mine.jsonl:4: not a JSON object")
    assert lines[2] == "mine.jsonl: 2 of 3 rows are not allowed"


def test_mistakes_are_told_in_one_line(module: Command, tmp_path: Path) -> None:
    (tmp_path / "rollout.jsonl").write_text(next(iter(CODEX.files.values())))
    for arguments, expected in (
        (["import", "none.jsonl", "-o", "x"], "none.jsonl: no such file"),
        (["import", "rollout.jsonl", "-o", "x", "--format", "codx"], "--format codx: must be auto or one of"),
        (["import", "rollout.jsonl", "-o", "x", "--format", "weka"], "holds no trace that can be replayed"),
        (["import", "rollout.jsonl", "-o", "x", "--cap-wait", "0"], "--cap-wait 0: must be above 0"),
        (["import", "rollout.jsonl"], "the following arguments are required: -o"),
        (["improt"], "invalid choice: 'improt'"),
        (["validate", "none.jsonl"], "none.jsonl: can't be read"),
    ):
        finished = module("workload", *arguments)
        assert finished.returncode == 1
        assert expected in finished.stderr
        assert finished.stderr.count("\n") == 1
        assert not (tmp_path / "x").exists()


def test_show_prints_a_workload_by_name_and_what_it_asks_of_a_cache(module: Command, tmp_path: Path) -> None:
    flags = ("--concurrency", "4", "--cache-tokens", "5000", "--deadline", "20")
    finished = module("workload", "show", "sample", *flags, "--html", "page.html")
    assert finished.returncode == 0, finished.stderr
    for text in (
        "sample: 48 traces, 183 requests",
        "ideal hit",
        "4 active traces hold",
        "with 5,000 tokens of cache expect a hit rate of",
        "after 20 s,",
        "prompt of the final request (tokens)",
    ):
        assert text in finished.stdout
    assert max(map(len, finished.stdout.splitlines())) <= 120
    page = (tmp_path / "page.html").read_text()
    assert "Expected hit rate by size of the cache" in page
    numbers = json.loads(module("workload", "show", "sample", *flags, "--profile", "gpu", "--json").stdout)
    assert (numbers["traces"], numbers["requests"], numbers["turns"]["max"]) == (48, 183, 6.0)
    cache = numbers["cache"]
    assert (cache["concurrency"], cache["cache_tokens"], cache["assumed_prompt_tok_s"]) == (4, 5000, 30000)
    assert 0 < cache["hit_rate"] <= cache["ideal_hit_rate"] < 1
    assert cache["knee_concurrency"] < 48


def test_show_refuses_what_it_cannot_show_in_one_line(module: Command) -> None:
    for arguments, expected in (
        (["sampel"], "workload=sampel: no such workload; did you mean sample?"),
        (["sample", "--concurrency", "0"], "--concurrency 0: must be above 0"),
        (["sample", "--profile", "gpux"], "--profile gpux: must be one of"),
        (["sample", "--profile", "gpu", "--prompt-speed", "5"], "--profile: goes without --prompt-speed"),
    ):
        finished = module("workload", "show", *arguments)
        assert finished.returncode == 1
        assert expected in finished.stderr
        assert finished.stderr.count("\n") == 1


def test_show_fits_a_narrow_window_and_plain_ascii(module: Command) -> None:
    finished = module("workload", "show", "sample", "--deadline", "60", COLUMNS="80", PYTHONIOENCODING="ascii")
    assert finished.returncode == 0, finished.stderr
    assert max(map(len, finished.stdout.splitlines())) <= 80


def test_synthesize_draws_a_stand_in_and_one_that_is_fitted(module: Command, tmp_path: Path) -> None:
    drawn = module("workload", "synthesize", "--like", "agentic", "-n", "300", "--seed", "7", "-o", "drawn.jsonl")
    assert re.match(r"ideal hit rate: 9[56]\.\d\d% drawn|Kolmogorov-Smirnov distances:\n  turns ", drawn.stdout)
    assert drawn.stdout.endswith("drawn.jsonl: 300 synthetic traces; trie workload=drawn.jsonl replays them\n")
    fitted = module("workload", "synthesize", "--fit", "./drawn.jsonl", "-n", "100", "-o", "fitted.jsonl")
    assert fitted.returncode == 0, fitted.stderr
    assert "  turns " in fitted.stdout
    assert "ideal hit rate: 95" in fitted.stdout or "ideal hit rate: 96" in fitted.stdout
    assert module("workload", "validate", "fitted.jsonl").stdout.startswith("fitted.jsonl: 100 traces")
    refused = module("workload", "synthesize", "-o", "x")
    assert "one of the arguments --like --fit is required" in refused.stderr


def test_a_run_on_imported_rows_holds_the_report_of_the_import(module: Command, tmp_path: Path) -> None:
    (tmp_path / "theirs.jsonl").write_text(MOONCAKE.files["trace.jsonl"])
    module("workload", "import", "theirs.jsonl", "-o", "mine.jsonl")
    run = ("workload=./mine.jsonl", "clock=virtual", "duration=20", "html=false")
    finished = module(*run, "hydra.run.dir=run")
    assert "(imported from mooncake)" in " ".join(finished.stdout.split())
    held = json.loads((tmp_path / "run" / "manifest.json").read_text())["workload"]["imported"]
    assert held == json.loads((tmp_path / "mine.jsonl.import.json").read_text())
    with (tmp_path / "mine.jsonl").open("a") as rows:
        rows.write(json.dumps(MOONCAKE.rows[1]) + "\n")
    module(*run, "hydra.run.dir=changed")
    assert json.loads((tmp_path / "changed" / "manifest.json").read_text())["workload"]["imported"] is None


def test_drawn_rows_are_known_as_synthetic(module: Command) -> None:
    module("workload", "synthesize", "--like", "qa", "-n", "30", "-o", "drawn.jsonl")
    assert (
        json.loads(module("workload", "show", "./drawn.jsonl", "--deadline", "60", "--json").stdout)["synthetic"]
        is True
    )
    assert json.loads(module("workload", "show", "sample", "--deadline", "60", "--json").stdout)["synthetic"] is False
