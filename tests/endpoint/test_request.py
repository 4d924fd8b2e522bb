"""One request against a raw server that plays scripts of bytes: outcome, kind, attempts and instants."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

import pytest
from helpers.bounds import AtMost
from helpers.rows import planned_row
from helpers.scripted_server import (
    CLOSE,
    DONE,
    END,
    HEAD,
    USAGE,
    Script,
    chunked,
    event,
    plain_response,
    play,
    scripted,
)

from trie.config import EndpointConfig
from trie.endpoint import aiohttp_protocol
from trie.endpoint.aiohttp_protocol import OPEN_AFTER_DONE_S
from trie.endpoint.connection import Connections
from trie.endpoint.request import Request, Requester, fill
from trie.endpoint.request_body import Conversation, RequestFormat
from trie.storage.record import Outcome, RequestRecord

WHOLE = (HEAD, chunked(event(" a")), chunked(event(" b", '"length"')), chunked(USAGE), chunked(DONE), END)
ERROR = plain_response("500 Oops", b'{"error": {"message": "broken"}}')


async def ask(*scripts: Script, max_retries: int = 0, timeout_s: float = 5.0, requests: int = 1, stream: bool = True,
              pause: float = 0.0, keep_alive: bool = True) -> list[RequestRecord]:  # fmt: skip
    """Send requests, one after the other, and give back their rows."""
    rows = []
    async with scripted(*scripts) as (url, _):
        endpoint = EndpointConfig(base_url=url, keep_alive=keep_alive)
        fmt = RequestFormat(endpoint, "m", stream=stream)
        async with Connections(endpoint, url) as connections:
            requester = Requester(connections, fmt, max_retries=max_retries, timeout_s=timeout_s)
            for _ in range(requests):
                rows.append(await one(requester, fmt, perf_counter()))
                await asyncio.sleep(pause)
    return rows


def asked(fmt: RequestFormat) -> Conversation:
    talk = fmt.conversation()
    talk.ask((b" hello",))
    return talk


async def one(requester: Requester, fmt: RequestFormat, began: float) -> RequestRecord:
    request = Request(fmt.body(asked(fmt), 2), b"", began)
    await requester.run(request)
    record = planned_row(0, 0, 0)
    fill(record, request, began)
    return record


async def test_a_whole_stream_is_ok() -> None:
    (record,) = await ask(WHOLE)
    assert (record.outcome, record.error_kind, record.http_status, record.attempts) == (Outcome.ok, None, 200, 1)
    assert (record.usage_prompt_tokens, record.usage_completion_tokens, record.usage_cached_tokens) == (7, 2, 3)
    assert (record.chunks, record.finish_reason) == (2, "length")
    instants = [record.sent_s, record.headers_s, record.first_token_s, record.last_token_s, record.end_s]
    assert None not in instants
    assert instants == sorted(instants)  # type: ignore[type-var]


async def test_instants_are_those_of_the_reads(at_most: AtMost) -> None:
    """Headers after 50 ms, tokens 100 ms apart, the end 50 ms later: each instant belongs to its own read."""
    script = (0.05, HEAD, 0.1, chunked(event(" a")), 0.1, chunked(event(" b")), 0.05, chunked(USAGE + DONE), END)
    (record,) = await ask(script)
    assert record.sent_s is not None
    waits = [0.05, 0.15, 0.25, 0.3]
    for instant, expected in zip(
        (record.headers_s, record.first_token_s, record.last_token_s, record.end_s), waits, strict=True
    ):
        assert instant is not None
        assert expected - 0.005 <= instant - record.sent_s < expected + at_most(0.05)
    assert 0.05 <= record.max_gap_s <= at_most(0.15)


async def test_an_answer_ends_with_done_and_a_response_left_open_is_dropped(at_most: AtMost) -> None:
    """The end is the read that brought [DONE]; the next request goes out on a connection of its own, and soon."""
    script = (*WHOLE[:3], 0.2, *WHOLE[3:5], 9.0)
    async with scripted(script, WHOLE) as (url, _):
        endpoint = EndpointConfig(base_url=url)
        fmt = RequestFormat(endpoint, "m", stream=True)
        async with Connections(endpoint, url) as connections:
            requester = Requester(connections, fmt, max_retries=0, timeout_s=5.0)
            began = perf_counter()
            first, second = await one(requester, fmt, began), await one(requester, fmt, began)
    for record in (first, second):
        assert (record.outcome, record.chunks, record.usage_completion_tokens) == (Outcome.ok, 2, 2)
    assert first.last_token_s is not None
    assert first.end_s is not None
    assert second.sent_s is not None
    assert 0.19 < first.end_s - first.last_token_s < at_most(0.29)  # a late usage chunk moves the end and no token
    assert OPEN_AFTER_DONE_S - 0.01 < second.sent_s - first.end_s < OPEN_AFTER_DONE_S + at_most(1.0)


async def test_a_request_that_was_answered_in_time_does_not_time_out(
    monkeypatch: pytest.MonkeyPatch, at_most: AtMost
) -> None:
    monkeypatch.setattr(aiohttp_protocol, "OPEN_AFTER_DONE_S", 60.0)
    (record,) = await ask((*WHOLE[:-1], 9.0), timeout_s=1.5)
    assert (record.outcome, record.chunks, record.usage_completion_tokens) == (Outcome.ok, 2, 2)
    assert record.end_s is not None
    assert record.end_s < at_most(1.5)


async def test_a_connection_whose_last_chunk_follows_done_is_used_again() -> None:
    async with scripted((*WHOLE[:-1], 0.02, END), WHOLE) as (url, _):
        endpoint = EndpointConfig(base_url=url)
        fmt = RequestFormat(endpoint, "m", stream=True)
        async with Connections(endpoint, url) as connections:
            requester = Requester(connections, fmt, max_retries=0, timeout_s=5.0)
            first = Request(fmt.body(asked(fmt), 2), b"", perf_counter())
            await requester.run(first)
            second = Request(fmt.body(asked(fmt), 2), b"", perf_counter())
            await requester.run(second)
    assert first.failure is None
    assert second.exchange.idle_s > 0  # since [DONE]


@pytest.mark.parametrize("cut", [1, 7, 30, 90])
async def test_any_split_of_the_bytes_gives_the_same_row(cut: int) -> None:
    body = b"".join(part for part in WHOLE if isinstance(part, bytes))
    split: list[bytes | float] = []
    for at in range(0, len(body), cut):
        split += [body[at : at + cut]]
    (record,) = await ask(tuple(split))
    assert (record.outcome, record.chunks, record.usage_cached_tokens) == (Outcome.ok, 2, 3)


async def test_a_retry_is_recorded_and_the_first_send_counts() -> None:
    (record,) = await ask((ERROR,), WHOLE, max_retries=2)
    assert (record.outcome, record.attempts) == (Outcome.ok, 2)
    assert record.sent_s is not None
    assert record.attempt_sent_s is not None
    assert record.attempt_sent_s - record.sent_s > 0.2  # the pause before the second attempt


@asynccontextmanager
async def refusing_for(seconds: float) -> AsyncIterator[str]:
    """A server whose port refuses connections at first."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await play((*WHOLE, CLOSE), writer)
        writer.close()

    async def listen(later: socket.socket) -> None:
        await asyncio.sleep(seconds)
        await asyncio.start_server(serve, sock=later)

    with socket.socket() as later:
        later.bind(("127.0.0.1", 0))
        task = asyncio.create_task(listen(later))
        yield f"http://127.0.0.1:{later.getsockname()[1]}/v1"
        await task


