"""aiohttp's client protocol, extended: each read of a socket is stamped first, and bodies are taken out by hand.

aiohttp offers no public way to any of this. All that `trie` uses of its private parts stands in this module, and
tests/endpoint/test_aiohttp_protocol.py names each part and says which of them a new aiohttp lacks.
"""

from __future__ import annotations

import asyncio
import functools
import re
from itertools import chain
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
FRAME_SIZE = re.compile(rb"0*[1-9a-fA-F][0-9a-fA-F]*")
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
        self._between = False  # two chunks of the transfer coding: the parser has read nothing of the next one
        self._skips = False  # the parser, when a read is one whole chunk: it stands between two, and has seen one
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
        self._between = self._skips = False
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
        if self._skips and D not in data and self._skipped(data, now):
            return
        exchange, body = self._exchange, self.body
        if exchange.end is not None:  # unasked: whose answer it would be can't be known
            self.force_close()
            return
        between = self._between
        self._between = self._skips = False
        super().data_received(data)
        if self.body is not None and exchange.end is None:  # which a call from within that one may have set
            begins, body = body is None, self.body
            self._note(data, now, exchange, body)
            if exchange.end is None and self._exception is None and body.exception() is None:
                self._between = self._ends_between(data, body, begins=begins, between=between)
                seen = body._http_chunk_splits is not None  # noqa: SLF001
                if self._between and seen and exchange.answered is None:
                    take_out(body, exchange)
                    self._skips = True
        if self._exception is not None:  # malformed
            self._settle()

    def _skipped(self, data: bytes, now: float) -> bool:
        """Take in a read of whole chunks without the parser; False for any other."""
        head = frame_head(len(data))
        exchange, body = self._exchange, self.body
        assert body is not None
        if head is not None and data.startswith(head) and data.endswith(b"\r\n"):
            exchange.pieces.append(data[len(head) : -2])
            body.total_bytes += len(data) - len(head) - 2
        elif len(data) >= SMALL_READ and (payloads := payloads_of(data)) is not None:
            exchange.pieces += payloads
            body.total_bytes += sum(map(len, payloads))
        else:
            return False
        exchange.read_at.append(now)
        exchange.read_size.append(body.total_bytes)
        if body.total_bytes > MAX_BODY_BYTES:
            self._skips = False
            self._drain(body, exchange)
            self._settle()
        return True

    def _note(self, data: bytes, now: float, exchange: Exchange, body: StreamReader) -> None:
        """What a read that went through the parser brought."""
        if exchange.headers is None:
            exchange.headers = now
        size = body.total_bytes
        if size > (exchange.read_size[-1] if exchange.read_size else 0):
            exchange.read_at.append(now)
            exchange.read_size.append(size)
            # D is looked for first: most reads have none, and one byte is found at a fifth of the cost.
            may_end = (D in data and b"DONE]" in data) or len(data) < SMALL_READ
            if may_end and exchange.answered is None and ends_stream(body, exchange):
                exchange.answered = now
                self._loop.call_later(OPEN_AFTER_DONE_S, self._give_up, exchange)
        if body.is_eof():
            exchange.end = exchange.end or now  # aiohttp may call again from within, for what follows a 101
            self._settle()
        elif body._size > DRAIN_AT:  # noqa: SLF001 - see take_out
            self._drain(body, exchange)
        if body.exception() is not None:  # can't be decoded
            self._settle()

    def _ends_between(self, data: bytes, body: StreamReader, *, begins: bool, between: bool) -> bool:
        """Whether the parser stands between two chunks of a body that goes on, nothing of the next one read.

        That is known behind the head of a response, and behind any number of whole chunks from such a place on.
        """
        message = self.message
        if message is None or not message.chunked or message.compression:
            return False
        if not begins:
            return between and payloads_of(data) is not None
        rest = data.partition(b"\r\n\r\n")[2]
        if rest:
            head = frame_head(len(rest))
            return head is not None and rest.startswith(head) and len(rest) - len(head) - 2 == body.total_bytes
        return data.endswith(b"\r\n\r\n") and body._http_chunk_splits is None  # noqa: SLF001 - no chunk has begun

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


@functools.lru_cache(1 << 12)
def frame_head(length: int) -> bytes | None:
    """The line before the payload in a chunk of so many bytes with all its framing; None where it is small, or none."""
    for digits in range(1, 7):
        size = length - digits - 4
        if size > 0 and len(f"{size:x}") == digits and length >= SMALL_READ:
            return b"%x\r\n" % size
    return None


def payloads_of(data: bytes) -> list[bytes] | None:
    """What each of some whole chunks of the transfer coding holds; None for anything else, the last chunk among it."""
    payloads, at, end = [], 0, len(data)
    while at < end:
        start = data.find(b"\r\n", at, at + 10) + 2
        if start < 2 or (size := frame_size(data[at : start - 2])) is None:
            return None
        at = start + size + 2
        if not data.startswith(b"\r\n", at - 2):
            return None
        payloads.append(data[start : at - 2])
    return payloads


@functools.lru_cache(1 << 12)
def frame_size(digits: bytes) -> int | None:
    """The size that stands before a chunk; None for what is none, for zero, and for a line that says more."""
    return int(digits, 16) if FRAME_SIZE.fullmatch(digits) else None


def ends_stream(payload: StreamReader, exchange: Exchange) -> bool:
    """Whether the line that ends a stream stands in the last bytes that came, however reads cut it."""
    tail = b""
    for piece in chain(reversed(payload._buffer), reversed(exchange.pieces)):  # noqa: SLF001
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
