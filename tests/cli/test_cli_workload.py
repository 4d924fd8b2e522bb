"""`trie workload`: import, validate."""

from __future__ import annotations

import json
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
