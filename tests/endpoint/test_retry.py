"""Retries: what is tried again, and after how long."""

from __future__ import annotations

import pytest

from trie.endpoint import retry
from trie.endpoint.exchange import Exchange


@pytest.mark.parametrize(
    ("status", "kind", "worthwhile"),
    [
        (429, None, True),
        (503, None, True),
        (408, None, True),
        (409, None, True),
        (599, None, True),
        (400, None, False),
        (404, None, False),
        (302, None, False),
        (429, "reset", True),
        (400, "reset", False),  # the server has refused it: that its answer broke off changes nothing
        (200, "reset", True),
        (None, "connect", True),
        (None, "connect_timeout", True),
        (None, "dns", True),
        (None, "client_limit", True),
        (None, "disconnected", True),
        (None, "tls", False),
        (200, "stalled", False),
        (200, "bad_response", False),
        (200, None, False),  # a whole answer without a token
    ],
)
def test_what_is_tried_again(status: int | None, kind: str | None, worthwhile: bool) -> None:
    exchange = Exchange(status=status, error_kind=kind)
    assert retry.is_worthwhile(exchange, tokens_came=False) is worthwhile
    assert not retry.is_worthwhile(exchange, tokens_came=True)


def test_pauses_double_to_a_limit() -> None:
    """0.25 s, 0.5 s, 1 s, ... 8 s; the 5,000th power of two is no float, and the pause none the longer."""
    pauses = [retry.pause_s(Exchange(), retries) for retries in (0, 1, 2, 5, 6, 5000)]
    assert pauses == [0.25, 0.5, 1.0, 8.0, 8.0, 8.0]


def test_the_server_may_name_the_pause() -> None:
    assert retry.pause_s(Exchange(retry_after_s=0.0), 5) == 0.0
    assert retry.pause_s(Exchange(retry_after_s=60.0), 0) == 60.0
