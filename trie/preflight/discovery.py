"""A server that is not known yet: is it there, who is it, how is it spoken to, which model does it serve.

`discover` asks /v1/models until it answers, then the routes by which engines are told apart. `apply_dialect` sets what
the engine's dialect sets and the user did not. `choose_model` names the model of all requests. What a server answers
is judged in engines/detect; here is the way to it, and what people are told.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import trie
from trie.config import EndpointConfig, dialects
from trie.endpoint.connection import Connections
from trie.endpoint.get_json import Reply, ask
from trie.engines.declaration import MODELS, listed_models
from trie.engines.detect import Finding, facts_beside, identify, listed_context, routes, routes_of
from trie.errors import EndpointError
from trie.one_line import one_line

log = logging.getLogger("trie")

EMBEDDED = Finding("sim", trie.__version__, ("embedded endpoint", "started by this run"))
TIMEOUT_S = 60.0
RETRY_EVERY_S, SAY_EVERY_S = 1.0, 15.0
NOT_YET_KINDS = frozenset({"connect", "connect_timeout", "disconnected", "reset", "timeout"})
NOT_YET_STATUS = frozenset({429, 502, 503, 504})
MODELS_SHOWN = 8  # that a message names
HINTS = {
    "connect": "is the server running, and is this its address?",
    "dns": "is the host's name right?",
    "connect_timeout": "is the address right, and open from here?",
    "tls": "does the server speak http, without TLS? endpoint=http://... asks it so",
    "client_limit": "this machine is out of files or ports: ulimit -n",
    "disconnected": "is this an HTTP server?",
    "reset": "is this an HTTP server?",
    "bad_response": "is this an HTTP server?",
    "timeout": "has the server loaded its model?",
}


_ROUTE = re.compile(r"/(chat/completions|completions|models|responses|embeddings|messages|chat)$")
CERTIFICATE = (
    "endpoint.tls.ca_file=FILE, or SSL_CERT_FILE=FILE, names the authority that signed it; endpoint.tls.verify=false "
    "takes any certificate"
)
SPEAKS_TLS = " If it speaks TLS, endpoint=https://... asks it so"
WANTS_TLS = re.compile(rb"https", re.IGNORECASE)  # in a 400 to plain http: "sent an HTTP request to an HTTPS server"


@dataclass(frozen=True, slots=True)
class ModelList:
    """What /v1/models lists; empty when the server has no such route."""

    models: tuple[str, ...] = ()
    contexts: tuple[int | None, ...] = ()  # tokens of prompt and completion together, in the order of `models`
    owned_by: str | None = None

    def context_of(self, model: str) -> int | None:
        """The context of a model in tokens; None when the server does not state it or does not list the model."""
        return dict(zip(self.models, self.contexts, strict=True)).get(model)


@dataclass(frozen=True, slots=True)
class Discovery:
    """A server, as far as it tells without a request to its model."""

    listed: ModelList
    finding: Finding
    facts: Mapping[str, Any]  # beside the API


def root_of(base_url: str) -> str:
    """Where the routes are that engines have beside the API."""
    path, mark, query = base_url.partition("?")
    return path.removesuffix("/v1") + mark + query


def address_of(base_url: str, route: str) -> str:
    """The address of a route, for people."""
    path, mark, query = base_url.partition("?")
    return path + route + mark + query


def near_addresses(base_url: str) -> list[str]:
    """Addresses that may be meant where no models are listed: without a route at the end, with /v1, without it."""
    path, mark, query = base_url.partition("?")
    bare = _ROUTE.sub("", path)
    others = [bare, bare.removesuffix("/v1")] if bare.endswith("/v1") else [f"{bare}/v1", bare]
    return [address + mark + query for address in others if address != path]


async def discover(endpoint: EndpointConfig, url: str, *, api_key: str | None, wait_s: float) -> Discovery:
    """Wait for a server, for `wait_s` at most, and ask it who it is; no setting of a dialect is in force yet.

    Raises:
        EndpointError: when nothing answers there, or it refuses the key.
    """
    async with (
        Connections(endpoint, url, api_key=api_key) as connections,
        Connections(endpoint, root_of(url), api_key=api_key) as beside,
    ):
        if (proxy := connections.proxy) is not None:
            log.info("through the proxy %s (%s); endpoint.proxy=none asks the server itself", proxy.url, proxy.named_by)
        listed, models_reply = await _reach(connections, wait_s=wait_s)
        if not listed.models:
            await _refuse_near_miss(endpoint, url, models_reply, api_key)
        if endpoint.base_url is None:
            return Discovery(listed, EMBEDDED, {})
        replies = {MODELS: models_reply, **await _ask_all(beside, routes())}
        finding = identify(replies)
        replies |= await _ask_all(beside, [route for route in routes_of(finding.dialect) if route not in replies])
        return Discovery(listed, finding, facts_beside(replies))


def apply_dialect(
    endpoint: EndpointConfig, discoveries: Sequence[Discovery]
) -> tuple[EndpointConfig, Mapping[str, Any]]:
    """The endpoint with its dialect's settings in force, and those that came from the dialect; the log says both.

    Nothing is changed where the user named a dialect, or where the server is not known.

    Raises:
        ConfigError: where the dialect's settings exclude what the user set.
    """
    finding = discoveries[0].finding
    settings: dict[str, Any] = {}
    if endpoint.name != dialects.CUSTOM:
        _check_named(endpoint.name, finding)
    elif finding.dialect is None:
        log.warning("server is %s; no dialect is applied: %s", finding, _spoken(endpoint))
    else:
        endpoint, settings = dialects.applied(endpoint, finding.dialect)
        listed = dialects.listed(settings) or "nothing is set that was not set"
        log.info("server is %s; from conf/endpoint/%s.yaml: %s", finding, finding.dialect, listed)
    others = {str(discovery.finding.dialect) for discovery in discoveries} - {str(finding.dialect)}
    if others:
        log.warning("the servers are not of one kind: %s beside %s", ", ".join(sorted(others)), finding.dialect)
    return endpoint, settings


def choose_model(named: str | None, listed: ModelList, base_url: str) -> str:
    """The model to name in requests: the one that the user named, else the only one served.

    Raises:
        EndpointError: when none was named and the server does not serve exactly one.
    """
    served = ", ".join(listed.models[:MODELS_SHOWN])
    if named is not None:
        if listed.models and named not in listed.models:
            log.warning("model %s is not among those that %s lists: %s", named, base_url, served)
        return named
    if len(listed.models) == 1:
        return listed.models[0]
    raise EndpointError(f"model is missing: {base_url} serves {served or 'no model that it names'}; set model=NAME")


async def _reach(connections: Connections, *, wait_s: float) -> tuple[ModelList, Reply]:
    """Ask for the served models, again and again for `wait_s` seconds while the server does not answer yet.

    A gateway answers before its workers have registered: with time to wait, one that lists nothing is waited for.

    Raises:
        EndpointError: when nothing answers there, or it refuses the key.
    """
    where = address_of(connections.base_url, "/models")
    next_line = perf_counter()
    until = next_line + wait_s
    while True:
        reply = await ask(connections, "/models", within_s=min(TIMEOUT_S, wait_s) or TIMEOUT_S)
        listed = _model_list(reply.json)
        reason = _not_yet(reply, listed)
        now = perf_counter()
        if reason is None or now >= until:
            break
        if now >= next_line:
            log.info("%s: %s; waiting for %.0f s more at most (wait_for_ready)", where, reason, until - now)
            next_line = now + SAY_EVERY_S
        await asyncio.sleep(min(RETRY_EVERY_S, until - now))
    if reason is not None and wait_s > 0:
        raise EndpointError(
            f"{where}: {reason}, still after wait_for_ready={wait_s:g} seconds; {_hint(reply, connections.base_url)}"
        )
    _refuse(reply, connections.base_url)
    return listed, reply


async def _refuse_near_miss(endpoint: EndpointConfig, url: str, reply: Reply, api_key: str | None) -> None:
    """Ask for models where they may be, when the address has none.

    Raises:
        EndpointError: with the address that lists models, or without the route at the address's end.
    """
    if reply.kind is not None:
        return
    where = f"{address_of(url, '/models')}: {reply.description}"
    for address in near_addresses(url):
        async with Connections(endpoint, address, api_key=api_key) as connections:
            if _model_list((await ask(connections, "/models")).json).models:
                raise EndpointError(f"{where}; did you mean {address}?")
    path, mark, query = url.partition("?")
    if _ROUTE.search(path) is not None:
        raise EndpointError(f"{where}; the address ends in a route: did you mean {_ROUTE.sub('', path)}{mark}{query}?")


def _not_yet(reply: Reply, listed: ModelList) -> str | None:
    """Why a server is not ready that may become so; None for one that is, or that won't be."""
    if reply.kind is not None:
        return reply.error if reply.kind in NOT_YET_KINDS else None
    if reply.status in NOT_YET_STATUS:
        return reply.description
    value = reply.json
    lists_none = value == [] or (isinstance(value, dict) and value.get("data") == [] and not listed.models)
    return "it lists no model" if lists_none else None


