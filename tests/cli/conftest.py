"""The command line as a user has it: processes of their own, in a folder of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import trie

ROOT = Path(trie.__file__).parents[1]
CONSOLE_SCRIPT = "import sys\nfrom trie.__main__ import main\nsys.exit(main())\n"  # as installers write it

Finished = subprocess.CompletedProcess[str]
Command = Callable[..., Finished]


def environment(**more: str) -> dict[str, str]:
    hidden = {"OPENAI_API_KEY", "HYDRA_FULL_ERROR", "COLUMNS"}
    kept = {key: value for key, value in os.environ.items() if key not in hidden}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


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


class Endpoint(ThreadingHTTPServer):
    """An endpoint that notes the keys that reach it and answers at once with as many tokens as were asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.authorizations: list[str | None] = []
        self.models: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_GET(self) -> None:
        self.server.authorizations.append(self.headers["Authorization"])
        self._answer("application/json", json.dumps({"object": "list", "data": [{"id": "M"}]}))

    def do_POST(self) -> None:
        self.server.authorizations.append(self.headers["Authorization"])
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.models.add(body["model"])
        asked, prompt = body["max_tokens"], len(body["prompt"].split())
        choice = {"index": 0, "text": " word" * asked, "finish_reason": "length"}
        usage = {"prompt_tokens": prompt, "completion_tokens": asked, "total_tokens": prompt + asked}
        whole = {"id": "x", "object": "text_completion", "model": body["model"], "choices": [choice]}
        if not body.get("stream"):
            self._answer("application/json", json.dumps({**whole, "usage": usage}))
            return
        events = [json.dumps(whole), json.dumps({**whole, "choices": [], "usage": usage}), "[DONE]"]
        self._answer("text/event-stream", "".join(f"data: {event}\n\n" for event in events))

    def _answer(self, kind: str, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None: ...


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