async def test_an_attempt_that_found_no_connection_is_time_that_the_server_took(at_most: AtMost) -> None:
    """Refused at 0 s, sent 0.25 s later: waited for the server, not for the client."""
    async with refusing_for(0.1) as url:
        endpoint = EndpointConfig(base_url=url)
        fmt = RequestFormat(endpoint, "m", stream=True)
        async with Connections(endpoint, url) as connections:
            record = await one(Requester(connections, fmt, max_retries=2, timeout_s=5.0), fmt, perf_counter())
    assert (record.outcome, record.attempts) == (Outcome.ok, 2)
    assert record.sent_s is not None
    assert record.attempt_sent_s is not None
    assert record.first_token_s is not None
    assert record.attempt_sent_s - record.sent_s >= 0.25
    assert record.first_token_s - record.sent_s >= 0.25
    assert record.sent_s < at_most(0.25), "no client delay"


async def test_a_time_limit_that_ends_a_connection_attempt_knows_when_it_began() -> None:
    async with refusing_for(0.5) as url:
        endpoint = EndpointConfig(base_url=url)
        fmt = RequestFormat(endpoint, "m", stream=True)
        async with Connections(endpoint, url) as connections:
            record = await one(Requester(connections, fmt, max_retries=9, timeout_s=0.3), fmt, perf_counter())
    assert (record.outcome, record.error_kind, record.attempt_sent_s) == (Outcome.failed, "timeout", None)
    assert record.sent_s is not None
    assert record.end_s is not None
    assert record.end_s - record.sent_s >= 0.25


