"""HTTP to the endpoint on aiohttp, with every instant taken where it happens: at the socket.

aiohttp opens connections and parses answers; requests are written here, without its session layer. Its protocol is
extended (`aiohttp_protocol`) so that each read of the socket is stamped before anything else is done with it. The task
that waits for a response is woken once, at its end, however many chunks the answer has, and nothing of it is decoded
while the clock runs. Connections that are free wait here too: aiohttp's pool costs as much as writing a request.
"""

from __future__ import annotations

import asyncio
import ssl
from time import perf_counter
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.connector import Connection
from yarl import URL

from trie.config import EndpointConfig
from trie.endpoint import tls
from trie.endpoint.aiohttp_protocol import StampedProtocol, bring_protocol, take_out
from trie.endpoint.errors import FOREIGN, kind_of
from trie.endpoint.exchange import Exchange
from trie.endpoint.headers import of_every_request, retry_after_s
from trie.endpoint.proxy import Tunnel, open_tunnel, proxy_for
from trie.endpoint.redaction import Redaction

KEEP_ALIVE_S = 4.0  # uvicorn closes an idle connection after 5 s: let ours go first


class Connections:
    """The open connections of a run to one endpoint.

    Raises:
        EndpointError: for a header that can't be sent.
        ConfigError: for TLS files that can't be used.
    """

    def __init__(self, endpoint: EndpointConfig, base_url: str, *, api_key: str | None = None) -> None:
        self.base_url = base_url
        self._url = URL(base_url)
        self._query = endpoint.query or ""
        self._connect_timeout = endpoint.connect_timeout
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=endpoint.connect_timeout)
        self._tls = tls.context(endpoint.tls) if self._url.scheme == "https" else True
        self._worker_header = endpoint.worker_header
        self._keep_alive = endpoint.keep_alive
        self._idle: list[Connection | Tunnel] = []
        self._headers = of_every_request(endpoint, self._url.authority, api_key)
        self._origin = ""  # in front of the path in a request's first line
        self.proxy = proxy_for(endpoint, self._url)
        if self.proxy is not None and self._url.scheme == "http":
            self._headers += self.proxy.authorization
            self._origin = f"http://{self._url.raw_authority}"
        secrets = () if self.proxy is None else self.proxy.secrets
        self.hide = Redaction([api_key or "", *endpoint.headers.values(), *secrets]).hide

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._connector = aiohttp.TCPConnector(limit=0, enable_cleanup_closed=False, ssl=self._tls)
        bring_protocol(self._connector, loop)
        # Only the part of a request that says where to connect; requests themselves are written here.
        self._target = aiohttp.ClientRequest("POST", self.first_hop, loop=loop)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._idle:
            self._idle.pop().close()
        await self._connector.close()

    @property
    def first_hop(self) -> URL:
        """Where connections go: to the server, or to the proxy in front of it."""
        return self._url if self.proxy is None else self.proxy.url

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
        route, _, query = route.partition("?")
        queries = "&".join(part for part in (self._url.raw_query_string, self._query, query) if part)
        path = self._url.raw_path.rstrip("/") + route
        return f"{self._origin}{path}{'?' if queries else ''}{queries}".encode()

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
            failure = protocol.failure if exchange.answered is None else None  # nothing behind [DONE] can spoil it
            whole = failure is None and not protocol.should_close
        except FOREIGN as error:
            failure = error
        finally:
            self._note(protocol, exchange)
            if exchange.end is None or exchange.answered is not None:
                exchange.end = exchange.answered or perf_counter()
            if whole and self._keep_alive:
                self._idle.append(connection)
            else:
                connection.close()
        if failure is not None:
            exchange.error_kind, exchange.error = kind_of(failure)
            if exchange.error_kind == "reset" and exchange.headers is None:
                exchange.error_kind = "disconnected"  # a close or a reset: either way there was no answer

    def _kept(self) -> Connection | Tunnel | None:
        """The connection that was used last, if one is still good; older ones go when their turn comes."""
        while self._idle:
            connection = self._idle.pop()
            protocol = connection.protocol
            assert isinstance(protocol, StampedProtocol)
            if protocol.is_connected() and perf_counter() - (protocol.idle_since or 0.0) < KEEP_ALIVE_S:
                return connection
            connection.close()
        return None

    async def _open(self) -> Connection | Tunnel:
        if self.proxy is not None and isinstance(self._tls, ssl.SSLContext):
            return await open_tunnel(self.proxy, self._url, self._tls, within_s=self._connect_timeout)
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
