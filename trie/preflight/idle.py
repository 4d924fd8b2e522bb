"""The engine's state before the clock: does it serve somebody else, and is its prefix cache empty?"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from time import perf_counter

from trie.endpoint.connection import Connections
from trie.endpoint.get_json import ask
from trie.engines import catalog
from trie.engines.counters import requests_in_flight
from trie.errors import EndpointError

log = logging.getLogger("trie")
ASK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class EngineState:
    """In what state a run found the engine, or put it."""

    in_flight: int | None  # requests of others at its start, None: not known
    cache_reset: bool  # whether the prefix cache was emptied for it


async def wait_until_idle(
    servers: Sequence[Connections], route: str, keys: Sequence[str], *, timeout_s: float, dialect: str | None = None
) -> int | None:
    """Wait until nothing is in flight, for `timeout_s` at most; returns what is, None where the engine doesn't tell.

    A connection may close before the engine has let go of its request, so a run that follows another would meet the
    other's last requests.
    """
    began = perf_counter()
    while True:
        in_flight = await requests_in_flight(servers, route, keys)
        if in_flight is None:
            _say_unknown(route, dialect)
            return None
        waited = perf_counter() - began
        if in_flight == 0 or waited >= timeout_s:
            break
        if waited < ASK_EVERY_S:
            log.info("requests in flight on the engine: %d; waiting for %g s at most", in_flight, timeout_s)
        await asyncio.sleep(ASK_EVERY_S)
    if in_flight:
        log.warning("requests of others in flight: %d; they share what is measured now", in_flight)
    else:
        log.info("idle: nothing is in flight on the engine")
    return in_flight


@cache  # once in a process
def _say_unknown(route: str, dialect: str | None) -> None:
    engine = catalog.of_dialect(dialect)
    flag = f"{engine.name} has it with {engine.metrics_flag}; " if engine is not None and engine.metrics_flag else ""
    log.info(
        "whether the engine is idle is not known: %s does not tell (%sendpoint.load_route, endpoint.load_keys)",
        route,
        flag,
    )


async def reset_cache(server: Connections, route: str, dialect: str | None = None) -> None:
    """Empty the engine's prefix cache.

    Raises:
        EndpointError: when the engine does not say that it did.
    """
    reply = await ask(server, route, post=b"{}")
    if not reply.ok:
        engine = catalog.of_dialect(dialect)
        hint = f"{engine.reset_hint}; " if engine is not None and engine.reset_hint else ""
        raise EndpointError(
            f"reset_cache: POST {route}: {reply.description}; {hint}reset_cache=false leaves the cache as it is"
        )
