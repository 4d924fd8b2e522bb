"""Foreign exceptions to our closed set of error kinds, in one place."""

from __future__ import annotations

import os
import socket
import ssl

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from trie.text import one_line

# A failure before any answer, or an answer that asks to come back later: worth another attempt.
RETRYABLE_KINDS = frozenset({"connect", "connect_timeout", "disconnected", "reset"})
RETRYABLE_STATUS = frozenset({408, 409, 429, *range(500, 600)})

FOREIGN = (aiohttp.ClientError, HttpProcessingError, OSError, ValueError)

# First match wins: subclasses stand before what they are derived from.
_KINDS: tuple[tuple[type[BaseException], str], ...] = (
    (aiohttp.ConnectionTimeoutError, "connect_timeout"),
    (aiohttp.SocketTimeoutError, "connect_timeout"),
    (aiohttp.ClientSSLError, "tls"),
    (aiohttp.ClientConnectorDNSError, "dns"),
    (ssl.SSLError, "tls"),
    (socket.gaierror, "dns"),
    (aiohttp.ClientConnectorError, "connect"),
    (aiohttp.ServerDisconnectedError, "disconnected"),
    (aiohttp.ClientPayloadError, "reset"),
    (aiohttp.ClientOSError, "reset"),
    (OSError, "reset"),
)


def kind_of(error: BaseException) -> tuple[str, str]:
    """Kind and one line of text of a transport error; what no kind fits was no HTTP."""
    kind = next((kind for foreign, kind in _KINDS if isinstance(error, foreign)), "bad_response")
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
        reason = os.strerror(cause.errno) if cause.errno and cause.errno > 0 else cause.strerror or cause
        return kind, one_line(f"can't connect to {error.host}:{error.port}: {reason}")
    return kind, one_line(f"{type(error).__name__}: {error}")
