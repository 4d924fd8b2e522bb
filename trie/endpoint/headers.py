"""Header lines of requests, and what headers of answers say."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from trie.config import EndpointConfig
from trie.errors import EndpointError

MAX_RETRY_AFTER_S = 60.0


def header(name: str, value: str) -> bytes:
    """One header line.

    Raises:
        EndpointError: for control characters or text that is not ASCII; the value is not repeated.
    """
    line = f"{name}: {value}"
    if not line.isprintable() or not line.isascii():
        raise EndpointError(f"header {name!r}: holds characters that a header can't carry")
    return line.encode() + b"\r\n"


def of_every_request(endpoint: EndpointConfig, authority: str, api_key: str | None) -> bytes:
    """The lines that all requests to a host have.

    Raises:
        EndpointError: as `header`.
    """
    lines = {"Host": authority, "User-Agent": "trie", "Accept": "*/*", "Accept-Encoding": "identity"}
    if api_key:
        lines[endpoint.api_key_header] = f"{endpoint.api_key_scheme} {api_key}".strip()
    lines.update(endpoint.headers)
    return b"".join(header(name, value) for name, value in lines.items())


def retry_after_s(text: str | None) -> float | None:
    """Retry-After in seconds, bounded, whichever of its two forms it has; None for what is none."""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = _until(text)
    return None if math.isnan(seconds) else min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def _until(date: str) -> float:
    try:
        then = parsedate_to_datetime(date)
    except ValueError:
        return math.nan
    return (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp()
