"""`trie record` as typed: what passes through it is a workload afterwards."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.command_line import Command, environment
from helpers.simulator import QUICK, Serve

from trie.api import Client
from trie.config import SimConfig
from trie.workload.trace import Trace

LENGTHS = [
    Trace(400, (20, 31), (50, 60), (0.02, 0.01), 12),
    Trace(300, (9,), (0,), (0.0,), 3),
    Trace(500, (), (), (), 7),
]


NAMES = (
    "input_prompt_length",
    "assistant_response_length",
    "tool_call_output_length",
    "final_assistant_response_length",
)


@pytest.mark.slow
async def test_what_passes_through_is_recorded_until_ctrl_c(sim: Serve, tmp_path: Path):
    """The traces that trie itself replays are written with the same lengths; the key is nowhere."""
    async with sim(SimConfig(**QUICK)) as url:
        line = [sys.executable, "-m", "trie", "record", "--upstream", url, "-o", "mine.jsonl"]
        with subprocess.Popen(line, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True) as record:
            assert record.stdout is not None
            base = record.stdout.readline().partition("clients to ")[2].partition(";")[0]
            client = Client(base, "sim", tokenizer_model="words", api_key="sk-1")
            where = tmp_path / "run"
            result = await client.run(
                LENGTHS, concurrency=3, duration=0.5, directory=where, show=False, progress="none"
            )
            record.send_signal(signal.SIGINT)
            printed = record.stdout.read()
    assert record.returncode == 0
    content = (tmp_path / "mine.jsonl").read_text()
    rows = [json.loads(line) for line in content.splitlines()]
    recorded = {json.dumps([row[name] for name in NAMES]) for row in rows}
    assert recorded >= {json.dumps([getattr(trace, name) for name in NAMES]) for trace in LENGTHS}
    assert result.summary.requests["failed"] == 0
    report = json.loads((tmp_path / "mine.jsonl.import.json").read_text())
    assert report["traces"] == len(rows)
    assert "trie workload=mine.jsonl replays it" in printed
    assert "sk-1" not in content + json.dumps(report) + printed


def test_mistakes_are_told_before_anything_is_recorded(module: Command, tmp_path: Path):
    (tmp_path / "there.jsonl").touch()
    url = "http://127.0.0.1:9/v1"
    for line, message in (
        (("--upstream", "ftp://x", "-o", "a.jsonl"), "trie: --upstream ftp://x: must be an http(s) URL"),
        (
            ("--upstream", "http://u:p@x/v1", "-o", "a.jsonl"),
            "trie: (hidden): a URL may not hold user and password; use OPENAI_API_KEY",
        ),
        (("--upstream", url, "-o", "there.jsonl"), "trie: --output there.jsonl: exists; choose a new file"),
        (("--upstream", url, "-o", "none/a.jsonl"), "trie: --output none/a.jsonl: there is no folder none"),
        (("--upstream", url, "-o", "a.jsonl", "--port", "70000"), "trie: --port 70000: must be between 0 and 65535"),
    ):
        done = module("record", *line)
        assert (done.returncode, done.stderr) == (1, f"{message}\n")
