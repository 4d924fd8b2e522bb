"""Where engines and models are kept, and how two processes that want the same one wait for each other."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

BUILT = ".built"  # holds what a folder was built from, written last


class SetupError(Exception):
    """An engine can't be had here; the message says why."""


def cache() -> Path:
    """TRIE_ENGINES, or ~/.cache/trie-engines."""
    given = os.environ.get("TRIE_ENGINES")
    return Path(given).absolute() if given else Path.home() / ".cache" / "trie-engines"


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lock of this name among all processes that use the cache."""
    locks = cache() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def built(kind: str, name: str, recipe: str, build: Callable[[Path], None]) -> Path:
    """The folder cache/kind/name, built unless it is there already and was built by the same recipe.

    What was begun and not ended is done again from nothing.

    Raises:
        SetupError: as `build` does.
    """
    folder = cache() / kind / name
    with locked(f"{kind}-{name}"):
        stamp = folder / BUILT
        if stamp.is_file() and stamp.read_text() == recipe:
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        build(folder)
        stamp.write_text(recipe)
    return folder
