"""HTTP to the endpoint on aiohttp, with every instant taken where it happens: at the socket.

aiohttp opens, pools and parses; requests are written and stamped here, in one place, without its session layer. Its
protocol object is extended so that each read of the socket is stamped before anything else is done with it. The task
that waits for a response is woken once, at its end, however many chunks the answer has, and nothing of it is decoded
while the clock runs. Connections that are free wait here too: aiohttp's pool costs as much as writing a request.
"""

from __future__ import annotations

import asyncio
import functools
from time import perf_counter
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from yarl import URL

from trie.config import EndpointConfig
from trie.endpoint import tls
from trie.endpoint.errors import FOREIGN, ResponseTooLongError, kind_of
from trie.endpoint.exchange import Exchange
from trie.endpoint.headers import of_every_request, retry_after_s
from trie.endpoint.redaction import Redaction

READ_LIMIT = 1 << 22  # bytes a body may wait in aiohttp's buffer before reading pauses; drained long before that
DRAIN_AT = 1 << 16  # bytes in that buffer at which the protocol takes them out
MAX_BODY_BYTES = 1 << 28  # a response above this is broken off
MAX_HEADER_BYTES = 1 << 17
KEEP_ALIVE_S = 4.0  # uvicorn closes an idle connection after 5 s: let ours go first


