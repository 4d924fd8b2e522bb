"""HTTP to the endpoint on aiohttp, with every instant taken where it happens: at the socket.

aiohttp opens, pools and parses; requests are written and stamped here, in one place, without its session layer. Its
protocol object is extended so that each read of the socket is stamped before anything else is done with it. The task
that waits for a response is woken twice, for the headers and for the end, however many chunks the answer has, and
nothing of the body is decoded while the clock runs.
"""

from __future__ import annotations

import asyncio
import functools
import math
from time import perf_counter
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from yarl import URL

from trie.config import EndpointConfig
from trie.endpoint.exchange import Exchange
from trie.endpoint.failures import FOREIGN, ResponseTooLongError, kind_of
from trie.errors import EndpointError

READ_LIMIT = 1 << 22  # bytes a body may wait in aiohttp's buffer before reading pauses; drained long before that
DRAIN_AT = 1 << 16  # bytes in that buffer at which the protocol takes them out
MAX_BODY_BYTES = 1 << 28  # a response above this is broken off
MAX_HEADER_BYTES = 1 << 17
KEEP_ALIVE_S = 4.0  # uvicorn closes an idle connection after 5 s: let ours go first
MAX_RETRY_AFTER_S = 60.0


class StampedProtocol(ResponseHandler):
    """aiohttp's client protocol, which notes on the exchange at hand when bytes left and came."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._exchange = Exchange()

    def send(self, exchange: Exchange, head: bytes, body: bytes) -> None:
        """Write a request; what comes from now on belongs to `exchange`."""
        transport = self.transport
        now = perf_counter()
        if self._exchange.end is not None:
            exchange.idle_s = now - self._exchange.end
        if transport is None or transport.is_closing() or self.should_close:
            raise aiohttp.ClientConnectionResetError("the connection closed before it was used")
        exchange.sent = now
        self._exchange = exchange
        self._payload = None  # the answer before is not the body of headers that come in two reads
        transport.writelines((head, body))

    def data_received(self, data: bytes) -> None:
        now = perf_counter()
        if self._exchange.end is not None:  # unasked: whose answer it would be can't be known
            self.force_close()
            return
        payload = self._payload  # gone after the call when the connection closes in it
        super().data_received(data)
        payload = self._payload or payload
        if payload is None or payload is EMPTY_PAYLOAD:  # no headers yet, or those of an interim response (1xx)
            return
        if self._exception is not None and not payload.is_eof():  # malformed: aiohttp forgets to tell the body's reader
            payload.set_exception(self._exception)
        exchange = self._exchange
        if exchange.headers is None:
            exchange.headers = now
        size = payload.total_bytes
        if size > (exchange.read_size[-1] if exchange.read_size else 0):
            exchange.read_at.append(now)
            exchange.read_size.append(size)
        if payload.is_eof():
            exchange.end = now
        if payload._size > DRAIN_AT:  # noqa: SLF001 - see take_out
            take_out(payload, exchange)
            if size > MAX_BODY_BYTES:
                payload.set_exception(ResponseTooLongError(f"a response of more than {MAX_BODY_BYTES >> 20} MiB"))
            elif self._reading_paused:
                self.resume_reading()


def take_out(payload: StreamReader, exchange: Exchange) -> None:
    """Move what waits in aiohttp's buffer to the exchange.

    Its own reading calls do more work for each chunk than the whole of `data_received`, and refuse what came before
    a connection broke; so the buffer is emptied by hand, together with the counts that would pause reading.
    """
    if payload is EMPTY_PAYLOAD:  # of a status that has no body
        return
    exchange.pieces.extend(payload._buffer)  # noqa: SLF001
    payload._buffer.clear()  # noqa: SLF001
    payload._size = 0  # noqa: SLF001
    if payload._http_chunk_splits is not None:  # noqa: SLF001
        payload._http_chunk_splits.clear()  # noqa: SLF001


class Connections:
    """The open connections of a run to one endpoint.

    Raises:
        EndpointError: on entering, for a header that can't be sent.
    """

    def __init__(self, endpoint: EndpointConfig, base_url: str, *, api_key: str | None = None) -> None:
        self._url = URL(base_url)
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=endpoint.connect_timeout)
        headers = {"Host": self._url.authority, "User-Agent": "trie", "Accept": "*/*", "Accept-Encoding": "identity"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        headers.update(endpoint.headers)
        self._headers = b"".join(header(name, value) for name, value in headers.items())

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S, enable_cleanup_closed=False)
        # aiohttp has no public way to bring one's own protocol.
        self._connector._factory = functools.partial(StampedProtocol, loop=loop)  # type: ignore[assignment]  # noqa: SLF001
        # Only the part of a request that says where to connect; requests themselves are written here.
        self._target = aiohttp.ClientRequest("POST", self._url, loop=loop)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connector.close()

    async def post(self, route: str, body: bytes, exchange: Exchange, *, headers: bytes = b"") -> None:
        """Send a JSON body and fill in `exchange` until the response's end or failure.

        Never raises for what the network or the server does: `exchange.error_kind` says it. A cancellation closes the
        connection, which tells the server, and leaves in `exchange` what had come until then.
        """
        head = b"POST %s HTTP/1.1\r\n%sContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n" % (
            self._path(route),
            self._headers,
            headers,
            len(body),
        )
        await self._exchange(head, body, exchange)

    async def get(self, route: str, exchange: Exchange) -> None:
        """Fetch a route below the base URL; as `post` otherwise."""
        await self._exchange(b"GET %s HTTP/1.1\r\n%s\r\n" % (self._path(route), self._headers), b"", exchange)

    def _path(self, route: str) -> bytes:
        return (self._url.raw_path.rstrip("/") + route).encode()

    async def _exchange(self, head: bytes, body: bytes, exchange: Exchange) -> None:
        try:
            connection = await self._connector.connect(self._target, traces=[], timeout=self._timeout)
        except FOREIGN as error:
            exchange.end = perf_counter()
            exchange.error_kind, exchange.error = kind_of(error)
            return
        protocol = connection.protocol
        assert isinstance(protocol, StampedProtocol)
        whole = False
        try:
            await self._converse(protocol, head, body, exchange)
            whole = True
        except FOREIGN as error:
            # What the parser found wrong says more than the close of the connection that follows from it.
            malformed = protocol.exception()
            exchange.error_kind, exchange.error = kind_of(
                malformed if isinstance(malformed, HttpProcessingError) else error
            )
            if exchange.error_kind == "reset" and exchange.headers is None:
                exchange.error_kind = "disconnected"  # a close or a reset: either way there was no answer
        finally:
            if exchange.end is None:
                exchange.end = perf_counter()
            if whole:
                connection.release()
            else:
                connection.close()

    async def _converse(self, protocol: StampedProtocol, head: bytes, body: bytes, exchange: Exchange) -> None:
        protocol.set_response_params(
            read_until_eof=True,
            read_bufsize=READ_LIMIT,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )
        protocol.send(exchange, head, body)
        message, payload = await protocol.read()
        while 100 <= message.code < 200 and message.code != 101:  # nobody asked to switch protocols
            message, payload = await protocol.read()
        exchange.status = message.code
        exchange.content_type = message.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        exchange.retry_after_s = _seconds(message.headers.get("Retry-After"))
        if 300 <= message.code < 400:
            exchange.location = message.headers.get("Location", "").partition("?")[0]
        try:
            if payload.exception() is None:
                await payload.wait_eof()
            error = payload.exception()
        finally:
            take_out(payload, exchange)
        if error is not None:
            raise error


def header(name: str, value: str) -> bytes:
    """One header line.

    Raises:
        EndpointError: for control characters or text that is not Latin-1; the value is not repeated.
    """
    line = f"{name}: {value}"
    if not line.isprintable() or not line.isascii():
        raise EndpointError(f"header {name!r}: holds characters that a header can't carry")
    return line.encode() + b"\r\n"


def _seconds(text: str | None) -> float | None:
    """Retry-After in seconds; its date form is treated as not given."""
    try:
        seconds = float(text) if text else math.nan
    except ValueError:
        return None
    return None if math.isnan(seconds) else min(max(seconds, 0.0), MAX_RETRY_AFTER_S)
