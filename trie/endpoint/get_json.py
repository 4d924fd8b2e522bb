"""A question beside the run: one route asked once, and whatever came of it, as a value."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trie.endpoint.connection import Connections
from trie.endpoint.exchange import Exchange
from trie.endpoint.json_text import loads
from trie.one_line import one_line

ANSWER_S = 10.0  # in which a route beside the API has to answer


@dataclass(frozen=True, slots=True)
class Reply:
    """What a route answered."""

    status: int | None = None  # None: no answer, for `error`
    body: bytes = b""
    head: Mapping[str, str] = field(default_factory=dict)  # headers by their names in lower case
    kind: str | None = None  # of the transport's error
    error: str | None = None

    @property
    def ok(self) -> bool:
        return self.status == 200 and self.kind is None

    @property
    def json(self) -> Any:
        """The value in the body of an answer that is one; None for any other."""
        if not self.ok:
            return None
        try:
            return loads(self.body)
        except ValueError:
            return None

    @property
    def description(self) -> str:
        """How it ended, in one line."""
        if self.error is not None:
            return self.error
        return f"HTTP {self.status} {one_line(self.body.decode('utf-8', 'replace'), 120)}".strip()


async def ask(
    connections: Connections, route: str, *, post: bytes | None = None, within_s: float | None = None
) -> Reply:
    """GET a route below the connections' base URL, or POST a JSON body to it; never raises for what the server does."""
    exchange = Exchange()
    within_s = ANSWER_S if within_s is None else within_s
    try:
        async with asyncio.timeout(within_s):
            if post is None:
                await connections.get(route, exchange)
            else:
                await connections.post(route, post, exchange)
    except TimeoutError:
        return Reply(kind="timeout", error=f"no answer within {within_s:g} s")
    return Reply(
        status=exchange.status,
        body=_hidden(connections, exchange.body),
        head={name.lower(): connections.hide(value) for name, value in exchange.head.items()},
        kind=exchange.error_kind,
        error=exchange.error,
    )


def _hidden(connections: Connections, body: bytes) -> bytes:
    """A body without the keys that its server may repeat, whatever it is then used for."""
    text = body.decode("utf-8", "surrogateescape")
    hidden = connections.hide(text)
    return body if hidden == text else hidden.encode("utf-8", "surrogateescape")
