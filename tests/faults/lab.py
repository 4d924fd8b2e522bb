"""The fault lab: makes each fault of the table happen on real sockets, and sends requests into it."""

from __future__ import annotations

import asyncio
import gzip
import os
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import trustme
from fault import TELLS, WHOLE, Fault, sized
from helpers.rows import planned_row
from helpers.scripted_server import Script, plain_response, playing

from trie.config import EndpointConfig
from trie.endpoint.connection import Connections
from trie.endpoint.request import Request, Requester, fill
from trie.endpoint.request_body import RequestFormat
from trie.endpoint.response import Answer
from trie.storage.record import RequestRecord

KEY = "sk-marker-0123"
MAX_RETRIES = 2
IDLE_S = 0.7  # longer than a connection must lie idle for a close to be taken for the server's keep-alive limit

Place = Callable[[Fault], AbstractAsyncContextManager[str]]


def faulty_then_whole(fault: Fault) -> Callable[[bytes], Script]:
    """The fault for as many attempts as one request makes, then whole answers."""
    times = 1 if fault.error_kind is None else fault.attempts
    scripts = iter([*([] if fault.before is None else [fault.before]), *[fault.script] * times])
    return lambda _: next(scripts, WHOLE)


@asynccontextmanager
async def scripted(fault: Fault) -> AsyncIterator[str]:
    async with playing(faulty_then_whole(fault)) as (url, _):
        yield url


@asynccontextmanager
async def ipv6(_: Fault) -> AsyncIterator[str]:
    async with playing(lambda _: WHOLE, host="::1") as (url, _):
        yield url


@asynccontextmanager
async def refused(_: Fault) -> AsyncIterator[str]:
    """A port that was the system's a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    yield f"http://127.0.0.1:{port}/v1"


@asynccontextmanager
async def full(_: Fault) -> AsyncIterator[str]:
    """A listener whose queue is full: the system drops what knocks."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


@asynccontextmanager
async def no_name(_: Fault) -> AsyncIterator[str]:
    yield "http://no-such-host.invalid/v1"


def certificate(name: str, authority: trustme.CA | None = None) -> ssl.SSLContext:
    """A server's TLS with a certificate of an authority that exists for this test alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (authority or trustme.CA()).issue_cert(name).configure_cert(context)
    return context


@asynccontextmanager
async def unknown_certificate(_: Fault) -> AsyncIterator[str]:
    async with playing(lambda _: WHOLE, tls=certificate("127.0.0.1")) as (url, _):
        yield url


@asynccontextmanager
async def only_tls(_: Fault) -> AsyncIterator[str]:
    async with playing(lambda _: WHOLE, tls=certificate("127.0.0.1")) as (url, _):
        yield url.replace("https", "http")


@asynccontextmanager
async def no_tls(_: Fault) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(plain_response("400 Bad Request", b"no TLS here"))
        writer.close()

    async with raw(serve) as url:
        yield url.replace("http", "https")


@asynccontextmanager
async def silent_tls(_: Fault) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with raw(serve) as url:
        yield url.replace("http", "https")


@asynccontextmanager
async def early_413(_: Fault) -> AsyncIterator[str]:
    """Answers at the head of a request and closes, reading on only as far as a good server does before it closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(plain_response("413 Content Too Large", b'{"error": "too large"}', "Connection: close"))
        writer.write_eof()
        while await reader.read(1 << 16):
            pass
        writer.close()

    async with raw(serve) as url:
        yield url


@asynccontextmanager
async def bomb(_: Fault) -> AsyncIterator[str]:
    body = gzip.compress(bytes(1 << 29), 1)
    scripts = iter([(sized(body, "Content-Encoding: gzip"),)])
    async with playing(lambda _: next(scripts, WHOLE)) as (url, _):
        yield url


@asynccontextmanager
async def raw(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]) -> AsyncIterator[str]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    server.close()


@asynccontextmanager
async def no_files(_: Fault) -> AsyncIterator[str]:
    """Every descriptor that this process may have is taken."""
    async with playing(lambda _: WHOLE) as (url, _):
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        with ExitStack() as stack:
            stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
            highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 8, before[1]))
            while True:
                try:
                    stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
                except OSError:
                    break
            yield url


PLACES: dict[str, Place] = {
    place.__name__: place
    for place in (scripted, ipv6, refused, full, no_name, unknown_certificate, only_tls, no_tls, silent_tls, early_413,
                  bomb, no_files)
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Observed:
    """What a fault did to a request, and the one after it, which the server answers in order."""

    row: RequestRecord
    after: RequestRecord | None  # where the server plays scripts
    answer: Answer


async def observe(fault: Fault) -> Observed:
    """Send requests into a fault."""
    async with PLACES[fault.place](fault) as url:
        connect_timeout = 0.3 if fault.error_kind == "connect_timeout" else 8.0
        endpoint = EndpointConfig(base_url=url, api=fault.api, connect_timeout=connect_timeout)
        fmt = RequestFormat(endpoint, "m", stream=fault.stream)
        async with Connections(endpoint, url, api_key=KEY) as connections:
            requester = Requester(connections, fmt, max_retries=MAX_RETRIES, timeout_s=fault.timeout_s,
                                  stall_s=fault.stall_s)  # fmt: skip
            if fault.before is not None:
                await ask(requester, fmt)
                await asyncio.sleep(IDLE_S)
            record, answer = await asked(requester, fmt, fault.prompt)
            if fault.place != "scripted":
                return Observed(record, None, answer)
            await asyncio.sleep(5 * TELLS)
            return Observed(record, await ask(requester, fmt), answer)


async def ask(requester: Requester, fmt: RequestFormat, prompt: bytes = b" hello") -> RequestRecord:
    """The row of one request for two tokens."""
    return (await asked(requester, fmt, prompt))[0]


async def asked(requester: Requester, fmt: RequestFormat, prompt: bytes) -> tuple[RequestRecord, Answer]:
    """The row of one request for two tokens, and its answer."""
    talk = fmt.conversation()
    talk.ask((prompt,))
    began = perf_counter()
    request = Request(fmt.body(talk, 2), b"", began)
    await requester.run(request)
    record = planned_row(0, 0, 0, requested_completion_tokens=2)
    fill(record, request, began)
    return record, request.answer
