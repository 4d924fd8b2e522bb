"""A server met for the first time: is it there, who is it, and how is it spoken to then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import trie
from trie.config import EndpointConfig, dialects
from trie.endpoint.connection import Connections
from trie.endpoint.get_json import Reply, ask
from trie.engines.declaration import MODELS
from trie.engines.detect import Finding, facts_beside, identify, listed_context, routes, routes_of
from trie.errors import EndpointError
from trie.one_line import one_line

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
        replies = {MODELS: reply, **await _ask_all(beside, routes())}
        finding = identify(replies)
        replies |= await _ask_all(beside, [route for route in routes_of(finding.dialect) if route not in replies])
        return Met(listed, finding, facts_beside(replies))


async def _ask_all(beside: Connections, asked: Sequence[str]) -> dict[str, Reply]:
    replies = await asyncio.gather(*(ask(beside, route) for route in asked))
    return dict(zip(asked, replies, strict=True))


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
        log.warning("server is %s; no dialect is applied: %s", finding, _spoken(endpoint))
    else:
        endpoint, taken = dialects.applied(endpoint, finding.dialect)
        settings = dialects.listed(taken) or "nothing is set that was not set"
        log.info("server is %s; from conf/endpoint/%s.yaml: %s", finding, finding.dialect, settings)
    others = {str(one.finding.dialect) for one in met} - {str(finding.dialect)}
    if others:
        log.warning("the servers are not of one kind: %s beside %s", ", ".join(sorted(others)), finding.dialect)
    return endpoint, taken


def _check(endpoint: EndpointConfig, finding: Finding) -> None:
    """Say where a named dialect is not what the server seems to speak; nothing is changed by it."""
    named = endpoint.name
    fits = finding.dialect in (None, named) or finding.behind == named or named not in dialects.names()
    if fits:
        log.info("server is %s; endpoint=%s as named", finding, named)
    else:
        log.warning(
            "server is %s, but endpoint=%s was named; nothing is changed: endpoint=%s has the right settings",
            finding,
            named,
            finding.dialect,
        )


def _spoken(endpoint: EndpointConfig) -> str:
    """What is said to a server that nobody knows."""
    eos = "not sent" if endpoint.ignore_eos is None else f"{str(endpoint.ignore_eos).lower()} sent"
    return f"{endpoint.api.name}, ignore_eos {eos}, {endpoint.max_tokens_field}; endpoint=NAME applies another dialect"


log = logging.getLogger("trie")
TIMEOUT_S = 60.0
RETRY_EVERY_S, SAY_EVERY_S = 1.0, 15.0
NOT_YET_KINDS = frozenset({"connect", "connect_timeout", "disconnected", "reset", "timeout"})
NOT_YET_STATUS = frozenset({429, 502, 503, 504})

HINTS = {
    "connect": "is the server running, and is this its address?",
    "dns": "is the host's name right?",
    "connect_timeout": "is the address right, and open from here?",
    "tls": "is it https, with a certificate that this machine trusts? SSL_CERT_FILE=FILE adds an authority",
    "client_limit": "this machine is out of files or ports: ulimit -n",
    "disconnected": "is this an HTTP server?",
    "reset": "is this an HTTP server?",
    "bad_response": "is this an HTTP server?",
    "timeout": "has the server loaded its model?",
}


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What /v1/models told; empty when the server has no such route."""

    models: tuple[str, ...] = ()
    contexts: tuple[int | None, ...] = ()  # tokens of prompt and completion together, in the order of `models`
    owned_by: str | None = None

    def context_of(self, model: str) -> int | None:
        """The context of a model in tokens; None when the server does not state it or does not list the model."""
        return dict(zip(self.models, self.contexts, strict=True)).get(model)


