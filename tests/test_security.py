"""Secrets stay where they belong, config files run no code, and nobody's text steers a terminal."""

from __future__ import annotations

import http.server
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers.command_line import ROOT, Command
from tokenizers import Tokenizer, models, pre_tokenizers

from trie import Client
from trie.cli import main
from trie.config import EndpointConfig
from trie.endpoint.connection import Connections
from trie.errors import PromptError
from trie.prompts import tokenizers

MARKER = "sk-marker-4711-do-not-write"
HEADER = "hdr-marker-0815-do-not-write"
STEERING = "\x1b]0;owned\x07\x1b[31mred\x9b2J\u202e" + "y" * 100_000
ROW = {
    "num_turns": 0,
    "input_prompt_length": 10,
    "assistant_response_length": [],
    "tool_call_output_length": [],
    "tool_call_latency": [],
    "final_assistant_response_length": 2,
}
Answer = Callable[[http.server.BaseHTTPRequestHandler], tuple[int, dict[str, str], bytes]]


@contextmanager
def answering(answer: Answer) -> Iterator[tuple[str, list[str]]]:
    """A server that answers as told; its base URL and the requests it got, headers and all."""
    got: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            got.append(f"{self.requestline}\n{self.headers}")
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            status, headers, body = answer(self)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - as above

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def repeating(said: str) -> Answer:
    """A server that repeats what it should not wherever a server has text: names, errors, reasons, answers."""

    def answer(request: http.server.BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        text = f"{said} {request.headers['Authorization']} {request.headers['X-Secret']}"
        if request.command == "GET":
            listed = {"data": [{"id": "M", "owned_by": text}, {"id": text, "max_model_len": 1000}]}
            return 200, {"Content-Type": "application/json"}, json.dumps(listed).encode()
        turn = len(request.headers["X-Request-Id"] or "") + int(
            (request.headers["X-Request-Id"] or "0-0-0").split("-")[1]
        )
        if turn % 3 == 0:
            return 401, {"Content-Type": "application/json"}, json.dumps({"error": {"message": text}}).encode()
        if turn % 3 == 1:
            return 400, {"Content-Type": "text/html"}, f"<script>{'x' * 270}{text}</script>".encode()
        choice = {"index": 0, "text": text, "finish_reason": text}
        body = f"data: {json.dumps({'choices': [choice]})}\n\ndata: [DONE]\n\n"
        return 200, {"Content-Type": "text/event-stream"}, body.encode()

    return answer


@pytest.fixture
def trie(module: Command, tmp_path: Path) -> Command:
    """A dozen short traces at most, within a second."""
    (tmp_path / "one.jsonl").write_text(json.dumps(ROW) + "\n")
    settings = ("workload=./one.jsonl", "prompts.calibrate=false", "tokenizer_model=words", "duration=0.5",
                "max_traces=12", "concurrency=3", "max_retries=0", "model=M")  # fmt: skip
    return partial(module, *settings)


def assert_in_no_file(folder: Path, *secrets: str) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {"manifest.json", "summary.json", "trie.log", "config.yaml", "hydra.yaml"} <= {path.name for path in files}
    assert any(path.suffix == ".parquet" for path in files)
    for secret in secrets:
        # Parquet is compressed: its rows are searched as well.
        assert [path for path in files if secret.encode() in path.read_bytes()] == []
    for part in (path for path in files if path.suffix == ".parquet"):
        text = pd.read_parquet(part).to_csv()
        assert [secret for secret in secrets if secret in text] == []


def test_a_key_that_the_server_repeats_is_in_no_file_and_in_no_line(trie: Command, tmp_path: Path) -> None:
    """Nor is the beginning of one that a long error is cut off in."""
    with answering(repeating("Incorrect API key provided:")) as (url, got):
        done = trie(f"endpoint={url}", f"api_key={MARKER}", "+endpoint.headers.X-Secret='${oc.env:MINE}'", MINE=HEADER)
    assert any(f"Bearer {MARKER}" in request for request in got)
    assert any(HEADER in request for request in got)
    assert "benchmark complete" in done.stdout
    for secret in (MARKER, HEADER, MARKER[:12], HEADER[:12]):
        assert secret not in done.stdout + done.stderr
    assert_in_no_file(tmp_path, MARKER, HEADER, MARKER[:12], HEADER[:12])


def test_a_secret_typed_as_a_header_is_refused_before_it_is_written(trie: Command, tmp_path: Path) -> None:
    for line in (
        (f"+endpoint.headers.Authorization={MARKER}",),
        ("-m", "duration=1,2", f"+endpoint.headers.X-Api-Key={MARKER}"),
    ):
        done = trie(*line)
        assert done.returncode == 1
        assert "=(hidden): would be written into the run's directory" in done.stderr
        assert MARKER not in done.stdout + done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file() and MARKER.encode() in path.read_bytes()] == []


def test_nothing_shows_a_secret_of_the_library() -> None:
    endpoint = EndpointConfig(base_url="http://h/v1", headers={"X-Secret": HEADER})
    shown = [repr(Client("http://h/v1", api_key=MARKER)), repr(endpoint), repr(Connections(endpoint, "http://h/v1"))]
    assert MARKER not in str(shown)
    assert HEADER not in str(shown)


