"""A real embedded endpoint on a port of its own, inside the test's loop, and a client to ask it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from io import BytesIO
from typing import Any, NamedTuple

import aiohttp
import pytest

from trie.config import SimConfig
from trie.sim.server import serve

INSTANT = {"prefill_tok_s": 1e12, "decode_base_s": 0.0, "decode_per_request_s": 0.0, "request_overhead_s": 0.0}


class Said(NamedTuple):
    """A response: its status, headers, and the data of its events, or its one JSON object."""

    status: int
    headers: Any
    events: list[Any]

    @property
    def usage(self) -> dict[str, Any]:
        return next(event["usage"] for event in reversed(self.events) if event != "[DONE]" and "usage" in event)

    @property
    def finish(self) -> list[str]:
        choices = [event["choices"][0] for event in self.events if event != "[DONE]" and event.get("choices")]
        return [choice["finish_reason"] for choice in choices if choice["finish_reason"]]

    @property
    def texts(self) -> list[str]:
        choices = [event["choices"][0] for event in self.events if event != "[DONE]" and event.get("choices")]
        return [
            c["text"] if "text" in c else (c.get("delta") or c.get("message") or {}).get("content", "") for c in choices
        ]


class Sim:
    """A running endpoint."""

    def __init__(self, port: int, session: aiohttp.ClientSession) -> None:
        self.root = f"http://127.0.0.1:{port}"
        self.session = session

    async def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Said:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.session.post(self.root + path, data=BytesIO(data), headers=headers) as response:
            raw = await response.read()
            if response.content_type != "text/event-stream":
                return Said(response.status, response.headers, [json.loads(raw)])
            lines = raw.decode().split("\n\n")
            assert lines.pop() == ""
            assert all(line.startswith("data: ") for line in lines)
            data = [line.removeprefix("data: ") for line in lines]
            events = [event if event == "[DONE]" else json.loads(event) for event in data]
            return Said(response.status, response.headers, events)

    async def ask(self, prompt: Any = " a b c", *, chat: bool = False, headers: Any = None, **body: Any) -> Said:
        what = {"messages": [{"role": "user", "content": prompt}]} if chat else {"prompt": prompt}
        path = "/v1/chat/completions" if chat else "/v1/completions"
        return await self.post(path, {"model": "sim", "ignore_eos": True, **what, **body}, headers)

    async def stream(self, prompt: Any = " a b c", **body: Any) -> Said:
        return await self.ask(prompt, stream=True, **{"stream_options": {"include_usage": True}, **body})

    async def metrics(self) -> dict[str, float]:
        async with self.session.get(self.root + "/metrics") as response:
            lines = [line for line in (await response.text()).splitlines() if not line.startswith("#")]
        pairs = [line.removeprefix("trie_sim:").split() for line in lines]
        return {name: float(value) for name, value in pairs}


@asynccontextmanager
async def running(config: SimConfig) -> AsyncIterator[Sim]:
    ended = asyncio.Event()
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group, aiohttp.ClientSession() as session:
        group.create_task(serve(config, 0, ended, port.set_result))
        try:
            yield Sim(await port, session)
        finally:
            ended.set()


@pytest.fixture
async def sim() -> AsyncIterator[Callable[..., Any]]:
    """Starts an endpoint: instant unless told otherwise."""
    async with AsyncExitStack() as stack:

        async def start(**changed: Any) -> Sim:
            return await stack.enter_async_context(running(SimConfig(**{**INSTANT, **changed})))

        yield start
