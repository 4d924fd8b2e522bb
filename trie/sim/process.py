"""The embedded endpoint as a process of its own, started for a run and ended with it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from trie.config import SimConfig
from trie.errors import EndpointError

START_S = 20.0
END_S = 3.0


@asynccontextmanager
async def embedded(config: SimConfig) -> AsyncIterator[str]:
    """Start the endpoint; yields its base URL, up to and including /v1.

    Raises:
        EndpointError: when it does not come up, with what it said.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "trie.sim.server",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=_environment(),
        limit=1 << 20,
    )
    try:
        yield f"http://127.0.0.1:{await _port(process, config)}/v1"
    finally:
        await asyncio.shield(_end(process))


def _environment() -> dict[str, str]:
    """Ours, with the package findable from any folder and without the keys that the endpoint has no use for."""
    kept = {key: value for key, value in os.environ.items() if not key.endswith(("API_KEY", "TOKEN"))}
    paths = [str(Path(__file__).parents[2]), kept.get("PYTHONPATH", "")]
    return {**kept, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


async def _port(process: asyncio.subprocess.Process, config: SimConfig) -> int:
    assert process.stdin is not None
    assert process.stdout is not None
    line = b""
    with suppress(ConnectionError, TimeoutError):
        process.stdin.write(json.dumps(asdict(config)).encode() + b"\n")
        await process.stdin.drain()
        line = await asyncio.wait_for(process.stdout.readline(), START_S)
    if not line:
        raise EndpointError(f"the embedded endpoint did not start: {await _last_words(process)}")
    return int(json.loads(line)["port"])


async def _last_words(process: asyncio.subprocess.Process) -> str:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
    assert process.stderr is not None
    said = (await process.stderr.read()).decode("utf-8", "replace").strip().splitlines()
    return said[-1] if said else f"nothing within {START_S:g} s"


async def _end(process: asyncio.subprocess.Process) -> None:
    """End it the polite way first: its stdin's end is its sign to go."""
    assert process.stdin is not None
    process.stdin.close()
    for last_resort in (process.terminate, process.kill):
        try:
            await asyncio.wait_for(process.wait(), END_S)
        except TimeoutError:
            with suppress(ProcessLookupError):
                last_resort()
        else:
            return
    await process.wait()
