"""Whether a run goes on: its process holds a lock on the folder of its rows, which the system lets go of with it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trie.storage.run_dir import REQUESTS

RECENT_S = 10.0  # where there are no locks, rows younger than this are of a run that goes on


@contextmanager
def going_on(directory: Path) -> Iterator[None]:
    """Let others see that the run goes on; where the file system has no locks they see it by its rows."""
    if sys.platform == "win32":
        yield
        return
    import fcntl  # not there on every platform

    folder = os.open(directory / REQUESTS, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_EX)  # a reader holds it for an instant at most
        yield
    finally:
        os.close(folder)


def goes_on(directory: Path) -> bool:
    """Whether a process writes the rows of the run in `directory`."""
    rows = directory / REQUESTS
    try:
        locked = _locked(rows)
        return time.time() - rows.stat().st_mtime < RECENT_S if locked is None else locked
    except OSError:
        return False


def _locked(folder: Path) -> bool | None:
    """Whether a process holds the lock; None where there are none, as on file systems of a network."""
    if sys.platform == "win32":
        return None
    import fcntl  # as above

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return True
    except OSError:
        os.close(handle)
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # which a network's may refuse to those who only read
    except BlockingIOError:  # another reader
        return False
    except OSError:
        return None
    finally:
        os.close(handle)
    return False
