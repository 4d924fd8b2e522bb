"""Runs as processes of their own, in folders of their own, and what they may not leave behind."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.command_line import ROOT, environment
from trie.storage.run_dir import RunDir

if TYPE_CHECKING:
    import pandas as pd

SERVER = ROOT / "benchmarks" / "server.py"
# A shell that started the tests in the background has its children ignore Ctrl-C.
START = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\nfrom trie.cli.main import main; main()"
)
ROW = {
    "num_turns": 1,
    "input_prompt_length": 20,
    "assistant_response_length": [6],
    "tool_call_output_length": [5],
    "tool_call_latency": [0.01],
    "final_assistant_response_length": 4,
}


class Run:
    """`python -m trie` with its run in `folder`/run, its temporary files in a place of its own, and a way to look."""

    def __init__(self, folder: Path, *settings: str, directory: Path | None = None, **env: str) -> None:
        self.folder = folder
        self.directory = directory or folder / "run"
        self.temporary = folder / f"tmp-{time.monotonic_ns()}"
        self.temporary.mkdir()
        command = [sys.executable, "-c", START, *settings, "progress=none", f"hydra.run.dir={self.directory}"]
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(TMPDIR=str(self.temporary), **env),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def started(self) -> None:
        """Wait until the clock runs."""
        assert self.process.stdout is not None
        assert any("starting benchmark" in line for line in self.process.stdout), self.process.communicate()[1]

    def under_way(self) -> None:
        """Wait until rows are on disk."""
        self.waits_for(lambda: bool(list(self.directory.glob("requests/part-*.parquet"))), timeout_s=30.0)

    def both_workers_have_rows(self) -> None:
        """Wait until rows of worker 0 and of worker 1 are on disk."""
        self.waits_for(
            lambda: all(list(self.directory.glob(f"requests/part-w000{worker}-*.parquet")) for worker in (0, 1))
        )

    def waits_for(self, condition: Callable[[], bool], timeout_s: float = 300.0) -> None:
        """Wait until it holds, while the run goes on."""
        until = time.monotonic() + timeout_s
        while not condition():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < until
            time.sleep(0.02)

    def ended(self, timeout_s: float = 30.0) -> tuple[int, str]:
        """Exit code and stderr; nothing of it is left."""
        _, errors = self.process.communicate(timeout=timeout_s)
        self.assert_nothing_left()
        return self.process.returncode, errors

    def children(self) -> list[int]:
        """Processes that it started."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def assert_nothing_left(self) -> None:
        """No process that carries its environment, no temporary file; what is told to end may take a second."""
        until = time.monotonic() + 3.0
        while (left := self._left()) and time.monotonic() < until:
            time.sleep(0.02)
        assert not left, left
        assert list(self.temporary.iterdir()) == []

    def _left(self) -> list[str]:
        mark = f"TMPDIR={self.temporary}".encode()
        commands = []
        for environ in Path("/proc").glob("[0-9]*/environ"):
            try:
                if mark in environ.read_bytes().split(b"\0"):
                    commands.append(environ.parent.joinpath("cmdline").read_text())
            except OSError:
                continue
        return [command for command in commands if command]  # a zombie has none

    def rows(self) -> RunDir:
        return RunDir.open(self.directory)

    def last_rows(self) -> pd.Series[float]:
        """When the last row of each worker ended, as far as they are on disk."""
        return self.rows().records().to_pandas().groupby("worker_id").end_s.max()


@contextmanager
def run(folder: Path, *settings: str, directory: Path | None = None, **env: str) -> Iterator[Run]:
    """A run that never outlives the test."""
    started = Run(folder, *settings, directory=directory, **env)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.communicate()


@contextmanager
def logging_server(log: Path) -> Iterator[str]:
    """The server of benchmarks/, which notes each answer and when it was finished."""
    command = [sys.executable, str(SERVER), "--ttft-ms", "5", "--itl-ms", "3", "--log", str(log)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.stdin.close()
            process.wait(10)


def answered(log: Path) -> list[tuple[str, int, int, float]]:
    """Seed, session, turn and instant (time.monotonic) of each answer that a run got."""
    answers = []
    for line in log.read_text().splitlines():
        name, _, instant = line.split(",")
        if name.count("-") == 2:
            seed, session, turn = name.split("-")
            answers.append((seed, int(session), int(turn), float(instant)))
    return answers


def write_workload(folder: Path) -> str:
    """A workload of one short trace; the setting that names it."""
    (folder / "short.jsonl").write_text(json.dumps(ROW) + "\n")
    return "workload=./short.jsonl"
