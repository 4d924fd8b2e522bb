"""How to speak to the server."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

import orjson

from trie.config.setting import SECONDS, check, require, setting
from trie.engines import catalog
from trie.errors import ConfigError

URL = re.compile(r"https?://(\[[0-9A-Fa-f:.%]+\]|[^\s/?#@:\[\]]+)(:(\d{1,5}))?(/[^\s?#]*)?(\?[^\s#]*)?", re.IGNORECASE)
SECRET_IN_QUERY = re.compile(r"[?&]([^=&]*(?:key|token|secret|password|sig|auth)[^=&]*)=", re.IGNORECASE)
NO_PROXY = "none"
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110's token


class Api(Enum):
    """Which of the two OpenAI routes a request takes."""

    completions = "completions"
    chat = "chat"


LOAD_KEYS = tuple(catalog.load_keys())


class PromptForm(Enum):
    """How a prompt is sent on the completions route."""

    text = "text"
    # lists of ids, those that the server answered among them: the prefix is exact
    token_ids = "token_ids"  # noqa: S105 - no password


class ToolRole(Enum):
    """Who says a tool's output on the chat route."""

    tool = "tool"  # a message of role tool that answers the call of the message before it, as agents send
    user = "user"  # for models whose template knows no tools


@dataclass
class TlsConfig:
    """How an https server proves who it is, and we to it."""

    verify: bool = setting(True, "check the server's certificate; false: any will do, and anybody may listen")
    ca_file: str | None = setting(None, "PEM file of the authorities to trust; null: those of the system")
    cert_file: str | None = setting(None, "PEM file of the client's certificate, for servers that ask for one")
    key_file: str | None = setting(None, "PEM file of that certificate's key; null: cert_file holds it")

    def __post_init__(self) -> None:
        alone = self.key_file is not None and self.cert_file is None
        require(not alone, "endpoint.tls.key_file", self.key_file, "left out without endpoint.tls.cert_file")


