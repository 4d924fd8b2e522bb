"""What a server says of itself before a run: is it there, which models does it serve, how long a context."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from trie.endpoint.connection import Connections
from trie.endpoint.exchange import Exchange
from trie.endpoint.openai import loads
from trie.errors import EndpointError
from trie.text import one_line

TIMEOUT_S = 60.0

HINTS = {
    "connect": "is the server running, and is this its address?",
    "dns": "is the host's name right?",
    "connect_timeout": "is the address right, and open from here?",
    "tls": "is it https, with a certificate that this machine trusts? SSL_CERT_FILE=FILE adds an authority",
    "client_limit": "this machine is out of files or ports: ulimit -n",
    "disconnected": "is this an HTTP server?",
    "reset": "is this an HTTP server?",
    "bad_response": "is this an HTTP server?",
}


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What /v1/models told; empty when the server has no such route."""

    models: tuple[str, ...] = ()
    max_model_lens: tuple[int | None, ...] = ()  # tokens of prompt and completion together, in the order of `models`
    owned_by: str | None = None

    def context_of(self, model: str) -> int | None:
        """The context of a model in tokens; None when the server does not state it or does not list the model."""
        return dict(zip(self.models, self.max_model_lens, strict=True)).get(model)


async def probe(connections: Connections, base_url: str) -> ServerFacts:
    """Ask for the served models.

    Raises:
        EndpointError: when nothing answers there, or it refuses the key.
    """
    exchange = Exchange()
    where = f"{base_url}/models"
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await connections.get("/models", exchange)
    except TimeoutError:
        raise EndpointError(f"{where}: no answer within {TIMEOUT_S:g} s; has the server loaded its model?") from None
    if exchange.error_kind is not None:
        hint = HINTS.get(exchange.error_kind, "")
        raise EndpointError(f"{where}: {exchange.error}; {hint}")
    if exchange.status in (401, 403):
        raise EndpointError(
            f"{where}: HTTP {exchange.status}: set OPENAI_API_KEY, or the variable endpoint.api_key_env"
        )
    if exchange.location.startswith(("http://", "https://")) and not exchange.location.startswith(f"{base_url}/"):
        raise EndpointError(
            f"{where}: redirects to {one_line(exchange.location)}; give the address that answers itself: "
            "redirects are not followed, so that the key goes nowhere else"
        )
    if exchange.status is None or exchange.status >= 300:
        return ServerFacts()
    return _facts(exchange.body, connections.hide)


def choose_model(asked: str | None, facts: ServerFacts, base_url: str) -> str:
    """The model to name in requests: the one asked for, else the only one served.

    Raises:
        EndpointError: when none was named and the server does not serve exactly one.
    """
    if asked is not None:
        return asked
    if len(facts.models) == 1:
        return facts.models[0]
    served = ", ".join(facts.models[:8]) or "no model that it would name"
    raise EndpointError(f"model is missing: {base_url} serves {served}; say model=NAME")


def _facts(body: bytes, hide: Callable[[str], str]) -> ServerFacts:
    try:
        answer = loads(body)
    except ValueError:
        return ServerFacts()
    listed = answer.get("data") if isinstance(answer, dict) else None
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    named = [entry for entry in entries if isinstance(entry.get("id"), str)]
    owner = entries[0].get("owned_by") if entries else None
    return ServerFacts(
        models=tuple(one_line(hide(entry["id"]), 200) for entry in named),
        max_model_lens=tuple(_tokens(entry.get("max_model_len")) for entry in named),
        owned_by=one_line(hide(owner), 80) if isinstance(owner, str) else None,
    )


def _tokens(length: object) -> int | None:
    return length if isinstance(length, int) and not isinstance(length, bool) and length > 0 else None
