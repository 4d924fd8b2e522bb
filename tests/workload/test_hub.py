"""Files of the hub, against a small hub of our own on loopback."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from trie.config import WorkloadConfig
from trie.errors import WorkloadError
from trie.workload import hub
from trie.workload.sources import load

LINE = (
    b'{"num_turns": 0, "input_prompt_length": 9, "assistant_response_length": [], "tool_call_output_length": [],'
    b' "tool_call_latency": [], "final_assistant_response_length": 4}\n'
)
CONTENT = LINE * 1000
COMMIT = "0" * 39 + "1"
REPO, FILE = "lightseekorg/trie-dataset", "agentic_coding_8k.jsonl"


class Hub(ThreadingHTTPServer):
    """Answers what a client of the real hub asks for one file."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.broken = self.missing = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        if self.server.missing or self.path != f"/datasets/{REPO}/resolve/main/{FILE}":
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.send_header("ETag", f'"{hashlib.sha1(CONTENT).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(CONTENT[:999] if self.server.broken else CONTENT)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def small_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(hub.CACHE_VARIABLE, str(tmp_path / "cache"))
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def agentic() -> WorkloadConfig:
    return WorkloadConfig(name="agentic", hub_file=FILE)


def test_a_file_is_fetched_once(small_hub: Hub, tmp_path: Path) -> None:
    assert len(load(agentic()).traces) == 1000
    asked = len(small_hub.asked)
    assert asked
    assert load(agentic()).sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert len(small_hub.asked) == asked
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [FILE]


def test_a_file_placed_by_hand_needs_no_hub(small_hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / FILE).write_bytes(LINE)
    assert len(load(agentic()).traces) == 1
    assert small_hub.asked == []


@pytest.mark.parametrize("trouble", ["missing", "broken", "down"])
@pytest.mark.filterwarnings("ignore")
def test_trouble_is_one_line_of_advice_and_leaves_nothing(small_hub: Hub, tmp_path: Path, trouble: str,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    if trouble == "down":
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    else:
        setattr(small_hub, trouble, True)
    with pytest.raises(WorkloadError) as caught:
        load(agentic())
    text = str(caught.value)
    assert "\n" not in text
    for advice in (hub.CACHE_VARIABLE, "HF_ENDPOINT", "agentic-synthetic", str(tmp_path / "cache" / FILE)):
        assert advice in text
    assert list((tmp_path / "cache").iterdir()) == []


def test_names_can_not_climb_out_of_the_cache() -> None:
    for name in ("../x.jsonl", "/etc/passwd", "..", ""):
        with pytest.raises(WorkloadError, match="must be a plain file name"):
            hub.fetch(REPO, name)


async def test_two_processes_at_once_both_get_it(small_hub: Hub, tmp_path: Path) -> None:
    code = f"from trie.workload.hub import fetch; print(fetch({REPO!r}, {FILE!r}).stat().st_size)"
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=subprocess.PIPE) for _ in range(2)
    ]
    outs = [(await process.communicate())[0] for process in processes]
    assert [int(out.split()[-1]) for out in outs] == [len(CONTENT)] * 2
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [FILE]
