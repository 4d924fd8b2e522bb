"""What tests share: small real things, no mocks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from helpers.simulator import Serve

from trie.config import SimConfig
from trie.sim.server import serve


@pytest.fixture
def sim() -> Serve:
    """The embedded endpoint in this process, on a port of the system's choice."""

    @asynccontextmanager
    async def serving(config: SimConfig) -> AsyncIterator[str]:
        ended, port = asyncio.Event(), asyncio.get_running_loop().create_future()
        task = asyncio.create_task(serve(config, 0, ended, port.set_result))
        try:
            yield f"http://127.0.0.1:{await port}/v1"
        finally:
            ended.set()
            await task

    return serving
