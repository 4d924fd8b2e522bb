"""The command line in a folder of its own, an endpoint and a workload."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from helpers.command_line import (
    CONSOLE_SCRIPT,
    HERE_AND_IN_A_PROCESS,
    Command,
    Endpoint,
    in_a_process,
    in_this_process,
    serving,
)


@pytest.fixture(params=HERE_AND_IN_A_PROCESS)
def script(request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The same; the slow tests run the console script, in processes of its own."""
    if request.param == "here":
        return partial(in_this_process, tmp_path)
    file = tmp_path_factory.mktemp("bin") / "trie"
    file.write_text(CONSOLE_SCRIPT)
    return partial(in_a_process, tmp_path, sys.executable, str(file))


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving() as server:
        yield server


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