async def reach(connections: Connections, *, wait_s: float = 0.0) -> tuple[ServerFacts, Reply]:
    """Ask for the served models, again and again for `wait_s` seconds while the server does not answer yet.

    A gateway answers before its workers have registered: with time to wait, one that lists nothing is waited for.

    Raises:
        EndpointError: when nothing answers there, or it refuses the key.
    """
    where = f"{connections.base_url}/models"
    until = said = perf_counter()
    until += wait_s
    while True:
        reply = await ask(connections, "/models", within_s=min(TIMEOUT_S, wait_s) or TIMEOUT_S)
        found = facts_of(reply.json)
        why = _not_yet(reply, found)
        now = perf_counter()
        if why is None or now >= until:
            break
        if now >= said:
            log.info("%s: %s; waiting for %.0f s more at most (wait_for_ready)", where, why, until - now)
            said = now + SAY_EVERY_S
        await asyncio.sleep(min(RETRY_EVERY_S, until - now))
    if why is not None and wait_s > 0:
        raise EndpointError(f"{where}: {why}, still after wait_for_ready={wait_s:g} seconds; {_hint(reply)}")
    _refuse(reply, connections.base_url)
    return found, reply


def _not_yet(reply: Reply, found: ServerFacts) -> str | None:
    """Why a server is not ready that may become so; None for one that is, or that won't be."""
    if reply.kind is not None:
        return reply.error if reply.kind in NOT_YET_KINDS else None
    if reply.status in NOT_YET_STATUS:
        return reply.said
    listed = reply.json
    nothing = isinstance(listed, dict) and listed.get("data") == [] and not found.models
    return "it lists no model" if nothing else None


def _hint(reply: Reply) -> str:
    return HINTS.get(reply.kind, "see its log") if reply.kind is not None else "see its log: has it loaded its model?"


def _refuse(reply: Reply, base_url: str) -> None:
    """Raise for an answer with which there is nothing to begin.

    Raises:
        EndpointError: saying where and what to do.
    """
    where = f"{base_url}/models"
    if reply.kind is not None:
        raise EndpointError(f"{where}: {reply.error}; {HINTS.get(reply.kind, '')}")
    if reply.status in (401, 403):
        raise EndpointError(f"{where}: HTTP {reply.status}: set OPENAI_API_KEY, or the variable endpoint.api_key_env")
    if reply.status in NOT_YET_STATUS:
        raise EndpointError(f"{where}: {reply.said}; wait_for_ready=300 waits for a server that is not ready yet")
    location = reply.head.get("location", "").partition("?")[0]
    moved = reply.status is not None and 300 <= reply.status < 400
    if moved and location.startswith(("http://", "https://")) and not location.startswith(f"{base_url}/"):
        raise EndpointError(
            f"{where}: redirects to {one_line(location)}; give the address that answers itself: "
            "redirects are not followed, so that the key goes nowhere else"
        )


def choose_model(asked: str | None, facts: ServerFacts, base_url: str) -> str:
    """The model to name in requests: the one asked for, else the only one served.

    Raises:
        EndpointError: when none was named and the server does not serve exactly one.
    """
    if asked is not None:
        if facts.models and asked not in facts.models:
            log.warning("model %s is not among those that %s lists: %s", asked, base_url, ", ".join(facts.models[:8]))
        return asked
    if len(facts.models) == 1:
        return facts.models[0]
    served = ", ".join(facts.models[:8]) or "no model that it would name"
    raise EndpointError(f"model is missing: {base_url} serves {served}; say model=NAME")


def facts_of(answer: Any) -> ServerFacts:
    """What the value of /v1/models says."""
    listed = answer.get("data") if isinstance(answer, dict) else None
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    named = [entry for entry in entries if isinstance(entry.get("id"), str)]
    owner = entries[0].get("owned_by") if entries else None
    return ServerFacts(
        models=tuple(one_line(entry["id"], 200) for entry in named),
        contexts=tuple(listed_context(entry) for entry in named),
        owned_by=one_line(owner, 80) if isinstance(owner, str) else None,
    )
