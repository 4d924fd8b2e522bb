"""Requests through a small real proxy: http by whole addresses, https by CONNECT; which proxy, and its password."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import pytest
import trustme
import uvloop
from helpers.forward_proxy import forwarding
from helpers.rows import planned_row
from helpers.scripted_server import DONE, END, HEAD, USAGE, chunked, event, playing, scripted
from yarl import URL

from trie.config import EndpointConfig, TlsConfig
from trie.endpoint.connection import Connections
from trie.endpoint.proxy import proxy_for
from trie.endpoint.request import Request, Requester, fill
from trie.endpoint.request_body import RequestFormat
from trie.errors import ConfigError
from trie.preflight.discovery import discover
from trie.storage.record import Outcome, RequestRecord

WHOLE = (HEAD, chunked(event(" a")), chunked(event(" b", '"length"')), chunked(USAGE), chunked(DONE), END)
PASSWORD = "pw-marker-0123"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_proxy_around_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


async def rows(endpoint: EndpointConfig, number: int = 1) -> list[RequestRecord]:
    """The rows of requests, one after the other."""
    fmt = RequestFormat(endpoint, "m", stream=True)
    asked = []
    async with Connections(endpoint, endpoint.base_url or "") as connections:
        requester = Requester(connections, fmt, max_retries=0, timeout_s=5.0)
        for _ in range(number):
            talk = fmt.conversation()
            talk.ask((b" hello",))
            request = Request(fmt.body(talk, 2), b"", perf_counter())
            await requester.run(request)
            row = planned_row(0, 0, 0)
            fill(row, request, request.queued)
            asked.append(row)
    return asked


async def test_http_goes_to_the_proxy_with_the_whole_address_and_keeps_its_connection() -> None:
    async with scripted(WHOLE, WHOLE) as (url, got), forwarding() as (proxy, heads):
        asked = await rows(EndpointConfig(base_url=url, proxy=f"http://{proxy}"), 2)
    assert [(row.outcome, row.attempts, row.chunks) for row in asked] == [(Outcome.ok, 1, 2)] * 2
    assert [head.split(b" ")[:2] for head in heads] == [[b"POST", f"{url}/completions".encode()]] * 2
    assert all(request.startswith(b"POST /v1/completions HTTP") for request in got)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_https_goes_through_a_tunnel(run: Callable[..., object], tmp_path: Path) -> None:
    run(tunnelled(tmp_path))


async def tunnelled(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = trustme_context(authority)
    async with playing(lambda _: WHOLE, tls=context) as (url, got), forwarding() as (proxy, heads):
        tls = TlsConfig(ca_file=str(tmp_path / "ca.pem"))
        asked = await rows(EndpointConfig(base_url=url, proxy=f"http://{proxy}", tls=tls), 2)
        untrusted = await rows(EndpointConfig(base_url=url, proxy=f"http://{proxy}"))
    assert [(row.outcome, row.attempts, row.chunks) for row in asked] == [(Outcome.ok, 1, 2)] * 2
    assert [head.split(b" ")[0] for head in heads] == [b"CONNECT"] * 2, "one tunnel for both requests, one more"
    assert len(got) == 2
    assert untrusted[0].error_kind == "tls"
    assert "certificate not trusted" in (untrusted[0].error or "")


def trustme_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_password_goes_to_the_proxy_and_into_no_error(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy refuses, and repeats what it got."""
    token = "dTpwdy1tYXJrZXItMDEyMw=="  # base64 of u:pw-marker-0123
    said = f"user u with {PASSWORD} ({token}) is refused".encode()
    refusal = b"HTTP/1.1 407 %b\r\nContent-Length: %d\r\n\r\n%b" % (said, len(said), said)
    async with forwarding(refusal=refusal) as (proxy, heads):
        monkeypatch.setenv(f"{scheme.upper()}_PROXY", f"http://u:{PASSWORD}@{proxy}")
        (row,) = await rows(EndpointConfig(base_url=f"{scheme}://inference.invalid:8000/v1"))
    assert f"Proxy-Authorization: Basic {token}\r\n".encode() in heads[0]
    assert row.outcome is Outcome.failed
    assert "407" in (row.error or "")
    assert PASSWORD not in (row.error or "")
    assert token not in (row.error or "")


