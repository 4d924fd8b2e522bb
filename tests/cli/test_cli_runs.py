"""Runs as typed: the reference's form, keys, mistakes, and what a killed run leaves."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.command_line import Command, Finished, environment

from trie.storage.parquet_parts import read_records

MARKER = "sk-marker-0123456789"
QUIET = ["progress=none", "prompts.pool_tokens=16384", "profile=fast"]
ROW = (
    '{"num_turns": 1, "input_prompt_length": 9, "assistant_response_length": [2], "tool_call_output_length": [3],'
    ' "tool_call_latency": [0.01], "final_assistant_response_length": 4}\n'
)


def directory(done: Finished, folder: Path) -> Path:
    """The run's directory: the last line of what was printed."""
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / done.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="session")
def served() -> Iterator[str]:
    """`trie sim` as a server of its own; yields its base URL."""
    command = [sys.executable, "-m", "trie", "sim", "--port", "0", "profile=fast"]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line.startswith("listening on http://127.0.0.1:")
        yield line.split()[2]
        server.send_signal(signal.SIGINT)
        assert server.wait(10) == 0


def test_the_references_flat_form(module: Command, tmp_path: Path, served: str) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "agentic_coding_8k.jsonl").write_text(ROW)
    done = module("workload_path=agentic", f"endpoint={served}", "model=sim", "tokenizer_model=words", "concurrency=8",
        "duration=0.5", "stream=True", "num_gpus=4", TRIE_DATASET_CACHE=str(tmp_path / "cache"),
    )  # fmt: skip
    manifest = json.loads((directory(done, tmp_path) / "manifest.json").read_text())
    assert manifest["workload"]["name"] == "agentic"
    assert manifest["config"]["num_gpus"] == 4
    assert not manifest["server"]["embedded"]


def test_a_path_a_url_and_any_concurrency(module: Command, tmp_path: Path, served: str) -> None:
    (tmp_path / "mine.jsonl").write_text(ROW)
    done = module("workload=./mine.jsonl", f"endpoint={served}", "concurrency=3", "max_traces=6", *QUIET)
    manifest = json.loads((directory(done, tmp_path) / "manifest.json").read_text())
    assert manifest["config"]["concurrency"]["value"] == 3
    assert manifest["workload"]["source"] == "mine.jsonl"
    assert manifest["server"]["model"] == "sim"  # the only one it lists


SPELLINGS = ("api_key={}", "+api_key={}", "++api_key='{}'", "endpoint.api_key={}")


@pytest.mark.parametrize(
    ("typed", "multirun"),
    [
        *((typed, False) for typed in SPELLINGS),
        (SPELLINGS[0], True),
        *(pytest.param(typed, True, marks=pytest.mark.slow) for typed in SPELLINGS[1:]),
    ],
)
def test_a_typed_key_is_written_nowhere(
    module: Command, tmp_path: Path, served: str, typed: str, multirun: bool
) -> None:
    (tmp_path / "mine.jsonl").write_text(ROW)
    key = typed.format(MARKER)
    mode = ["-m", "concurrency=1,2"] if multirun else []
    done = module(*mode, f"endpoint={served}", "workload=./mine.jsonl", "max_traces=4", key, *QUIET)
    assert done.returncode == 0
    assert MARKER not in done.stdout + done.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert not [path for path in files if MARKER.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["endpoint=http://127.0.0.1:9/v1"], "Connection refused; is the server running"),
        (["endpoint=http://user:pw@127.0.0.1:9/v1"], "endpoint=(hidden): a URL may not hold user and password"),
        (["sim.faults=[boom]"], "must be a list of http_429"),
        (["report", "none"], "none: no such directory"),
        (["report", "."], ".: holds no manifest.json"),
        (["sim", "prefil=1"], "prefil=1: is not a setting of the embedded endpoint"),
        (["sim", "--port", "0", "sim.max_running=0"], "sim.max_running=0: must be above 0"),
    ],
)
def test_mistakes_are_a_line_or_two(module: Command, tmp_path: Path, arguments: list[str], message: str) -> None:
    done = module(*arguments)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 1
    assert message in lines[-1]
    assert len(lines) <= 2
    assert "Traceback" not in done.stderr
    assert "pw@" not in done.stderr


def test_a_key_in_a_file_is_refused(module: Command, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("api_key: abc\n")
    done = module(f"experiment={tmp_path}/x.yaml")
    assert done.returncode == 1
    assert "api_key" in done.stderr
    assert "abc" not in done.stderr


@pytest.mark.slow
def test_a_killed_run_keeps_all_but_its_last_second(module: Command, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trie", "duration=60", *QUIET]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL) as process:
        run = started(tmp_path)
        begin = time.monotonic()
        time.sleep(4.0)
        process.kill()
        lasted = time.monotonic() - begin
    rows = read_records(run / "requests")
    assert max(rows.column("end_s").to_pylist()) > lasted - 2.5  # the second that may be lost, and a slow machine
    done = module("report", str(run))
    assert done.returncode == 0
    assert "the run was killed" in done.stdout
    assert "the run was killed" in (run / "report.html").read_text()


def started(folder: Path) -> Path:
    """The run directory, once its first rows are on disk."""
    for _ in range(400):
        parts = list(folder.glob("outputs/*/*/requests/part-*.parquet"))
        if parts:
            return parts[0].parent.parent
        time.sleep(0.05)
    raise AssertionError("no rows")


def test_a_narrow_terminal_is_respected(module: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text(ROW)
    done = module("workload=./mine.jsonl", "max_traces=4", *QUIET, COLUMNS="80")
    tables = [line for line in done.stdout.splitlines() if line[:1] in {"┏", "┃", "│", "└"}]
    assert max(map(len, tables)) <= 80


def test_too_many_sessions_for_the_open_files(tmp_path: Path) -> None:
    command = f"ulimit -n 256; exec {sys.executable} -m trie concurrency=500 duration=1 progress=none"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "concurrency=500: needs 628 open files, 256 are allowed" in done.stderr
