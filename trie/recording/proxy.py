"""The proxy: every request goes on to the upstream as it came, and every byte of the answer back as it comes.

What is changed on the way: the body of a stream's request asks for usage where the client did not, and the event that
answers this is taken out again; answers are asked for without compression, since usage has to be read in them. Keys
and all other headers pass through. Redirects are the client's to follow.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from trie.errors import EndpointError
from trie.recording.event_stream import Document, EventStream, json_object
from trie.recording.sessions import Recording

log = logging.getLogger("trie")
HOST = "127.0.0.1"
MAX_BODY_BYTES = 1 << 30
READ_AT_ONCE = 1 << 22  # bytes of a request's body, without a pause in between
CONNECT_S = 30.0
IDLE_S = 4.0  # of a connection to the upstream: servers close theirs after 5 s and more
OK = 200
RECORDED = ("/chat/completions", "/completions")
GIVEN_UP = "answers that the client gave up"
# Headers of one connection, not of the request; and those that this end of it sets itself.
HOP = frozenset(
    "connection keep-alive proxy-authenticate proxy-connection te trailer transfer-encoding upgrade".split()
)
OWN = HOP | {"accept-encoding", "content-encoding", "content-length", "expect", "host", "proxy-authorization"}
REFUSES_OPTIONS = frozenset({400, 422})  # by which servers answer to stream_options that they do not know


@dataclass(slots=True)
class _Passing:
    """One request on its way through."""

    client: web.Request
    content: bytes
    body: Mapping[str, Any] | None  # of a request that is recorded
    asks_usage: bool  # we do, and the client does not
    start_s: float  # when all of it had come

    @property
    def sent(self) -> bytes:
        """What the upstream gets."""
        if not self.asks_usage or self.body is None:
            return self.content
        if "stream_options" not in self.body:  # all else stays as it was written
            return b'{"stream_options":{"include_usage":true},' + self.content.lstrip()[1:]
        options = {**(self.body["stream_options"] or {}), "include_usage": True}
        return orjson.dumps({**self.body, "stream_options": options})


class Proxy:
    """Passes requests on to one upstream and notes those that end well.

    Args:
        upstream: base URL; requests go to its host, with the path that they have.
        recording: takes what is noted.
        session_header: by which clients name their session.
    """

    def __init__(self, upstream: URL, recording: Recording, session_header: str) -> None:
        self._origin = str(upstream.origin())
        self._recording = recording
        self._session_header = session_header
        self._knows_options = True  # until the upstream refuses stream_options
        self._session: aiohttp.ClientSession

    @asynccontextmanager
    async def serving(self, port: int) -> AsyncIterator[int]:
        """Serve on loopback inside the block; gives the port.

        Raises:
            EndpointError: when the port can't be had.
        """
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        more: dict[str, Any] = {"read_bufsize": READ_AT_ONCE}
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.0, **more)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as self._session:
            await runner.setup()
            try:
                await web.TCPSite(runner, HOST, port).start()
                yield runner.addresses[0][1]
            except OSError as error:
                raise EndpointError(f"{HOST}:{port}: can't listen: {error.strerror}") from error
            finally:
                await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if not request.raw_path.startswith("/"):
            return _error(400, "a path is expected: set the base URL of your client, not its proxy")
        content = await request.read()
        passing = self._looked_at(request, content, perf_counter())
        try:
            async with self._upstream(passing) as answer:
                return await self._back(passing, answer)
        except asyncio.CancelledError:
            self._recording.drop(GIVEN_UP)
            raise
        except (aiohttp.ClientError, TimeoutError) as error:
            self._recording.drop("requests that did not reach the upstream")
            return _error(502, f"can't reach the upstream: {error or type(error).__name__}")

    def _looked_at(self, request: web.Request, content: bytes, start_s: float) -> _Passing:
        """What the request is; a body that can't be read is for the upstream to refuse."""
        recorded = request.method == "POST" and request.path.endswith(RECORDED)
        body = json_object(content) if recorded else None
        options = (body or {}).get("stream_options") or {}
        without = isinstance(options, dict) and not options.get("include_usage")
        asks = bool(body and body.get("stream")) and without and self._knows_options
        return _Passing(request, content, body, asks, start_s)

    @asynccontextmanager
    async def _upstream(self, passing: _Passing) -> AsyncIterator[aiohttp.ClientResponse]:
        """The upstream's answer; one that refuses to be asked for usage is asked again without."""
        async with self._sent(passing) as answer:
            if not (passing.asks_usage and answer.status in REFUSES_OPTIONS):
                yield answer
                return
            await answer.read()
        passing.asks_usage = False
        async with self._sent(passing) as answer:
            if answer.status == OK:
                self._knows_options = False
                log.warning("the upstream refuses stream_options: streams without usage can't be recorded")
            yield answer

    def _sent(self, passing: _Passing) -> Any:
        client = passing.client
        headers = CIMultiDict((name, value) for name, value in client.headers.items() if name.lower() not in OWN)
        headers["Accept-Encoding"] = "identity"
        return self._session.request(
            client.method,
            URL(self._origin + client.raw_path, encoded=True),
            headers=headers,
            data=passing.sent or None,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept", "Content-Type"),
        )

    async def _back(self, passing: _Passing, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        """The answer on its way to the client, and into the recording when all of it has come."""
        stream = answer.content_type == "text/event-stream"
        hides = passing.asks_usage and stream and answer.status == OK
        through = EventStream(hide_usage=hides) if stream else Document(keep=passing.body is not None)
        response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=_headers(answer, hides))
        try:
            await response.prepare(passing.client)
            async for piece in _pieces(answer.content):
                if kept := through.feed(piece):
                    await response.write(kept)
            end_s = perf_counter()
            if rest := through.end():
                await response.write(rest)
            await response.write_eof()
        except aiohttp.ClientConnectionResetError:  # by the client: the upstream's end has other names
            self._recording.drop(GIVEN_UP)
        except aiohttp.ClientError:
            self._recording.drop("answers that broke off")
            _break_off(passing.client)
        else:
            self._note(passing, answer.status, through, end_s)
        return response

    def _note(self, passing: _Passing, status: int, answer: EventStream | Document, end_s: float) -> None:
        if passing.body is None:
            self._recording.drop("requests of other routes")
        elif status != OK:
            self._recording.drop(f"requests that failed with HTTP {status}")
        else:
            session = passing.client.headers.get(self._session_header)
            start_s = passing.start_s
            self._recording.add(passing.body, answer.usage, session=session, start_s=start_s, end_s=end_s)


async def _pieces(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """The body as it comes, also what came just before it broke off.

    Raises:
        ClientError: when it broke off.
    """
    while True:
        try:
            piece = await content.readany()
        except aiohttp.ClientError:
            # The reader gives nothing once it has an error, also what it had got before.
            content.set_exception(None)  # type: ignore[arg-type]
            if rest := content.read_nowait():
                yield rest
            raise
        if not piece:
            return
        yield piece


def _headers(answer: aiohttp.ClientResponse, hides: bool) -> CIMultiDict[str]:
    """Those of the answer; its length only where the body stays what it is."""
    left_out = HOP | {"content-length"} if hides else HOP
    return CIMultiDict((name, value) for name, value in answer.headers.items() if name.lower() not in left_out)


def _break_off(client: web.Request) -> None:
    """Close the connection without the end of the answer, once what is written has gone."""
    if client.transport is not None:
        client.transport.close()


def _error(status: int, message: str) -> web.Response:
    content = {"error": {"message": f"trie record: {message}", "type": "trie_record", "code": status}}
    return web.Response(status=status, body=orjson.dumps(content), content_type="application/json")
