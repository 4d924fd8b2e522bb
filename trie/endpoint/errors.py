"""Foreign exceptions to our closed set of error kinds, in one place."""

from __future__ import annotations

import errno
import os
import socket
import ssl

import aiohttp
from aiohttp.http_exceptions import (
    ContentLengthError,
    HttpProcessingError,
    PayloadEncodingError,
    TransferEncodingError,
)

from trie.one_line import one_line

# Not the server's: this machine has no file descriptor, port or buffer left.
CLIENT_LIMITS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})

FOREIGN = (aiohttp.ClientError, HttpProcessingError, OSError, ValueError)

BROKEN_OFF = (ContentLengthError, TransferEncodingError)  # how aiohttp says that an answer's end is missing


class ProxyError(OSError):
    """A proxy that is not there, or that opens no way to the server."""


# First match wins: subclasses stand before what they are derived from.
_KINDS: tuple[tuple[type[BaseException], str], ...] = (
    (aiohttp.ConnectionTimeoutError, "connect_timeout"),
    (aiohttp.SocketTimeoutError, "connect_timeout"),
    (aiohttp.ClientSSLError, "tls"),
    (aiohttp.ClientConnectorDNSError, "dns"),
    (ssl.SSLError, "tls"),
    (socket.gaierror, "dns"),
    (aiohttp.ClientConnectorError, "connect"),
    (ProxyError, "connect"),
    (aiohttp.ServerDisconnectedError, "disconnected"),
    (aiohttp.ClientPayloadError, "reset"),
    (aiohttp.ClientOSError, "reset"),
    (OSError, "reset"),
)


class ResponseTooLongError(ValueError):
    """A response that was broken off because nobody needs one that long."""


def kind_of(error: BaseException) -> tuple[str, str]:
    """Kind and one line of text of a transport error; what no kind fits was no HTTP."""
    if isinstance(error, TimeoutError) and error.errno is None:  # nothing but opening a connection is bounded so
        return "connect_timeout", "no connection within endpoint.connect_timeout seconds"
    kind = next((kind for foreign, kind in _KINDS if isinstance(error, foreign)), "bad_response")
    if isinstance(error, aiohttp.ClientConnectorError):
        if error.os_error.errno in CLIENT_LIMITS and kind == "connect":
            kind = "client_limit"
        return kind, one_line(f"can't connect to {error.host}:{error.port}: {reason_of(error.os_error)}")
    if isinstance(error, aiohttp.ClientPayloadError):
        return _in_body(error)
    text = f"malformed HTTP: {error.message}" if isinstance(error, HttpProcessingError) else _named(error)
    return kind, one_line(text)


def _in_body(error: aiohttp.ClientPayloadError) -> tuple[str, str]:
    cause = error.__cause__
    if isinstance(cause, PayloadEncodingError) and not isinstance(cause, BROKEN_OFF):
        return "bad_response", one_line(f"malformed body: {cause.message}")
    return "reset", one_line(f"the connection broke in the answer: {getattr(cause, 'message', error)}")


def _named(error: BaseException) -> str:
    if isinstance(error, ResponseTooLongError | ProxyError):
        return str(error)
    return reason_of(error) if isinstance(error, ssl.SSLError) else f"{type(error).__name__}: {error}"


def reason_of(cause: OSError) -> str:
    """What the system or TLS refused, in words."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"certificate not trusted: {cause.verify_message or cause.reason}"
    if isinstance(cause, ssl.SSLError):
        return f"no TLS: {(cause.reason or str(cause)).lower().replace('_', ' ')}"
    return os.strerror(cause.errno) if cause.errno and cause.errno > 0 else cause.strerror or str(cause)
