"""One response on its way out: the engine's tokens as they leave, and what a fault makes of them."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from trie.config import SimConfig
from trie.sim import wire
from trie.sim.driver import Driver
from trie.sim.model import Job

STALL_S = 1.0
DONE = b"data: [DONE]\n\n"


class Reply:
    """Streams or collects an answer of `words`, one a token."""

    def __init__(
        self,
        request: web.Request,
        body: dict[str, Any],
        *,
        out: wire.Wire,
        words: list[str],
        job: Job,
        finish: str,
        config: SimConfig,
        fault: str | None,
    ) -> None:
        options = body.get("stream_options") or {}
        self._request = request
        self._stream = bool(body.get("stream"))
        self._usage_last = not self._stream or bool(options.get("include_usage"))
        self._usage_each = bool(options.get("continuous_usage_stats"))
        self._out = out
        self._words = words
        self._job = job
        self._config = config
        self._fault = fault
        self._finish = finish
        self._sent = 0
        self._ended = asyncio.Event()
        headers = {"X-Request-Id": request.headers["X-Request-Id"]} if "X-Request-Id" in request.headers else None
        self.response: web.StreamResponse = web.StreamResponse(headers=headers) if self._stream else web.Response()

    async def send(self, driver: Driver) -> None:
        """Run the job and see the response out; a broken connection ends it quietly."""
        if not self._stream:
            driver.submit(self._job, self._count)
            await self._ended.wait()
            self.response = self._whole()
            return
        self.response.content_type = "text/event-stream"
        self.response.enable_chunked_encoding()
        await self.response.prepare(self._request)
        driver.submit(self._job, self._emit)
        await self._ended.wait()
        if self._fault == "stall":
            await asyncio.sleep(STALL_S)
            self._close()
        if self._request.transport is not None and not self._request.transport.is_closing():
            await self.response.write_eof()

    def _count(self, _: int, finished: bool) -> None:
        if finished:
            self._ended.set()

    def _emit(self, tokens: int, finished: bool) -> None:
        """Write one chunk straight to the transport: it is framed here, and nothing waits for a drain."""
        transport = self._request.transport
        if transport is None or transport.is_closing():
            self._ended.set()
            return
        if self._fault == "empty":
            self._close_without_tokens(finished=finished)
            return
        said = " " + " ".join(self._words[self._sent : self._sent + tokens])
        self._sent += tokens
        broken = self._broken(transport)
        usage = self._usage() if self._usage_each else None
        finish = self._finish if finished and self._fault != "truncated" else None
        data = self._out.chunk(said, finish, usage)
        if not broken:
            transport.write(wire.framed(data))
        if broken or (finished and self._fault in {"stall", "truncated"}):
            self._ended.set()
        elif finished:
            self._close()

    def _broken(self, transport: asyncio.Transport) -> bool:
        """Break the stream off after its first tokens, if that is the fault."""
        if self._sent < 2 and self._job.max_tokens > 1:
            return False
        if self._fault == "reset":
            transport.abort()
        elif self._fault == "error_event":
            transport.write(wire.framed(wire.event(wire.error(500, "injected fault error_event"))))
        else:
            return False
        return True

    def _close_without_tokens(self, *, finished: bool) -> None:
        if finished:
            self._sent = 0
            self._close()

    def _close(self) -> None:
        transport = self._request.transport
        if transport is not None and not transport.is_closing():
            if self._usage_last and self._config.report_usage and self._fault != "no_usage":
                transport.write(wire.framed(self._out.usage(self._usage())))
            transport.write(wire.framed(DONE))
        self._ended.set()

    def _usage(self) -> dict[str, Any]:
        cached = self._job.cached_tokens if self._config.report_cached_tokens else None
        return wire.usage_of(self._job.prompt_tokens, self._sent, cached)

    def _whole(self) -> web.Response:
        empty = self._fault == "empty"
        self._sent = 0 if empty else len(self._words)
        answer = "" if empty else " " + " ".join(self._words)
        usage = self._usage() if self._config.report_usage and self._fault != "no_usage" else None
        body = self._out.plain(answer, self._finish, usage)
        if self._fault == "error_event":
            body = wire.event(wire.error(500, "injected fault error_event")).removeprefix(b"data: ")
        elif self._fault in {"truncated", "reset"}:
            body = body[: len(body) // 2]
        headers = dict(self.response.headers)
        return web.Response(body=body, content_type="application/json", headers=headers or None)