async def test_a_proxy_that_is_not_there_is_no_connection() -> None:
    for scheme in ("http", "https"):
        (row,) = await rows(EndpointConfig(base_url=f"{scheme}://h.invalid/v1", proxy="http://127.0.0.1:9"))
        assert (row.error_kind, row.attempt_sent_s) == ("connect", None)
        assert row.sent_s is not None
        assert "127.0.0.1:9" in (row.error or "")


async def test_the_log_says_that_a_proxy_is_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "trie")
    listing = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunked(b'{"data":[{"id":"m"}]}'), END)
    async with playing(lambda _: listing) as (local, _), forwarding() as (proxy, heads):
        monkeypatch.setenv("http_proxy", f"http://u:{PASSWORD}@{proxy}")
        url = local.replace("127.0.0.1", "inference.invalid")
        found = await discover(EndpointConfig(base_url=url), url, api_key=None, wait_s=0.0)
    assert found.listed.models == ("m",)
    assert heads[0].startswith(f"GET {url}/models HTTP".encode())
    assert f"through the proxy http://{proxy} (HTTP_PROXY); endpoint.proxy=none asks the server itself" in caplog.text
    assert PASSWORD not in caplog.text


@pytest.mark.parametrize(
    ("url", "variables", "expected"),
    [
        ("http://h/v1", {"HTTP_PROXY": "http://p:1"}, "p:1"),
        ("http://h/v1", {"http_proxy": "p:1"}, "p:1"),
        ("https://h/v1", {"HTTP_PROXY": "http://p:1"}, None),
        ("https://h/v1", {"HTTPS_PROXY": "http://p:1", "HTTP_PROXY": "http://q:1"}, "p:1"),
        ("https://h/v1", {"ALL_PROXY": "http://p:1"}, "p:1"),
        ("http://h/v1", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "a,h"}, None),
        ("http://h.example.org/v1", {"HTTP_PROXY": "http://p:1", "NO_PROXY": ".example.org"}, None),
        ("http://h.example.org/v1", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "example.org"}, None),
        ("http://notexample.org/v1", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "example.org"}, "p:1"),
        ("http://h:8000/v1", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "h:8000"}, None),
        ("http://h:8000/v1", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "h:9000"}, "p:1"),
        ("http://10.1.2.3/v1", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, None),
        ("http://11.1.2.3/v1", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, "p:1"),
        ("http://h/v1", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "*"}, None),
        ("http://localhost:8000/v1", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://127.0.0.1:8000/v1", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://[::1]:8000/v1", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://h/v1", {}, None),
    ],
)
def test_the_environment_says_which_proxy(
    url: str, variables: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    proxy = proxy_for(EndpointConfig(base_url=url), URL(url))
    assert (None if proxy is None else str(proxy)) == expected
    assert proxy_for(EndpointConfig(base_url=url, proxy="none"), URL(url)) is None
    assert str(proxy_for(EndpointConfig(base_url=url, proxy="http://own:2"), URL(url))) == "own:2"


@pytest.mark.parametrize("value", [f"socks5://u:{PASSWORD}@p:1", f"https://u:{PASSWORD}@p:1", "http://"])
def test_a_proxy_of_another_kind_is_refused_and_not_repeated(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", value)
    with pytest.raises(
        ConfigError, match=r"^HTTP_PROXY: must be an HTTP proxy, http://HOST:PORT; endpoint\.proxy=none"
    ):
        proxy_for(EndpointConfig(base_url="http://h/v1"), URL("http://h/v1"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("http://u:pw-marker@p:1", r"endpoint\.proxy=\(hidden\): must be without user and password"),
        ("socks5://p:1", r"endpoint\.proxy=socks5://p:1: must be http://HOST:PORT or none"),
        ("p:1", r"endpoint\.proxy=p:1: must be http://HOST:PORT or none"),
    ],
)
def test_a_setting_that_is_no_proxy_is_refused(value: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EndpointConfig(proxy=value)