def test_a_redirect_to_another_host_gets_neither_key_nor_request(trie: Command, tmp_path: Path) -> None:
    with answering(repeating("")) as (other, got_there):

        def redirect(request: http.server.BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
            if request.command == "GET":
                return 200, {"Content-Type": "application/json"}, b'{"data": [{"id": "M"}]}'
            return 307, {"Location": f"{other}/completions"}, b""

        with answering(redirect) as (url, got_here):
            done = trie(f"endpoint={url}", f"api_key={MARKER}")
    assert done.returncode == 1
    assert len(got_here) > 1
    assert got_there == []


@pytest.mark.slow
def test_text_of_a_server_or_a_workload_does_not_steer_the_terminal(trie: Command, tmp_path: Path) -> None:
    """Control sequences, bidirectional marks and lines without end: from the server, and as the name of a file."""
    evil = "evil\x1b[31m\u202e"
    (tmp_path / f"{evil}.jsonl").write_text(json.dumps(ROW) + "\n")
    (tmp_path / "broken.jsonl").write_text(STEERING)
    with answering(repeating(STEERING)) as (url, _):
        shown = [
            trie(f"endpoint={url}"),
            trie(f"endpoint={url}", f"workload.path='{evil}.jsonl'", f"workload.name='{evil}'"),
            trie(f"endpoint={url}", "workload=./broken.jsonl"),
            trie(f"endpoint={url}", f"experiment='./{evil}.yaml'"),
        ]
    assert "benchmark complete" in shown[0].stdout + shown[1].stdout
    for done in shown:
        text = done.stdout + done.stderr
        assert [character for character in set(text) - {"\n"} if not character.isprintable()] == []
        assert max(map(len, text.splitlines())) < 2000
        assert "Traceback" not in text


EVIL = """
import pathlib
pathlib.Path(__file__).with_name("ran").touch()
class Evil:
    def __init__(self, *_, **__): ...
"""


@pytest.mark.parametrize(
    "body",
    [
        "hydra: {callbacks: {x: {_target_: evil.Evil}}}",
        "hydra: {launcher: {_target_: evil.Evil}, mode: MULTIRUN}",
        "hydra: {sweeper: {_target_: evil.Evil}, mode: MULTIRUN}",
        "hydra: {job_logging: {formatters: {file: {'()': evil.Evil}}}}",
        "hydra: {job_logging: {handlers: {file: {class: evil.Evil}}}}",
        "hydra: {hydra_logging: {handlers: {console: {class: logging.StreamHandler, stream: 'ext://evil.Evil'}}}}",
        "hydra: {callbacks: {x: {_target_: '${oc.decode:evil.Evil}'}}}",
        "hydra: {job: {env_set: {PYTHONPATH: .}}}",
        "hydra: {job: {env_copy: [OPENAI_API_KEY]}}",
        "sim: {_target_: evil.Evil}",
        "workload: {_target_: evil.Evil}",
        "!!python/object/apply:evil.Evil []",
        "duration: !!python/object/apply:evil.Evil []",
        "duration: ${eval:1}",
    ],
)
def test_no_file_of_settings_runs_code(
    body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "evil.py").write_text(EVIL)
    (tmp_path / "foreign.yaml").write_text(body + "\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert main.run(["experiment=./foreign.yaml"]) == 1
    said = capsys.readouterr().err
    assert not (tmp_path / "ran").exists()
    assert len(said.splitlines()) == 1
    assert not list(tmp_path.glob("outputs"))


def test_code_of_ones_own_is_trusted_by_name_alone(
    trie: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(
        "from hydra.experimental.callback import Callback\n"
        "class Mine(Callback):\n    def on_run_start(self, config, **kwargs): print('mine ran')\n"
    )
    (tmp_path / "mine.yaml").write_text("hydra: {callbacks: {x: {_target_: mine.Mine}}}\n")
    refused = trie("experiment=./mine.yaml")
    assert "hydra.callbacks.x._target_=mine.Mine: a config may not name code to run" in refused.stderr
    monkeypatch.syspath_prepend(tmp_path)  # in this process; PYTHONPATH for one of its own
    path = f"{ROOT}{os.pathsep}{tmp_path}"
    trusted = trie("experiment=./mine.yaml", "model=null", TRIE_TRUSTED_TARGETS="mine.", PYTHONPATH=path)
    assert trusted.returncode == 0, trusted.stderr
    assert "mine ran" in trusted.stdout


def tokenizer_with_code(folder: Path) -> Path:
    """A folder as a hub repository with code of its own would be: a tokenizer, and Python that says to load it."""
    folder.mkdir()
    words = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(folder / "tokenizer.json"))
    settings: dict[str, Any] = {
        "tokenizer_class": "Mine",
        "auto_map": {"AutoTokenizer": [None, "tokenization_mine.Mine"]},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "tokenization_mine.py").write_text(
        "import pathlib\nfrom transformers import PreTrainedTokenizerFast\n"
        f"pathlib.Path({str(folder / 'ran')!r}).touch()\nclass Mine(PreTrainedTokenizerFast):\n    pass\n"
    )
    return folder


def test_code_beside_a_tokenizer_runs_only_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = tokenizer_with_code(tmp_path / "model")
    with suppress(PromptError):
        tokenizers.load(str(folder))
    assert not (folder / "ran").exists()
    tokenizers.load(str(folder), trust_remote_code=True)
    assert (folder / "ran").exists()
