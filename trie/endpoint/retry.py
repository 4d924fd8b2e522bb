"""Which failed attempts are made again, and how long to wait before."""

from __future__ import annotations

from trie.endpoint.exchange import Exchange

# A failure before any answer, or an answer that asks to come back later.
RETRYABLE_KINDS = frozenset({"connect", "connect_timeout", "dns", "client_limit", "disconnected", "reset"})
RETRYABLE_STATUS = frozenset({408, 409, 429, *range(500, 600)})

FIRST_PAUSE_S = 0.25  # doubled with each further attempt, where the server names no time of its own
MAX_PAUSE_S = 8.0
MAX_DOUBLINGS = 16  # beyond these a pause is at its limit anyway, and the power of two no float


def is_worthwhile(exchange: Exchange, *, tokens_came: bool) -> bool:
    """Whether a failed attempt may be made again: never once tokens have come, or it would measure a warm cache."""
    if tokens_came:
        return False
    if exchange.status is not None and exchange.status >= 300:
        return exchange.status in RETRYABLE_STATUS
    return exchange.error_kind in RETRYABLE_KINDS


def pause_s(exchange: Exchange, retries: int) -> float:
    """Seconds until the next attempt, after so many retries: the server's Retry-After, else a growing pause."""
    if exchange.retry_after_s is not None:
        return exchange.retry_after_s
    return min(FIRST_PAUSE_S * 2.0 ** min(retries, MAX_DOUBLINGS), MAX_PAUSE_S)