class StampedProtocol(ResponseHandler):
    """aiohttp's client protocol, which notes on the exchange at hand when bytes left and came.

    One exchange at a time: `send` begins it, and the future that it gives is done when its response is whole, or can't
    become so any more. `message` and `body` are what came of it until then.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._exchange = Exchange()
        self._ended = loop.create_future()
        self.message: RawResponseMessage | None = None
        self.body: StreamReader | None = None

    def send(self, exchange: Exchange, head: bytes, body: bytes) -> asyncio.Future[None]:
        """Write a request; what comes from now on belongs to `exchange`."""
        transport = self.transport
        now = perf_counter()
        if self._exchange.end is not None:
            exchange.idle_s = now - self._exchange.end
        if transport is None or transport.is_closing() or self.should_close:
            raise aiohttp.ClientConnectionResetError("the connection closed before it was used")
        self.set_response_params(
            read_until_eof=True,
            read_bufsize=READ_LIMIT,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )
        self._payload = self.message = self.body = None  # what came before says nothing of this answer
        self._ended = self._loop.create_future()
        exchange.sent = perf_counter()
        self._exchange = exchange
        transport.writelines((head, body))
        return self._ended

    @property
    def idle_since(self) -> float | None:
        """When the last response ended; None while one is open, or when there was none."""
        return self._exchange.end

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:  # noqa: ARG002
        """Take the head of a response from aiohttp's parser."""
        message, body = data
        if 100 <= message.code < 200 and message.code != 101:  # interim; nobody asked to switch protocols
            return
        if self.message is not None:
            self.force_close()  # a second response to one request
            return
        self.message, self.body = message, body

    def data_received(self, data: bytes) -> None:
        now = perf_counter()
        exchange = self._exchange
        if exchange.end is not None:  # unasked: whose answer it would be can't be known
            self.force_close()
            return
        super().data_received(data)
        body = self.body
        if body is not None and exchange.end is None:  # which a call from within that one may have set
            if exchange.headers is None:
                exchange.headers = now
            size = body.total_bytes
            if size > (exchange.read_size[-1] if exchange.read_size else 0):
                exchange.read_at.append(now)
                exchange.read_size.append(size)
            if body.is_eof():
                exchange.end = exchange.end or now  # aiohttp may call again from within, for what follows a 101
                self._settle()
            elif body._size > DRAIN_AT:  # noqa: SLF001 - see take_out
                self._drain(body, exchange)
            if body.exception() is not None:  # can't be decoded
                self._settle()
        if self._exception is not None:  # malformed
            self._settle()

    def _drain(self, body: StreamReader, exchange: Exchange) -> None:
        take_out(body, exchange)
        if body.total_bytes > MAX_BODY_BYTES:
            self.set_exception(ResponseTooLongError(f"a response of more than {MAX_BODY_BYTES >> 20} MiB"))
        elif self._reading_paused:
            self.resume_reading()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._settle()

    def _settle(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    @property
    def failure(self) -> BaseException | None:
        """Why the response is not whole; None for one that is.

        What the parser found wrong says more than the close of the connection that follows from it.
        """
        if self.body is None or isinstance(self._exception, HttpProcessingError | ResponseTooLongError):
            return self._exception
        return self.body.exception()


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
        EndpointError: for a header that can't be sent.
        ConfigError: for TLS files that can't be used.
    """

    def __init__(self, endpoint: EndpointConfig, base_url: str, *, api_key: str | None = None) -> None:
        self.base_url = base_url
        self._url = URL(base_url)
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=endpoint.connect_timeout)
        self._tls = tls.context(endpoint.tls) if self._url.scheme == "https" else True
        self._worker_header = endpoint.worker_header
        self._keep_alive = endpoint.keep_alive
        self._idle: list[Connection] = []
        self._headers = of_every_request(endpoint, self._url.authority, api_key)
        self.hide = Redaction([api_key or "", *endpoint.headers.values()]).hide

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._connector = aiohttp.TCPConnector(limit=0, enable_cleanup_closed=False, ssl=self._tls)
        # aiohttp has no public way to bring one's own protocol.
        self._connector._factory = functools.partial(StampedProtocol, loop=loop)  # type: ignore[assignment]  # noqa: SLF001
        # Only the part of a request that says where to connect; requests themselves are written here.
        self._target = aiohttp.ClientRequest("POST", self._url, loop=loop)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._idle:
            self._idle.pop().close()
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
            connection = self._kept() or await self._open()
        except FOREIGN as error:
            exchange.end = perf_counter()
            exchange.error_kind, exchange.error = kind_of(error)
            return
        protocol = connection.protocol
        assert isinstance(protocol, StampedProtocol)
        whole = False
        failure: BaseException | None = None
        try:
            await protocol.send(exchange, head, body)
            failure = protocol.failure
            whole = failure is None and not protocol.should_close
        except FOREIGN as error:
            failure = error
        finally:
            self._note(protocol, exchange)
            if exchange.end is None:
                exchange.end = perf_counter()
            if whole and self._keep_alive:
                self._idle.append(connection)
            else:
                connection.close()
        if failure is not None:
            exchange.error_kind, exchange.error = kind_of(failure)
            if exchange.error_kind == "reset" and exchange.headers is None:
                exchange.error_kind = "disconnected"  # a close or a reset: either way there was no answer

    def _kept(self) -> Connection | None:
        """The connection that was used last, if one is still good; older ones go when their turn comes."""
        while self._idle:
            connection = self._idle.pop()
            protocol = connection.protocol
            assert isinstance(protocol, StampedProtocol)
            if protocol.is_connected() and perf_counter() - (protocol.idle_since or 0.0) < KEEP_ALIVE_S:
                return connection
            connection.close()
        return None

    async def _open(self) -> Connection:
        return await self._connector.connect(self._target, traces=[], timeout=self._timeout)

    def _note(self, protocol: StampedProtocol, exchange: Exchange) -> None:
        """Write on the exchange what its response's head says, and all of the body that came."""
        message, body = protocol.message, protocol.body
        if message is None or body is None:
            return
        exchange.status = message.code
        exchange.head = headers = message.headers
        exchange.content_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        exchange.retry_after_s = retry_after_s(headers.get("Retry-After"))
        if self._worker_header is not None:
            exchange.worker = headers.get(self._worker_header)
        if 300 <= message.code < 400:
            exchange.location = headers.get("Location", "").partition("?")[0]
        take_out(body, exchange)