@dataclass
class EndpointConfig:
    """How to speak to the server; without a base_url the embedded endpoint is started for the run.

    What differs from engine to engine stands in conf/endpoint/, a file for each: the dialect. `name: custom`, as
    `endpoint=URL` gives, has the dialect found by asking the server, and takes from it what is not set here.
    """

    name: str = setting("custom", "name of the dialect; custom: the server is asked for it")
    base_url: str | None = setting(
        None, "URL up to and including /v1, with the query that every request needs; null: the embedded endpoint"
    )
    replicas: list[str] = setting([], "more base URLs of the same model; traces take turns on all of them")
    api: Api = setting(Api.completions, "the OpenAI route that requests take")
    prompt_form: PromptForm = setting(
        PromptForm.text, "how prompts are sent; token_ids needs api=completions and the model's own tokenizer"
    )
    api_key_env: str = setting(
        "OPENAI_API_KEY", "environment variable that holds the API key; the key itself is no setting"
    )
    api_key_header: str = setting("Authorization", "header that carries the key, such as api-key")
    api_key_scheme: str = setting("Bearer", "word before the key in that header; empty: the key alone")
    ignore_eos: bool | None = setting(True, "ignore_eos of each request; null: the field is left out")
    max_tokens_field: str = setting(
        "max_tokens", "field that limits the answer; max_completion_tokens on some clouds", text="the name of a field"
    )
    min_tokens_field: str | None = setting(
        None,
        "field that asks for at least as many tokens, such as min_tokens; null: none is sent",
        text="the name of a field",
    )
    include_usage: bool = setting(True, "ask for usage in streams (stream_options.include_usage)")
    continuous_usage: bool = setting(
        False, "ask for usage in every chunk (vLLM): it tells the tokens of the first chunk"
    )
    cached_tokens_field: str | None = setting(
        None,
        "dotted field of usage in which cached tokens are looked for first; null: the places that are known",
        text="the name of a field",
    )
    cache_flag: str | None = setting(None, "for people: the flag that makes the server report cached tokens")
    tool_role: ToolRole = setting(ToolRole.tool, "role of the chat messages that bring a tool's output")
    declare_tools: bool = setting(False, "send the declaration of the tool that chat messages call")
    session_header: str | None = setting(
        None, "header that carries the session's id, such as X-SMG-Routing-Key; null: none is sent"
    )
    worker_header: str | None = setting(
        None, "header of answers that names the worker behind a router; the rows keep it"
    )
    query: str | None = setting(
        None, "query of every request, such as api-version=2024-10-21; one in base_url does the same"
    )
    headers: dict[str, str] = setting({}, "headers sent with every request", shown=False)
    extra_body: dict[str, Any] = setting({}, "fields merged into every request body")
    bos_tokens: int | None = setting(
        None, "tokens that the server adds before the first prompt; null: measured before the run", minimum=0
    )
    proxy: str | None = setting(
        None, "URL of an HTTP proxy; null: as HTTPS_PROXY, HTTP_PROXY and NO_PROXY say; none: the server itself"
    )
    connect_timeout: float = setting(30.0, "time to open a connection", above=0, unit=SECONDS)
    keep_alive: bool = setting(
        True, "reuse connections; false: one for each request, for servers that close them anyway"
    )
    tls: TlsConfig = field(default_factory=TlsConfig)
    metrics_route: str | None = setting(
        "/metrics", "route beside /v1, or a URL, of the engine's own counters; null: not read"
    )
    load_route: str = setting(
        "/metrics",
        "route beside /v1 that tells, as Prometheus text or JSON, how many requests are in flight",
    )
    load_keys: list[str] = setting(
        catalog.load_keys(),
        "names of the numbers there that are summed, whatever their labels; default: those of all known engines; "
        "[]: the load is not asked for",
    )
    reset_route: str | None = setting(
        None, "route beside /v1 on which a POST empties the prefix cache; null: the engine has none"
    )

    def __post_init__(self) -> None:
        if self.base_url is not None:
            self.base_url = _url("base_url", self.base_url)
        self.replicas = [_url("replicas", url) for url in self.replicas]
        self._check_proxy()
        if self.query is not None:
            _refuse_secret("endpoint.query", f"?{self.query}")
            require(re.fullmatch(r"[^\s#?]+", self.query) is not None, "endpoint.query", self.query, "NAME=VALUE&...")
        alone = bool(self.replicas) and self.base_url is None
        require(not alone, "endpoint.replicas", self.replicas, "[] without endpoint.base_url")
        places = self.places
        again = [url for at, url in enumerate(self.base_urls) if places[at] in places[:at]]
        require(not again, "endpoint.replicas", ", ".join(again), "each server once, endpoint.base_url among them")
        check(self, "endpoint.")
        self._check_fields()
        self._check_headers()
        for key in ("metrics_route", "load_route", "reset_route"):
            route = getattr(self, key)
            url = key == "metrics_route" and route is not None and URL.fullmatch(route) is not None
            require(
                route is None or url or route.startswith("/"), f"endpoint.{key}", route, "a path that begins with /"
            )
        self._refuse_own_fields()

    @property
    def base_urls(self) -> list[str]:
        """Where the model is served: base_url and its replicas; empty for the embedded endpoint."""
        return [] if self.base_url is None else [self.base_url, *self.replicas]

    @property
    def places(self) -> list[tuple[str, str | None, int | None, str]]:
        """Of each of the base_urls what it has in common with other URLs of the same server."""
        return [_place(url) for url in self.base_urls]

    def _check_fields(self) -> None:
        alone = self.continuous_usage and not self.include_usage
        require(not alone, "endpoint.continuous_usage", "true", "false without endpoint.include_usage")
        ids = self.prompt_form is PromptForm.token_ids
        require(not ids or self.api is Api.completions, "endpoint.prompt_form", "token_ids", "text with api=chat")

    def _check_proxy(self) -> None:
        if self.proxy is None or self.proxy == NO_PROXY:
            return
        if "@" in self.proxy:
            raise ConfigError("endpoint.proxy=(hidden): must be without user and password, which HTTPS_PROXY may hold")
        is_http = self.proxy.lower().startswith("http://") and URL.fullmatch(self.proxy) is not None
        require(is_http, "endpoint.proxy", self.proxy, f"http://HOST:PORT or {NO_PROXY}")

    def _check_headers(self) -> None:
        others = (self.session_header, self.worker_header)
        for name in [self.api_key_header, *self.headers, *(name for name in others if name is not None)]:
            require(HEADER_NAME.fullmatch(name) is not None, "endpoint: header", ascii(name), "a header's name")

    def _refuse_own_fields(self) -> None:
        """Fields that each request has of its own would stand in its body twice.

        Raises:
            ConfigError: naming the field.
        """
        names = {"model", "stream", "prompt", "messages", self.max_tokens_field, self.min_tokens_field}
        for name in sorted(name for name in names if name is not None and name in self.extra_body):
            require(False, f"endpoint.extra_body.{name}", "(set)", "left to trie, which sets it itself")
        try:
            orjson.dumps(self.extra_body)
        except TypeError as error:
            raise ConfigError(f"endpoint.extra_body: holds what JSON can't ({error})") from None


def _url(key: str, url: str) -> str:
    """A base URL without the slash at the end of its path.

    Raises:
        ConfigError: naming the key, for what is none; a password in it is not repeated.
    """
    key = f"endpoint.{key}"
    host = url.partition("://")[2].partition("/")[0]
    require("@" not in host, key, "(hidden)", "without user and password")
    _refuse_secret(key, url)
    match = URL.fullmatch(url)
    web = url.lower().startswith(("http://", "https://"))
    allowed = "an http(s) URL" + (" up to and including /v1, without #" if web else "")
    require(match is not None, key, url, allowed)
    port = match[3] if match is not None else None
    require(port is None or 0 < int(port) < 1 << 16, key, url, "with a port from 1 to 65535")
    path, mark, query = url.partition("?")
    return path.rstrip("/") + mark + query


def _refuse_secret(key: str, url: str) -> None:
    """A key in a query would be written down with the settings.

    Raises:
        ConfigError: naming the setting and the field alone.
    """
    secret = SECRET_IN_QUERY.search(url)
    if secret is not None:
        raise ConfigError(
            f"{key}: holds {secret[1]}=(hidden), which would be written down; api_key= and endpoint.api_key_header "
            "send a key"
        )


def _place(url: str) -> tuple[str, str | None, int | None, str]:
    """What two URLs of the same server have in common."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, port, f"{parts.path}?{parts.query}"
