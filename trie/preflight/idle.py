"""Before a run: does the engine serve somebody else, and is its prefix cache empty?"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from time import perf_counter

from trie.endpoint.connection import Connections
from trie.endpoint.get_json import ask
from trie.engines.counters import requests_in_flight
from trie.errors import EndpointError

log = logging.getLogger("trie")
ASK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Readiness:
    """In what state a run found the engine."""

    in_flight: int | None  # requests of others at its start, None: not known
    cache_reset: bool  # whether the prefix cache was emptied for it


async def wait_until_idle(
    connections: Sequence[Connections], route: str, keys: Sequence[str], *, timeout_s: float
) -> int | None:
    """Wait until nothing is in flight, for `timeout_s` at most; returns what is, None where the engine doesn't tell.

    A connection may close before the engine has let go of its request, so a run that follows another would meet the
    other's last requests.
    """
    began = perf_counter()
    while True:
        found = await requests_in_flight(connections, route, keys)
        if found is None:
            _say_untold(route)
            return None
        waited = perf_counter() - began
        if found == 0 or waited >= timeout_s:
            break
        if waited < ASK_EVERY_S:
            log.info("requests in flight on the engine: %d; waiting for %g s at most", found, timeout_s)
        await asyncio.sleep(ASK_EVERY_S)
    if found:
        log.warning("requests of others in flight: %d; they share what is measured now", found)
    else:
        log.info("idle: nothing is in flight on the engine")
    return found


@cache  # once in a process
def _say_untold(route: str) -> None:
    log.info(
        "whether the engine is idle is not known: %s does not tell (endpoint.load_route, endpoint.load_keys)", route
    )


async def reset_cache(connections: Connections, route: str) -> None:
    """Empty the engine's prefix cache.

    Raises:
        EndpointError: when the engine does not say that it did.
    """
    reply = await ask(connections, route, post=b"{}")
    if not reply.ok:
        hint = "vLLM has the route with VLLM_SERVER_DEV_MODE=1 alone; reset_cache=false goes on without"
        raise EndpointError(f"reset_cache: POST {route}: {reply.said}; {hint}")
