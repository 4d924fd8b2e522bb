"""The embedded endpoint as a process of its own, started for a run and ended with it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict
from tempfile import TemporaryFile
from typing import IO

from trie.child_process import child_environment
from trie.config import SimConfig
from trie.errors import EndpointError

START_S = 10.0
END_S = 3.0


@asynccontextmanager
async def embedded(config: SimConfig, *, on_death: Callable[[str], object] = lambda _: None) -> AsyncIterator[str]:
    """Start the endpoint; yields its base URL, up to and including /v1.

    However the block is left, the process has ended when this returns, and at once where a cancellation left it; when
    we are killed, it ends by itself. When it ends while the block still runs, `on_death` is told at once how.

    Raises:
        EndpointError: when it does not come up, with what it said.
    """
    with TemporaryFile() as stderr:  # a pipe that nobody reads could fill up and hold the server
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # a random.py where the user stands is none of ours
            "-m",
            "trie.sim.server",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            env=child_environment(),
            start_new_session=True,  # Ctrl-C is ours to handle, from its first instant on
        )
        try:
            port = await _port(process, config)
            if port is None:
                await _kill(process)
                nothing = f"it said nothing within {START_S:g} s"
                raise EndpointError(f"the embedded endpoint did not start: {_last_words(stderr, nothing)}")
            with _watched(process, lambda: on_death(_how(process, stderr))):
                yield f"http://127.0.0.1:{port}/v1"
        except asyncio.CancelledError:  # whoever asks again has waited for something else already
            await _kill(process)
            raise
        finally:
            ending = asyncio.ensure_future(_end(process))
            try:
                await asyncio.shield(ending)
            except asyncio.CancelledError:  # no more time for the polite way
                await _kill(process)
                raise


async def _port(process: asyncio.subprocess.Process, config: SimConfig) -> int | None:
    """Where it listens; None when it ended or took too long."""
    assert process.stdin is not None
    assert process.stdout is not None
    line = b""
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(START_S):
            process.stdin.write(json.dumps(asdict(config)).encode() + b"\n")
            await process.stdin.drain()
            line = await process.stdout.readline()
    return int(json.loads(line)["port"]) if line else None


def _last_words(stderr: IO[bytes], nothing: str) -> str:
    stderr.seek(0)
    said = stderr.read().decode("utf-8", "replace").strip().splitlines()
    return said[-1] if said else nothing


@contextmanager
def _watched(process: asyncio.subprocess.Process, on_end: Callable[[], object]) -> Iterator[None]:
    """Call `on_end` when the process ends while the block runs."""
    ended = asyncio.ensure_future(process.wait())
    ended.add_done_callback(lambda done: None if done.cancelled() else on_end())
    try:
        yield
    finally:
        ended.cancel()


def _how(process: asyncio.subprocess.Process, stderr: IO[bytes]) -> str:
    """How it ended, for people."""
    code = process.returncode or 0
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}; {_last_words(stderr, 'it said nothing')}"


async def _kill(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


async def _end(process: asyncio.subprocess.Process) -> None:
    """End it the polite way first: its stdin's end is its sign to go."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), END_S)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), END_S)
        except TimeoutError:
            await _kill(process)
