"""How far away the server is, without its clock: connections opened, and small questions on one that is kept."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from time import perf_counter

from yarl import URL

from trie.endpoint.connection import Connections
from trie.endpoint.exchange import Exchange

TIMES = 5
WITHIN_S = 5.0  # for all of each kind: a server far away is no reason to wait


@dataclass(frozen=True, slots=True)
class Rtt:
    """Seconds; None where there was no answer. A GET's time holds what the server needs to answer it."""

    connect_min_s: float | None
    connect_median_s: float | None
    get_min_s: float | None
    get_median_s: float | None

    def __str__(self) -> str:
        parts = [
            f"{name} {least * 1e3:.2f} ms (median {middle * 1e3:.2f})"
            for name, least, middle in (
                ("TCP connect", self.connect_min_s, self.connect_median_s),
                ("small GET", self.get_min_s, self.get_median_s),
            )
            if least is not None and middle is not None
        ]
        return ", ".join(parts) or "not measured"


async def measure(beside: Connections) -> Rtt:
    """Open five TCP connections, and GET /health five times, on a kept-alive one where connections are kept."""
    connects: list[float] = []
    gets: list[float] = []
    with suppress(TimeoutError, OSError):
        async with asyncio.timeout(WITHIN_S):
            await _connect(beside.first_hop, connects)
    with suppress(TimeoutError):
        async with asyncio.timeout(WITHIN_S):
            await _get(beside, gets)
    return Rtt(
        connect_min_s=min(connects, default=None),
        connect_median_s=median(connects) if connects else None,
        get_min_s=min(gets, default=None),
        get_median_s=median(gets) if gets else None,
    )


async def _connect(url: URL, times: list[float]) -> None:
    for _ in range(TIMES):
        began = perf_counter()
        _, writer = await asyncio.open_connection(url.host, url.port)
        times.append(perf_counter() - began)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _get(beside: Connections, times: list[float]) -> None:
    for number in range(TIMES + 1):
        exchange = Exchange()
        await beside.get("/health", exchange)  # where there is none, a 404 is as far away
        # The first opens its connection, and so does each with endpoint.keep_alive=false.
        if number > 0 and exchange.sent is not None and exchange.headers is not None:
            times.append(exchange.headers - exchange.sent)