def _hint(reply: Reply, base_url: str) -> str:
    """What to look at, by how an attempt ended."""
    if reply.kind is None:
        return "see its log: has it loaded its model?"
    if reply.kind == "tls" and "certificate" in (reply.error or ""):
        return CERTIFICATE
    hint = HINTS.get(reply.kind, "see its log")
    no_http = reply.kind in ("disconnected", "reset", "bad_response")
    return f"{hint}{SPEAKS_TLS}" if no_http and base_url.lower().startswith("http://") else hint


def _refuse(reply: Reply, base_url: str) -> None:
    """Raise for an answer with which a run can't begin.

    Raises:
        EndpointError: saying where and what to do.
    """
    where = address_of(base_url, "/models")
    if reply.kind is not None:
        raise EndpointError(f"{where}: {reply.error}; {_hint(reply, base_url)}")
    if reply.status == 400 and base_url.lower().startswith("http://") and WANTS_TLS.search(reply.body) is not None:
        raise EndpointError(f"{where}: {reply.description}; does it speak TLS? endpoint=https://... asks it so")
    if reply.status in (401, 403):
        raise EndpointError(f"{where}: HTTP {reply.status}: set OPENAI_API_KEY, or the variable endpoint.api_key_env")
    if reply.status in NOT_YET_STATUS:
        raise EndpointError(
            f"{where}: {reply.description}; wait_for_ready=300 waits for a server that is not ready yet"
        )
    location = reply.head.get("location", "").partition("?")[0]
    moved = reply.status is not None and 300 <= reply.status < 400
    if (
        moved
        and location.startswith(("http://", "https://"))
        and not location.startswith(f"{base_url.partition('?')[0]}/")
    ):
        raise EndpointError(
            f"{where}: redirects to {one_line(location)}; give the address that answers itself: "
            "redirects are not followed, so that the key goes nowhere else"
        )


def _model_list(value: Any) -> ModelList:
    """The value that /v1/models answered, read."""
    entries = listed_models(value)
    named = [(name, entry) for entry in entries if isinstance(name := entry.get("id", entry.get("name")), str)]
    owner = entries[0].get("owned_by") if entries else None
    return ModelList(
        models=tuple(one_line(name, 200) for name, _ in named),
        contexts=tuple(listed_context(entry) for _, entry in named),
        owned_by=one_line(owner, 80) if isinstance(owner, str) else None,
    )


async def _ask_all(beside: Connections, asked: Sequence[str]) -> dict[str, Reply]:
    replies = await asyncio.gather(*(ask(beside, route) for route in asked))
    return dict(zip(asked, replies, strict=True))


def _check_named(named: str, finding: Finding) -> None:
    """Say whether the server is what the user named; nothing is changed by it."""
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
    """How a server that is not known is spoken to."""
    eos = "not sent" if endpoint.ignore_eos is None else f"{str(endpoint.ignore_eos).lower()} sent"
    return f"{endpoint.api.name}, ignore_eos {eos}, {endpoint.max_tokens_field}; endpoint=NAME applies one"
