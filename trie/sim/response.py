"""One response on its way out: the engine's tokens as they leave, and what a fault makes of them."""

from __future__ import annotations

import asyncio
import csv
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from trie.errors import ConfigError
from trie.sim import wire
from trie.sim.faults import STALL_S
from trie.sim.jobs import Job
from trie.sim.realtime import Driver
from trie.sim.tokens import answer_words

RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time


@dataclass(frozen=True, slots=True)
class Ask:
    """One accepted request: what it wants and what will come of it."""

    request: web.Request
    arrived: float  # when its body was there, by perf_counter
    number: int
    job: Job
    out: wire.Wire
    finish: str
    fault: str | None
    usage: bool  # report it at the end
    usage_each: bool  # report it in every chunk
    report_cached: bool
    ids: list[int] | None = None  # of the answer, where they are asked for
    prompt_ids: list[int] | None = None  # which come back with them

    def usage_now(self, tokens: int) -> dict[str, Any]:
        """The usage object after that many tokens."""
        return wire.usage_of(self.job.prompt_tokens, tokens, self.job.cached_tokens if self.report_cached else None)

    def headers(self) -> dict[str, str]:
        """The request's own id comes back."""
        given = self.request.headers.get("X-Request-Id")
        return {} if given is None else {"X-Request-Id": given}


class Stream:
    """A response of server-sent events, a chunk for each emission of the engine."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._sent = 0  # tokens
        self.chunks = 0  # that held tokens
        self.first_s = self.last_s = 0.0  # when the first and the last of them were written, by perf_counter
        self._broken = False
        self.complete = False
        self._held: list[bytes] | None = None  # events that a stall keeps back
        self._over = asyncio.Event()

    async def send(self, driver: Driver) -> web.StreamResponse:
        """Run the job and see the response out; a broken connection ends it quietly."""
        ask = self._ask
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **ask.headers()})
        response.enable_chunked_encoding()
        await response.prepare(ask.request)
        driver.submit(ask.job, self._emit, ask.arrived)
        await self._over.wait()
        if self._broken:
            abort(ask.request)
        elif _open(ask.request):
            await response.write_eof()
        return response

    def _emit(self, tokens: int, finished: bool) -> None:
        ask, first = self._ask, self._sent == 0
        if self._over.is_set():
            return
        if ask.fault in {"reset", "error_event"} and (not first or finished):
            self._break()
            return
        said = " " + " ".join(answer_words(ask.number, self._sent, self._sent + tokens))
        ids = None if ask.ids is None else ask.ids[self._sent : self._sent + tokens]
        self._sent += tokens
        if ask.fault != "empty":
            usage = ask.usage_now(self._sent) if ask.usage_each else None
            finish = ask.finish if finished and ask.fault != "truncated" else None
            self.last_s = perf_counter()
            self.first_s = self.first_s or self.last_s
            self.chunks += 1
            self._write(ask.out.chunk(said, finish, usage, ids, ask.prompt_ids))
        if ask.fault == "stall" and first:
            self._held = []
            asyncio.get_running_loop().call_later(STALL_S, self._resume)
        if finished:
            self._close()

    def _break(self) -> None:
        if self._ask.fault == "error_event":
            self._write(wire.event(wire.error(500, "injected fault error_event")))
        self._broken = self._ask.fault == "reset"
        self._over.set()

    def _close(self) -> None:
        ask = self._ask
        if ask.fault != "truncated":
            if ask.usage:
                self._write(ask.out.usage(ask.usage_now(0 if ask.fault == "empty" else self._sent)))
            self._write(wire.DONE)
        self.complete = True
        if self._held is None:
            self._over.set()

    def _resume(self) -> None:
        held, self._held = self._held or [], None
        for data in held:
            self._write(data)
        if self.complete:
            self._over.set()

    def _write(self, data: bytes) -> None:
        """Write one event straight to the transport: it is framed here, and nothing waits for a drain."""
        if self._held is not None:
            self._held.append(data)
        elif _open(self._ask.request):
            transport = self._ask.request.transport
            assert transport is not None
            transport.write(wire.framed(data))
        else:
            self._over.set()


async def plain(ask: Ask, driver: Driver) -> web.StreamResponse:
    """A whole answer in one body, once its last token is there."""
    over = asyncio.Event()
    driver.submit(ask.job, lambda _, finished: over.set() if finished else None, ask.arrived)
    await over.wait()
    if ask.fault == "stall":
        await asyncio.sleep(STALL_S)
    if ask.fault == "error_event":
        return json_response(wire.error(500, "injected fault error_event"), headers=ask.headers())
    tokens = 0 if ask.fault == "empty" else ask.job.generated
    words = answer_words(ask.number, 0, tokens)
    answer = " " + " ".join(words) if words else ""
    body = ask.out.plain(answer, ask.finish, ask.usage_now(tokens) if ask.usage else None, ask.ids)
    if ask.fault == "reset":
        return await _half(ask, body)
    if ask.fault == "truncated":
        body = body[: len(body) // 2]
    return web.Response(body=body, content_type="application/json", headers=ask.headers())


async def _half(ask: Ask, body: bytes) -> web.StreamResponse:
    """Break the connection off in the middle of a body whose length was announced."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
    await response.prepare(ask.request)
    await response.write(body[: len(body) // 2])
    await asyncio.sleep(0)  # some loops write at the end of a pass
    abort(ask.request)
    return response


def json_response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """JSON as the body."""
    return web.Response(body=wire.dumps(content), status=status, content_type="application/json", headers=headers)


def abort(request: web.Request) -> None:
    """Reset the connection: the client sees it break rather than end."""
    transport = request.transport
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None and not transport.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    transport.abort()


def _open(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()


COLUMNS = ("request_id", "arrived_s", "first_chunk_s", "last_chunk_s", "chunks")


class Journal:
    """A CSV file with a line for each streamed answer; instants are `perf_counter` seconds of this machine.

    On Linux that clock is the same in all processes, so a client there can be held against it instant by instant.
    `path` None keeps none.

    Raises:
        ConfigError: on entering, when the file can't be made.
    """

    def __init__(self, path: str | None) -> None:
        self._path = path

    def __enter__(self) -> Self:
        if self._path is None:
            return self
        try:
            self._file = Path(self._path).open("w", newline="", encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"sim.log={self._path}: can't be written: {error.strerror}") from error
        self._lines = csv.writer(self._file)
        self._lines.writerow(COLUMNS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._path is not None:
            self._file.close()

    def note(self, request_id: str, arrived_s: float, first_s: float, last_s: float, chunks: int) -> None:
        """Write down one answer that was sent whole."""
        if self._path is not None:
            self._lines.writerow((request_id, f"{arrived_s:.9f}", f"{first_s:.9f}", f"{last_s:.9f}", chunks))
