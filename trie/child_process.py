"""Processes of ours that run a module of the package, without keys."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO

import trie
from trie.errors import TrieError


def child_environment() -> dict[str, str]:
    """Our own, with the package findable from any folder and without keys, which no child has a use for."""
    kept = {key: value for key, value in os.environ.items() if not key.endswith(("API_KEY", "TOKEN"))}
    paths = [str(Path(trie.__file__).parent.parent), kept.get("PYTHONPATH", "")]
    return {**kept, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


@asynccontextmanager
async def child(module: str, *arguments: str, stderr: int | IO[bytes] = PIPE) -> AsyncIterator[Process]:
    """A process that runs a module and is spoken to by pipes; it is killed when the block ends.

    Raises:
        TrieError: when the system allows no further process.
    """
    command = (sys.executable, "-P", "-m", module, *arguments)  # -P: a random.py where the user stands is none of ours
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=stderr, env=child_environment(), start_new_session=True
        )
    except OSError as error:
        raise TrieError(
            f"a process of {module} can't be started: {error.strerror}: raise the limit of processes (ulimit -u) or of "
            f"open files (ulimit -n), or take fewer workers"
        ) from error
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