async def test_retry_after_is_honoured(at_most: AtMost) -> None:
    busy = plain_response("429 Slow down", b"{}", "Retry-After: 0")
    (record,) = await ask((busy,), (busy,), WHOLE, max_retries=2)
    assert (record.outcome, record.attempts) == (Outcome.ok, 3)
    assert record.end_s is not None
    assert record.end_s < at_most(0.2)


async def test_a_connection_closed_while_idle_costs_no_retry() -> None:
    """The server takes a second request on a kept-alive connection and closes: sent again on a fresh one."""
    first, second = await ask(WHOLE, (None,), WHOLE, requests=2, pause=0.6)
    assert (first.outcome, second.outcome, second.attempts) == (Outcome.ok, Outcome.ok, 2)


async def test_a_connection_closed_in_use_is_a_failure() -> None:
    """The same without a pause: nothing was idle, so the server broke its word."""
    _, second = await ask(WHOLE, (None,), WHOLE, requests=2)
    assert (second.outcome, second.error_kind, second.attempts) == (Outcome.failed, "disconnected", 1)


@pytest.mark.parametrize(
    ("address", "query", "expected"),
    [
        ("/v1", None, b"POST /v1/completions HTTP"),
        ("/d?api-version=1", None, b"POST /d/completions?api-version=1 HTTP"),
        ("/d", "api-version=1", b"POST /d/completions?api-version=1 HTTP"),
        ("/d?a=b%20c", "api-version=1", b"POST /d/completions?a=b%20c&api-version=1 HTTP"),
    ],
)
async def test_a_query_goes_with_every_request(address: str, query: str | None, expected: bytes) -> None:
    async with scripted(WHOLE) as (url, got):
        endpoint = EndpointConfig(base_url=url.removesuffix("/v1") + address, query=query)
        fmt = RequestFormat(endpoint, "m", stream=True)
        async with Connections(endpoint, endpoint.base_url or "") as connections:
            found = await one(Requester(connections, fmt, max_retries=0, timeout_s=5.0), fmt, perf_counter())
    assert found.outcome is Outcome.ok
    assert got[0].startswith(expected)


async def test_a_server_that_closes_after_each_answer_needs_a_connection_for_each_request() -> None:
    """llama.cpp does so after each stream: its close, here 50 ms late, meets the next request on a kept connection."""
    script = (*WHOLE, 0.05, CLOSE)
    _, second = await ask(script, script, requests=2)
    assert (second.outcome, second.error_kind) == (Outcome.failed, "disconnected")
    rows = await ask(script, script, requests=2, keep_alive=False)
    assert [(record.outcome, record.attempts) for record in rows] == [(Outcome.ok, 1)] * 2


async def test_the_time_limit_covers_all_attempts() -> None:
    (record,) = await ask((HEAD, chunked(event(" a")), 9.0), timeout_s=0.2)
    assert (record.outcome, record.error_kind, record.chunks) == (Outcome.failed, "timeout", 1)
    assert record.end_s == pytest.approx(0.2, abs=0.1)


async def test_plain_answers_have_no_first_token() -> None:
    body = b'{"choices": [{"text": " a b", "finish_reason": "length"}], "usage": {"completion_tokens": 2}}'
    (record,) = await ask((plain_response("200 OK", body),), stream=False)
    assert (record.outcome, record.first_token_s, record.usage_completion_tokens) == (Outcome.ok, None, 2)


async def test_the_key_goes_to_the_endpoint_and_headers_are_checked() -> None:
    async with scripted(WHOLE) as (url, got):
        endpoint = EndpointConfig(base_url=url, headers={"X-Team": "blue"})
        fmt = RequestFormat(endpoint, "m", stream=True)
        async with Connections(endpoint, url, api_key="sk-1") as connections:
            await one(Requester(connections, fmt, max_retries=0, timeout_s=5), fmt, perf_counter())
    assert b"\r\nAuthorization: Bearer sk-1\r\n" in got[0]
    assert b"\r\nX-Team: blue\r\n" in got[0]
    assert got[0].startswith(b"POST /v1/completions HTTP/1.1\r\n")


