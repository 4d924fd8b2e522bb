"""aiohttp's client protocol, extended: each read of a socket is stamped first, and bodies are taken out by hand.

aiohttp offers no public way to any of this. All that `trie` uses of its private parts stands in this module, and
tests/endpoint/test_aiohttp_protocol.py names each part and says which of them a new aiohttp lacks.
"""

from __future__ import annotations

import asyncio
import functools
import re
from time import perf_counter

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from trie.endpoint.errors import ResponseTooLongError
from trie.endpoint.exchange import Exchange

READ_LIMIT = 1 << 22  # bytes a body may wait in aiohttp's buffer before reading pauses; drained long before that
DRAIN_AT = 1 << 16  # bytes in that buffer at which the protocol takes them out
MAX_BODY_BYTES = 1 << 28  # a response above this is broken off
MAX_HEADER_BYTES = 1 << 17
OPEN_AFTER_DONE_S = 0.1  # how long the body's end may follow [DONE] before the connection is given up
D = ord("D")
SMALL_READ = 24  # bytes below which a read may hold a part of [DONE], with what frames a chunk
TAIL_BYTES = 1 << 10  # in which [DONE] is looked for: comments may follow it in the same read
DONE_LINE = re.compile(rb"(?:^|[\r\n])data: ?\[DONE\][ \t]*(?:$|[\r\n])")


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
                # D is looked for first: most reads have none, and one byte is found at a fifth of the cost.
                may_end = (D in data and b"DONE]" in data) or len(data) < SMALL_READ
                if may_end and exchange.answered is None and ends_stream(body):
                    exchange.answered = now
                    self._loop.call_later(OPEN_AFTER_DONE_S, self._give_up, exchange)
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

    def _give_up(self, exchange: Exchange) -> None:
        """Wait no longer for the end of a body whose stream has said that it is whole."""
        if exchange is self._exchange:
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


def ends_stream(payload: StreamReader) -> bool:
    """Whether the line that ends a stream stands in the last bytes that came, however reads cut it."""
    tail = b""
    for piece in reversed(payload._buffer):  # noqa: SLF001
        tail = piece + tail
        if len(tail) >= TAIL_BYTES:
            break
    return DONE_LINE.search(tail) is not None


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


def bring_protocol(connector: aiohttp.TCPConnector, loop: asyncio.AbstractEventLoop) -> None:
    """Let each connection that a connector opens from now on speak the protocol above."""
    connector._factory = functools.partial(StampedProtocol, loop=loop)  # type: ignore[assignment]  # noqa: SLF001
