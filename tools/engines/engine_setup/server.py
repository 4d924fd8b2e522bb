"""One engine as a process: started on a port of the system's choice, waited for, and ended for sure."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine_setup import keeper
from engine_setup.places import SetupError, cache

HOST = "127.0.0.1"
POLL_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Command:
    """How a server is started and known to be ready."""

    words: Sequence[str | Path]
    env: Mapping[str, str]
    port: int
    ready: str | None = "/health"  # a route that answers 200, None: it is enough to be connected, and
    says: str = ""  # with this in its body, once the server can serve
    timeout_s: float = 400.0  # two vLLM engines take 70 s on two cores of their own


@dataclass(frozen=True)
class Server:
    """A server that answers."""

    name: str
    port: int
    log: Path
    pid: int  # of the keeper; the server and its workers are below it
    start_s: float

    @property
    def root(self) -> str:
        """URL without a path."""
        return f"http://{HOST}:{self.port}"

    @property
    def url(self) -> str:
        """Base URL of the API."""
        return f"{self.root}/v1"

    def ask(self, method: str, route: str, body: Any = None, timeout_s: float = 60.0) -> tuple[int, bytes]:
        """Status and body of one request; `body` goes as JSON."""
        return ask(self.port, method, route, body, timeout_s)

    def get_json(self, route: str) -> Any:
        """A JSON document that has to be there."""
        status, body = self.ask("GET", route)
        assert status == 200, (route, status, body[:200])
        return json.loads(body)

    def post_json(self, route: str, body: Any) -> Any:
        """The answer in JSON to JSON that has to be accepted."""
        status, answer = self.ask("POST", route, body, timeout_s=300.0)
        assert status == 200, (route, status, answer[:400])
        return json.loads(answer)


def ask(port: int, method: str, route: str, body: Any = None, timeout_s: float = 60.0) -> tuple[int, bytes]:
    """Status and body of one request to a server on this machine."""
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout_s)
    try:
        data = None if body is None else json.dumps(body).encode()
        connection.request(method, route, data, {"Content-Type": "application/json"} if data else {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(name: str, command: Command) -> Iterator[Server]:
    """A server from when it is ready until the block ends, or until this process does.

    Raises:
        SetupError: when it ends before it is ready, or is not ready in time; with the end of its log.
    """
    logs = cache() / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{name}-{command.port}.log"
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, keeper.__file__, *map(str, command.words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,  # Ctrl-C reaches whoever started it, and through the leash the server
            env={**os.environ, **command.env},
        )
    try:
        _wait(process, command, began + command.timeout_s, log)
        yield Server(name, command.port, log, process.pid, time.monotonic() - began)
    finally:
        process.communicate(timeout=2 * keeper.GRACE_S)  # closes its input


def _wait(process: subprocess.Popen[bytes], command: Command, until: float, log: Path) -> None:
    while not _answers(command):
        if process.poll() is not None:
            raise SetupError(f"{command.words[0]} ended before it was ready; {log}:\n{_tail(log)}")
        if time.monotonic() > until:
            raise SetupError(f"{command.words[0]} not ready after {command.timeout_s:g} s; {log}:\n{_tail(log)}")
        time.sleep(POLL_S)


def _answers(command: Command) -> bool:
    try:
        if command.ready is None:
            socket.create_connection((HOST, command.port), timeout=5.0).close()
            return True
        status, body = ask(command.port, "GET", command.ready, timeout_s=5.0)
    except (OSError, http.client.HTTPException):
        return False
    return status == 200 and command.says.encode() in body


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])
