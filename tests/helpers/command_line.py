"""The command line, in a process of its own or in the tests' own, and an endpoint that notes the keys that reach it."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import trie
from trie.cli import main

ROOT = Path(trie.__file__).parents[1]
CONSOLE_SCRIPT = "import sys\nfrom trie.__main__ import main\nsys.exit(main())\n"  # as installers write it

# For a fixture that gives a Command.
HERE_AND_IN_A_PROCESS = ["here", pytest.param("process", marks=pytest.mark.slow)]

Finished = subprocess.CompletedProcess[str]
Command = Callable[..., Finished]


def environment(**more: str) -> dict[str, str]:
    hidden = {"OPENAI_API_KEY", "HYDRA_FULL_ERROR", "COLUMNS"}
    kept = {key: value for key, value in os.environ.items() if key not in hidden}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def in_a_process(folder: Path, *command: str, **env: str) -> Finished:
    """A command of its own process, as a user has it."""
    return subprocess.run(
        command, cwd=folder, env=environment(**env), capture_output=True, text=True, timeout=90, check=False
    )


def in_this_process(folder: Path, *arguments: str, **env: str) -> Finished:
    """`trie ...` without the second that a process takes to start; afterwards this process is as before."""
    printed, errors = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with _surroundings(folder, environment(**env)), redirect_stdout(printed), redirect_stderr(errors):
        code = _exit_code(arguments)
    texts = [file.buffer.getvalue().decode() for file in (printed, errors)]  # type: ignore[attr-defined]
    return Finished(["trie", *arguments], code, *texts)


def _exit_code(arguments: Sequence[str]) -> int:
    """The interpreter's own part: what exits does so, and a bug's traceback is printed."""
    try:
        return main.run(list(arguments))
    except SystemExit as ended:
        return int(ended.code or 0)
    except Exception:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        return 1


@contextmanager
def _surroundings(folder: Path, variables: dict[str, str]) -> Iterator[None]:
    """A working directory, variables, a name, and loggers without handlers, for as long as a command takes."""
    variables_before, folder_before, argv = dict(os.environ), Path.cwd(), sys.argv
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    sys.argv = ["trie"]
    try:
        with _loggers_restored():
            yield
    finally:
        sys.argv = argv
        os.chdir(folder_before)
        os.environ.clear()
        os.environ.update(variables_before)


@contextmanager
def _loggers_restored() -> Iterator[None]:
    """Loggers as a new process has them, and then as they were."""
    _close_log_files()
    before = {logger: (logger.handlers, logger.level, logger.disabled) for logger in _loggers()}
    for logger in before:
        logger.handlers, logger.disabled = [], False
        logger.setLevel(logging.NOTSET if logger.parent else logging.WARNING)
    try:
        yield
    finally:
        for handler in logging.getLogger().handlers:
            handler.close()
        for logger in _loggers():
            logger.handlers, level, logger.disabled = before.get(logger, ([], logging.NOTSET, False))
            logger.setLevel(level)


def _close_log_files() -> None:
    """Those that a test left open which called `main.run` itself: a closed one that stays would open its file again."""
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, logging.FileHandler) and handler.baseFilename != os.devnull:
            root.removeHandler(handler)
            handler.close()


def _loggers() -> list[logging.Logger]:
    root = logging.getLogger()
    return [root, *(logger for logger in root.manager.loggerDict.values() if isinstance(logger, logging.Logger))]


class Endpoint(ThreadingHTTPServer):
    """An endpoint that notes the keys that reach it and answers at once with as many tokens as were asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.authorizations: list[str | None] = []
        self.models: set[str] = set()
        self.prompts: list[str] = []
        self.holding = False  # the second request of each session gets no answer until the end
        self.held: set[int] = set()  # sessions
        self.ending = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


@contextmanager
def serving(*, holding: bool = False) -> Iterator[Endpoint]:
    server = Endpoint()
    server.holding = holding
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.ending.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_GET(self) -> None:
        self.server.authorizations.append(self.headers["Authorization"])
        self._answer("application/json", json.dumps({"object": "list", "data": [{"id": "M"}]}))

    def do_POST(self) -> None:
        self.server.authorizations.append(self.headers["Authorization"])
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.models.add(body["model"])
        self.server.prompts.append(body["prompt"])
        if self.server.holding and self._is_second():
            self.server.ending.wait()
            return
        asked, prompt = body["max_tokens"], len(body["prompt"].split())
        choice = {"index": 0, "text": " word" * asked, "finish_reason": "length"}
        usage = {"prompt_tokens": prompt, "completion_tokens": asked, "total_tokens": prompt + asked}
        whole = {"id": "x", "object": "text_completion", "model": body["model"], "choices": [choice]}
        if not body.get("stream"):
            self._answer("application/json", json.dumps({**whole, "usage": usage}))
            return
        events = [json.dumps(whole), json.dumps({**whole, "choices": [], "usage": usage}), "[DONE]"]
        self._answer("text/event-stream", "".join(f"data: {event}\n\n" for event in events))

    def _is_second(self) -> bool:
        """Whether a request is the second one of a session; it is noted."""
        name = self.headers.get("X-Request-Id", "")  # seed-session-turn
        second = name.count("-") == 2 and name.endswith("-1")
        if second:
            self.server.held.add(int(name.split("-")[1]))
        return second

    def _answer(self, kind: str, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None: ...