@pytest.mark.parametrize(("scheme", "line"), [("Bearer", b"Bearer sk-1"), ("", b"sk-1"), ("Token", b"Token sk-1")])
async def test_the_key_goes_into_the_header_that_is_named(scheme: str, line: bytes) -> None:
    async with scripted(WHOLE) as (url, got):
        endpoint = EndpointConfig(base_url=url, api_key_header="api-key", api_key_scheme=scheme)
        fmt = RequestFormat(endpoint, "m", stream=True)
        async with Connections(endpoint, url, api_key="sk-1") as connections:
            await one(Requester(connections, fmt, max_retries=0, timeout_s=5), fmt, perf_counter())
    assert b"\r\napi-key: " + line + b"\r\n" in got[0]
    assert b"Authorization" not in got[0]


@pytest.mark.parametrize(
    ("named", "worker", "lines", "record"),
    [
        (None, None, ("X-Worker: w1",), None),
        ("x-worker", None, ("X-Worker: w1",), "w1"),
        ("x-worker", "http://b/v1", ("X-Worker: w1",), "w1"),
        ("x-worker", "http://b/v1", (), "http://b/v1"),
        ("x-worker", None, ("X-Worker: sk-secret-1 \x1b[2J",), "(hidden) [2J"),
    ],
)
async def test_the_worker_that_a_header_names(
    named: str | None, worker: str | None, lines: tuple[str, ...], record: str | None
) -> None:
    body = b'{"choices": [{"text": " a b", "finish_reason": "length"}]}'
    async with scripted((plain_response("200 OK", body, *lines),)) as (url, _):
        endpoint = EndpointConfig(base_url=url, worker_header=named)
        fmt = RequestFormat(endpoint, "m", stream=False)
        async with Connections(endpoint, url, api_key="sk-secret-1") as connections:
            requester = Requester(connections, fmt, max_retries=0, timeout_s=5, worker=worker)
            assert (await one(requester, fmt, perf_counter())).worker == record


async def test_rate_limits_are_counted_and_waited_for() -> None:
    limit, broken = plain_response("429 Slow", b"{}", "Retry-After: 0.2"), plain_response("503 Busy", b"{}")
    (record,) = await ask((limit,), (broken,), (limit,), WHOLE, max_retries=3)
    assert (record.outcome, record.attempts, record.rate_limited) == (Outcome.ok, 4, 2)
    assert record.attempt_sent_s - record.sent_s >= 0.2 + 0.25 + 0.2 - 0.01  # type: ignore[operator]


async def test_a_long_answer_is_drained_while_it_comes() -> None:
    """20,000 chunks of 250 bytes: more than aiohttp's own buffer limits would let wait."""
    many = chunked(event(" a" * 90)) * 2000
    (record,) = await ask((HEAD, *[many] * 10, chunked(USAGE), chunked(DONE), END))
    assert (record.outcome, record.chunks) == (Outcome.ok, 20_000)


async def test_a_later_head_in_two_reads_belongs_to_its_own_response() -> None:
    """On a connection that was used before: what came of the first response says nothing of the second."""
    split: Script = (HEAD[:20], 0.05, HEAD[20:], *WHOLE[1:])
    first, second = await ask(WHOLE, split, requests=2, timeout_s=2.0)
    assert (first.outcome, second.outcome, second.chunks) == (Outcome.ok, Outcome.ok, 2)
    assert second.headers_s is not None
    assert second.sent_s is not None
    assert second.headers_s - second.sent_s >= 0.05


async def test_a_request_cancelled_before_its_headers_gives_its_connection_up() -> None:
    first, second = await ask((0.5, *WHOLE), WHOLE, requests=2, timeout_s=0.2)
    assert (first.error_kind, second.outcome) == ("timeout", Outcome.ok)


async def test_a_slow_answer_is_no_stalled_one() -> None:
    """Half a second of tokens 60 ms apart, 0.3 s before the first one, under a bound of 0.2 s between two reads."""
    script = (HEAD, 0.3, *[step for _ in range(8) for step in (chunked(event(" a")), 0.06)], *WHOLE[2:])
    async with scripted(script) as (url, _):
        fmt = RequestFormat(EndpointConfig(base_url=url), "m", stream=True)
        async with Connections(EndpointConfig(base_url=url), url) as connections:
            requester = Requester(connections, fmt, max_retries=0, timeout_s=5, stall_s=0.2)
            record = await one(requester, fmt, perf_counter())
    assert (record.outcome, record.chunks) == (Outcome.ok, 9)
