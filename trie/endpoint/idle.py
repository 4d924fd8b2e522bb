"""Before a run: does the engine serve somebody else, and is its prefix cache empty?"""

from __future__ import annotations

import asyncio
import logging
import math
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from time import perf_counter
from typing import Any

from trie.endpoint.connection import Connections
from trie.endpoint.exchange import Exchange
from trie.endpoint.openai import loads
from trie.errors import EndpointError
from trie.text import one_line

log = logging.getLogger("trie")
ASK_EVERY_S = 0.5
ANSWER_S = 10.0  # in which a route beside the API has to answer
_SAMPLE = re.compile(rb"^([A-Za-z_:][\w:]*)(?:\{[^\n]*\})?[ \t]+(\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Readiness:
    """In what state a run found the engine."""

    in_flight: int | None  # requests of others at its start, None: not known
    cache_reset: bool  # whether the prefix cache was emptied for it


def in_flight(body: bytes, keys: Sequence[str]) -> int | None:
    """Requests that an engine serves or holds in its queue, summed over `keys` and over labels; None: it doesn't tell.

    Args:
        body: Prometheus' text format, as of /metrics, or JSON, as of routes like /get_load.
        keys: names of gauges, or of numbers in the JSON at any depth.
    """
    try:
        found = list(_numbers(loads(body), set(keys)))
    except ValueError:
        names = {key.encode() for key in keys}
        found = [_number(value) for name, value in _SAMPLE.findall(body) if name in names]
    known = [value for value in found if math.isfinite(value)]
    return round(sum(known)) if known else None


def _number(text: bytes) -> float:
    with suppress(ValueError):
        return float(text)
    return math.nan


def _numbers(content: Any, keys: set[str]) -> Sequence[float]:
    """The numbers under these keys in JSON of any shape."""
    if isinstance(content, list):
        return [value for item in content for value in _numbers(item, keys)]
    if not isinstance(content, dict):
        return []
    own = [float(content[key]) for key in keys & content.keys() if type(content[key]) in (int, float)]
    return own + [value for item in content.values() for value in _numbers(item, keys)]


async def wait_until_idle(connections: Connections, route: str, keys: Sequence[str], *, timeout_s: float) -> int | None:
    """Wait until nothing is in flight, for `timeout_s` at most; returns what is, None where the engine doesn't tell.

    A connection may close before the engine has let go of its request, so a run that follows another would meet the
    other's last requests.
    """
    began = perf_counter()
    while True:
        found = in_flight(await _asked(connections, route), keys)
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
    exchange = Exchange()
    with suppress(TimeoutError):
        async with asyncio.timeout(ANSWER_S):
            await connections.post(route, b"{}", exchange)
    if exchange.error_kind is not None or exchange.status != 200:
        body = one_line(exchange.body.decode("utf-8", "replace"), 120)
        answer = f"no answer within {ANSWER_S:g} s" if exchange.status is None else f"HTTP {exchange.status} {body}"
        said = exchange.error or answer
        hint = "vLLM has the route with VLLM_SERVER_DEV_MODE=1 alone; reset_cache=false goes on without"
        raise EndpointError(f"reset_cache: POST {route}: {said.strip()}; {hint}")


async def _asked(connections: Connections, route: str) -> bytes:
    """The body of a route, empty where there is no such route or no timely answer."""
    exchange = Exchange()
    with suppress(TimeoutError):
        async with asyncio.timeout(ANSWER_S):
            await connections.get(route, exchange)
    return exchange.body if exchange.status == 200 and exchange.error_kind is None else b""
