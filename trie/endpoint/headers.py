"""Headers of requests and answers: written, read, and hidden where they hold what nobody else may see."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from trie.config import EndpointConfig
from trie.errors import EndpointError

HIDDEN = "(hidden)"
SHORTEST_SECRET = 6  # characters; what is shorter, such as EMPTY, hides nothing and is found in many words
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
    found = {"Host": authority, "User-Agent": "trie", "Accept": "*/*", "Accept-Encoding": "identity"}
    if api_key:
        found[endpoint.api_key_header] = f"{endpoint.api_key_scheme} {api_key}".strip()
    found.update(endpoint.headers)
    return b"".join(header(name, value) for name, value in found.items())


class Veil:
    """Hides secrets in text that a server sent: some repeat keys in their errors."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = sorted((s for s in set(secrets) if len(s) >= SHORTEST_SECRET), key=len, reverse=True)

    def hide(self, text: str) -> str:
        """The text without them, and without the beginning of one at its end, where a long text was cut."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
            cut = text.removesuffix("...")
            known = (n for n in range(len(secret) - 1, SHORTEST_SECRET - 1, -1) if cut.endswith(secret[:n]))
            text = text if (n := next(known, 0)) == 0 else cut[:-n] + HIDDEN
        return text


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
