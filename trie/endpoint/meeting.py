"""A server met for the first time: is it there, who is it, and how is it spoken to then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import trie
from trie.config import EndpointConfig
from trie.endpoint import dialects
from trie.endpoint.asking import Reply, ask
from trie.endpoint.beside import WORKERS, facts_beside
from trie.endpoint.connection import Connections
from trie.endpoint.identity import GATEWAY, MODELS, ROUTES, Finding, identify
from trie.endpoint.models import ServerFacts, reach

log = logging.getLogger("trie")
EMBEDDED = Finding("sim", trie.__version__, ("embedded endpoint", "started by this run"))


@dataclass(frozen=True, slots=True)
class Met:
    """A server, as far as it tells without a request to its model."""

    listed: ServerFacts
    finding: Finding
    facts: Mapping[str, Any]  # beside the API


def root_of(base_url: str) -> str:
    """Where the routes are that engines have beside the API."""
    return base_url.removesuffix("/v1")


async def meet(endpoint: EndpointConfig, url: str, *, api_key: str | None, wait_s: float) -> Met:
    """Wait for a server, for `wait_s` at most, and ask it who it is; no setting of a dialect is in force yet.

    Raises:
        EndpointError: when nothing answers there, or it refuses the key.
    """
    async with (
        Connections(endpoint, url, api_key=api_key) as connections,
        Connections(endpoint, root_of(url), api_key=api_key) as beside,
    ):
        listed, reply = await reach(connections, wait_s=wait_s)
        if endpoint.base_url is None:
            return Met(listed, EMBEDDED, {})
        found = await asyncio.gather(*(ask(beside, route) for route in ROUTES))
        replies: dict[str, Reply] = {MODELS: reply, **dict(zip(ROUTES, found, strict=True))}
        finding = identify(replies)
        if finding.dialect == GATEWAY:
            replies[WORKERS] = await ask(beside, WORKERS)
        return Met(listed, finding, facts_beside(replies))


def settled(endpoint: EndpointConfig, met: Sequence[Met]) -> tuple[EndpointConfig, dict[str, Any]]:
    """The endpoint with the dialect's settings where these are to be found out, and what they are; both are said.

    Raises:
        ConfigError: where they do not go with what the user set.
    """
    finding = met[0].finding
    taken: dict[str, Any] = {}
    if endpoint.name != dialects.CUSTOM:
        _check(endpoint, finding)
    elif finding.dialect is None:
        log.warning("dialect %s: taken as custom: %s", finding, _spoken(endpoint))
    else:
        endpoint, taken = dialects.settled(endpoint, finding.dialect)
        source = f"conf/endpoint/{finding.dialect}.yaml"
        log.info("dialect %s; from %s: %s", finding, source, dialects.listed(taken) or "nothing that was not set")
    others = {str(one.finding.dialect) for one in met} - {str(finding.dialect)}
    if others:
        log.warning("not all servers speak one dialect: %s beside %s", ", ".join(sorted(others)), finding.dialect)
    return endpoint, taken


def _check(endpoint: EndpointConfig, finding: Finding) -> None:
    """Say where a named dialect is not what the server seems to speak; nothing is changed by it."""
    named = endpoint.name
    fits = finding.dialect in (None, named) or finding.behind == named or named not in dialects.names()
    if fits:
        log.info("dialect %s as named; the server: %s", named, finding)
    else:
        log.warning(
            "dialect %s as named, but the server looks like %s; nothing was changed: endpoint=%s is that one's",
            named,
            finding,
            finding.dialect,
        )


def _spoken(endpoint: EndpointConfig) -> str:
    """What is said to a server that nobody knows."""
    eos = "not sent" if endpoint.ignore_eos is None else f"{str(endpoint.ignore_eos).lower()} sent"
    return f"{endpoint.api.name}, ignore_eos {eos}, {endpoint.max_tokens_field}; endpoint=NAME takes another"
