"""The command line as a user has it: processes of their own, in a folder of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.command_line import CONSOLE_SCRIPT, Command, Endpoint, Finished, environment


@pytest.fixture
def module(tmp_path: Path) -> Command:
    """`python -m trie ...` in an empty folder."""

    def run(*arguments: str, **env: str) -> Finished:
        command = [sys.executable, "-m", "trie", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment(**env), capture_output=True, text=True, timeout=60, check=False
        )

    return run


@pytest.fixture
def script(tmp_path: Path) -> Command:
    """`trie ...`, the console script, in an empty folder."""
    file = tmp_path / "bin" / "trie"
    file.parent.mkdir()
    file.write_text(CONSOLE_SCRIPT)

    def run(*arguments: str, **env: str) -> Finished:
        command = [sys.executable, str(file), *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment(**env), capture_output=True, text=True, timeout=60, check=False
        )

    return run


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def workload_file(tmp_path: Path) -> Path:
    """Two short traces, one of them a single request; a tool wait keeps the request rate low."""
    rows = [
        {
            "num_turns": 1,
            "input_prompt_length": 20,
            "assistant_response_length": [3],
            "tool_call_output_length": [5],
            "tool_call_latency": [0.1],
            "final_assistant_response_length": 2,
        },
        {
            "num_turns": 0,
            "input_prompt_length": 10,
            "assistant_response_length": [],
            "tool_call_output_length": [],
            "tool_call_latency": [],
            "final_assistant_response_length": 4,
        },
    ]
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file
