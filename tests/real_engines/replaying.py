"""`trie` as its users run it, against an engine, and what it left."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from engine_setup.server import HOST, Server
from helpers.command_line import environment

from trie.storage.run_dir import RunDir

WIDE = "160"  # COLUMNS: tables that are read must not be cut
TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Finished:
    """A run that has ended."""

    code: int
    said: str  # on stderr
    printed: str
    directory: Path

    @cached_property
    def rows(self) -> pd.DataFrame:
        """One row for each request."""
        return RunDir.open(self.directory).records().to_pandas()

    @cached_property
    def summary(self) -> Any:
        """summary.json."""
        return json.loads((self.directory / "summary.json").read_text())

    @cached_property
    def manifest(self) -> Any:
        """manifest.json."""
        return json.loads((self.directory / "manifest.json").read_text())

    def check(self, name: str) -> Any:
        """One condition of the verdict."""
        (found,) = (check for check in self.summary["verdict"] if check["id"] == name)
        return found


class Replay:
    """Runs of one test, in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._runs = 0

    def command(self, server: Server, *settings: str) -> tuple[list[str], Path]:
        """The command line and where its run goes; with `endpoint=NAME` among the settings in that dialect."""
        self._runs += 1
        directory = self.folder / f"run-{self._runs}"
        dialect = any(setting.startswith("endpoint=") for setting in settings)
        at = f"endpoint.base_url={server.url}" if dialect else f"endpoint={server.url}"
        words = [at, "progress=none", f"hydra.run.dir={directory}", *settings]
        return [sys.executable, "-m", "trie", *words], directory

    def start(self, server: Server, *settings: str) -> tuple[subprocess.Popen[str], Path]:
        """A run that goes on."""
        words, directory = self.command(server, *settings)
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            words, cwd=self.folder, env=environment(COLUMNS=WIDE), stdout=pipe, stderr=pipe, text=True
        )
        return process, directory

    def run(self, server: Server, *settings: str) -> Finished:
        """A run to its end."""
        process, directory = self.start(server, *settings)
        try:
            printed, said = process.communicate(timeout=TIMEOUT_S)
        finally:
            process.kill()
            process.communicate()
        return Finished(process.returncode, said, printed, directory)

    def completed(self, server: Server, *settings: str) -> Finished:
        """A run that ended well."""
        done = self.run(server, *settings)
        assert done.code == 0, done.said + done.printed
        return done


@contextmanager
def somebody_else(server: Server, tokens: int) -> Iterator[None]:
    """A request of others that is being answered, of so many tokens unless the block ends before."""
    body = {"model": "tiny", "prompt": "hello", "max_tokens": tokens, "ignore_eos": True, "stream": True}
    connection = http.client.HTTPConnection(HOST, server.port, timeout=60)
    connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    response.readline()
    try:
        yield
    finally:
        response.close()
        connection.close()


def assert_at_rest_after_a_kill(process: subprocess.Popen[str], in_flight: Callable[[], float], streams: int) -> None:
    """Kill a run once it has so many requests in flight: 2 s later the engine has let go of them all."""
    until = time.monotonic() + 30.0
    while in_flight() < streams:
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    process.communicate()
    while in_flight():
        assert time.monotonic() < killed + 2.0
        time.sleep(0.05)
