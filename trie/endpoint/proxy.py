"""The HTTP proxy on the way to an endpoint: which one there is, and the tunnel that it opens to an https server.

A plain http endpoint needs no tunnel: its requests go to the proxy with the whole address in their first line.
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from urllib.request import getproxies_environment

from yarl import URL

from trie.config import EndpointConfig
from trie.config.endpoint import NO_PROXY
from trie.endpoint.aiohttp_protocol import MAX_HEADER_BYTES, StampedProtocol
from trie.endpoint.errors import ProxyError, reason_of
from trie.errors import ConfigError
from trie.one_line import one_line


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy; its password goes to it alone and is never shown."""

    url: URL  # without user and password
    named_by: str  # the setting or the variable
    authorization: bytes = b""  # the header line
    secrets: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.url.host}:{self.url.port}"


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A connection through a proxy to an https server."""

    protocol: StampedProtocol
    transport: asyncio.Transport

    def close(self) -> None:
        self.transport.close()


def proxy_for(endpoint: EndpointConfig, url: URL) -> Proxy | None:
    """The proxy for requests to a URL; None: they go to the server itself.

    Without `endpoint.proxy`, HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY say, in either case of letters. They say
    nothing of this machine itself, which no proxy elsewhere can reach.

    Raises:
        ConfigError: for a proxy that is no HTTP proxy; what it holds is not repeated.
    """
    if endpoint.proxy == NO_PROXY:
        return None
    if endpoint.proxy is not None:
        return _proxy(endpoint.proxy, "endpoint.proxy")
    proxies = getproxies_environment()
    kind = url.scheme if url.scheme in proxies else "all"
    if kind not in proxies or _is_direct(url, proxies):
        return None
    return _proxy(proxies[kind], f"{kind.upper()}_PROXY")


def is_this_machine(url: URL) -> bool:
    """Whether a host is whatever machine asks for it."""
    host = (url.host or "").lower()
    return host == "localhost" or host.endswith(".localhost") or _holds("127.0.0.0/8", host) or _holds("::1", host)


def _is_direct(url: URL, proxies: dict[str, str]) -> bool:
    """Whether a host is this machine, or NO_PROXY names it, its domain, its port, or a network that it is in."""
    if is_this_machine(url):
        return True
    host = (url.host or "").lower()
    for entry in (entry.strip().lower().lstrip(".") for entry in proxies.get("no", "").split(",")):
        names = entry in ("*", host, f"{host}:{url.port}") or (bool(entry) and host.endswith(f".{entry}"))
        if names or _holds(entry, host):
            return True
    return False


def _holds(network: str, host: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False


def _proxy(text: str, named_by: str) -> Proxy:
    try:
        url = URL(text if "://" in text else f"http://{text}")
    except ValueError:
        url = URL()
    if url.scheme != "http" or not url.host:
        raise ConfigError(
            f"{named_by}: must be an HTTP proxy, http://HOST:PORT; endpoint.proxy={NO_PROXY} goes without"
        )
    bare = URL.build(scheme="http", host=url.host, port=url.port)
    if url.user is None and url.password is None:
        return Proxy(bare, named_by)
    pair = b64encode(f"{url.user or ''}:{url.password or ''}".encode()).decode()
    header = b"Proxy-Authorization: Basic %b\r\n" % pair.encode()
    return Proxy(bare, named_by, header, tuple(secret for secret in (pair, url.password) if secret))


async def open_tunnel(proxy: Proxy, url: URL, context: ssl.SSLContext, *, within_s: float) -> Tunnel:
    """Have a proxy connect to an https server, and begin TLS with that server.

    Raises:
        ProxyError: where the proxy is not there or refuses.
        OSError: as TLS does.
        TimeoutError: where no connection stands within so many seconds.
    """
    loop = asyncio.get_running_loop()
    with ExitStack() as undo:
        async with asyncio.timeout(within_s):
            transport, answer = await _reach(proxy)
            undo.callback(transport.abort)
            target = f"{url.host_subcomponent}:{url.port}".encode()
            transport.write(b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (target, target, proxy.authorization))
            await answer.whole
            _check(proxy, bytes(answer.head))
            protocol = StampedProtocol(loop)
            encrypted = await loop.start_tls(transport, protocol, context, server_hostname=url.raw_host)
            assert encrypted is not None
            protocol.connection_made(encrypted)
        undo.pop_all()
    return Tunnel(protocol, encrypted)


class _Answer(asyncio.Protocol):
    """Collects the head of a proxy's answer."""

    def __init__(self) -> None:
        self.head = bytearray()
        self.whole: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.head += data
        if b"\r\n\r\n" in self.head or len(self.head) > MAX_HEADER_BYTES:
            self._settle()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - what came until then says more
        self._settle()

    def _settle(self) -> None:
        if not self.whole.done():
            self.whole.set_result(None)


async def _reach(proxy: Proxy) -> tuple[asyncio.Transport, _Answer]:
    try:
        return await asyncio.get_running_loop().create_connection(_Answer, proxy.url.host or "", proxy.url.port or 80)
    except OSError as error:
        raise ProxyError(f"can't connect to the proxy {proxy} ({proxy.named_by}): {reason_of(error)}") from error


def _check(proxy: Proxy, head: bytes) -> None:
    """Refuse an answer by which no tunnel stands.

    Raises:
        ProxyError: with the proxy's own words.
    """
    line = head.split(b"\r\n", 1)[0].decode("latin-1")
    if not line.startswith("HTTP/1.") or line.split()[1:2] != ["200"]:
        raise ProxyError(f"the proxy {proxy} ({proxy.named_by}) opens no tunnel: {one_line(line, 100) or 'no answer'}")
