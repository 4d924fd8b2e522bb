"""Keeps one server for the process that started this: ends it, with all it started, when that process lets go or dies.

    python keeper.py COMMAND ...

Standard input is the leash: when it ends, by a close or by the death of whoever holds its other side, the server gets
SIGTERM, then SIGKILL. Descendants that made sessions of their own are found too, since orphans come to this process.
Prints `exited STATUS` when the server ended on its own.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

SET_DEATH_SIGNAL, SET_SUBREAPER = 1, 36  # of prctl(2)
GRACE_S = 10.0


def main() -> None:
    """Run the command and wait for the leash or for its end."""
    libc = ctypes.CDLL(None)
    libc.prctl(SET_SUBREAPER, 1, 0, 0, 0)
    server = subprocess.Popen(
        sys.argv[1:],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        start_new_session=True,
        preexec_fn=lambda: libc.prctl(SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0),  # noqa: PLW1509 - nothing runs here yet
    )
    handle = os.pidfd_open(server.pid)
    ready, _, _ = select.select([sys.stdin, handle], [], [])
    if sys.stdin in ready:
        server.terminate()
        with suppress(subprocess.TimeoutExpired):
            server.wait(GRACE_S)
    else:
        print("exited", server.wait(), flush=True)
    end_descendants()


def end_descendants() -> None:
    """Kill what is left of the server, the children of its children included."""
    while left := descendants(os.getpid()):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.01)


def descendants(pid: int) -> list[int]:
    """Ids of all processes below one."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, task.read_text().split()):
                found += [child, *descendants(child)]
    return found


if __name__ == "__main__":
    main()
