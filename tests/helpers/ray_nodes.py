"""Nodes of a Ray cluster on this machine, each with an address of the loopback and a temporary folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from helpers.command_line import environment

RAY = Path(sys.executable).with_name("ray")
START_S = 180.0  # of a node on a machine that has much to do
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_raylet_start_wait_time_s": f"{START_S:.0f}",
    "OPENBLAS_NUM_THREADS": "1",
}


class Node:
    """What `ray start --block` starts; `skewed` is a folder whose sitecustomize.py changes its clock."""

    def __init__(self, number: int, *arguments: str, home: Path, skewed: Path | None = None) -> None:
        self.number = number
        self.temporary = Path(tempfile.mkdtemp(prefix="trie-ray-", dir="/tmp"))  # sockets have short paths
        self.log = self.temporary / "start.log"
        command = [
            RAY,
            "start",
            "--block",
            f"--node-ip-address=127.0.0.{number + 2}",
            f"--temp-dir={self.temporary}",
            *arguments,
        ]
        env = environment(HOME=str(home), **QUIET)
        if skewed is not None:
            env["PYTHONPATH"] = f"{skewed}:{env['PYTHONPATH']}"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)

    def port(self) -> int:
        """That of the head, once it can be connected to."""
        until = time.monotonic() + START_S
        while "Ray runtime started" not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.1)
        [file] = self.temporary.glob("session_latest/gcs_server_port_*")
        return int(file.read_text())

    def processes(self) -> list[int]:
        """All processes of the node, its workers included."""
        return _family(self.process.pid)

    def kill(self) -> None:
        """kill -9 of all of it at once, as when a machine loses its power."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def end(self) -> None:
        """Nothing is left of it."""
        family = self.processes()
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(15)
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.temporary, ignore_errors=True)


def _family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        threads = [
            child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
        ]
    except OSError:
        return [pid]
    return [pid, *(member for child in {*children, *threads} for member in _family(int(child)))]


class Nodes:
    """A head without workers, and the nodes that join it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.nodes: list[Node] = []
        self.address = ""  # of the head

    def begin(self) -> None:
        """Start the head."""
        head = self._started(0, "--head", "--port=0", "--num-cpus=0", "--include-dashboard=false")
        self.address = f"127.0.0.2:{head.port()}"

    def join(self, number: int, skewed: Path | None = None) -> Node:
        """A node with room for one worker."""
        return self._started(number, f"--address={self.address}", "--num-cpus=1", skewed=skewed)

    def leave(self, number: int) -> None:
        """A node is gone from one moment to the next."""
        for node in [node for node in self.nodes if node.number == number]:
            node.kill()
            node.end()
            self.nodes.remove(node)

    def room_for(self, workers: int) -> Node:
        """Join or leave until so many nodes are there beside the head; the first of them."""
        numbers = [node.number for node in self.nodes if node.number]
        for number in numbers[workers:]:
            self.leave(number)
        for number in range(max(numbers, default=0) + 1, max(numbers, default=0) + 1 + workers - len(numbers)):
            self.join(number)
        return next(node for node in self.nodes if node.number)

    def processes(self) -> list[int]:
        return [pid for node in self.nodes for pid in node.processes()]

    def end(self) -> None:
        for node in reversed(self.nodes):
            node.end()

    def _started(self, number: int, *arguments: str, skewed: Path | None = None) -> Node:
        node = Node(number, *arguments, home=self.home, skewed=skewed)
        self.nodes.append(node)
        return node


def write_token(home: Path) -> None:
    """Where RAY_AUTH_MODE=token looks for it."""
    token = home / ".ray" / "auth_token"
    token.parent.mkdir(parents=True)
    token.write_text("0" * 64)


@contextmanager
def nodes(home: Path) -> Iterator[Nodes]:
    """A cluster that never outlives its tests; its token is in a home of its own."""
    write_token(home)
    cluster = Nodes(home)
    try:
        cluster.begin()
        yield cluster
    finally:
        cluster.end()
