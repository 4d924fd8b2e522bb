"""Is the engine idle, as engines say it, and its cache emptied, on servers that answer and that do not."""

from __future__ import annotations

import asyncio
import logging

import aiohttp
import pytest
from helpers.scripted_server import plain_response, scripted
from helpers.simulator import QUICK, Serve

from trie.config import LOAD_KEYS, EndpointConfig, SimConfig
from trie.endpoint.connection import Connections
from trie.engines.counters import in_flight
from trie.errors import EndpointError
from trie.preflight.idle import reset_cache, wait_until_idle

VLLM = b"""# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="M"} 3.0
vllm:num_requests_running{engine="1",model_name="M}"} 2.0
vllm:num_requests_waiting{engine="0",model_name="M"} 1.0
vllm:num_requests_running_total{engine="0"} 99.0
"""
SGLANG = b'sglang:num_running_reqs{model_name="M"} 0.0\nsglang:num_queue_reqs{model_name="M"} 4.0 1700000000000\n'


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (VLLM, 6),
        (SGLANG, 4),
        (b"llamacpp:requests_processing 0\nllamacpp:requests_deferred 0\n", 0),
        (b"vllm:num_requests_running NaN\n", None),
        (b"process_open_fds 12\n", None),
        (b"", None),
        (b'{"detail": "Not Found"}', None),
        (b"<html></html>", None),
    ],
)
def test_in_flight_is_summed_over_labels_and_none_where_nothing_tells(body: bytes, expected: int | None) -> None:
    assert in_flight(body, LOAD_KEYS) == expected


def test_in_flight_in_json_at_any_depth() -> None:
    body = b'[{"rank": 0, "num_reqs": 3, "num_waiting_reqs": 1}, {"rank": 1, "num_reqs": 2, "ok": true}]'
    assert in_flight(body, ["num_reqs", "num_waiting_reqs"]) == 6


def beside_api(base_url: str) -> Connections:
    """To the routes beside the API."""
    return Connections(EndpointConfig(), base_url.removesuffix("/v1"))


def load(number: int) -> tuple[bytes, ...]:
    return (plain_response("200 OK", b"vllm:num_requests_running %d\n" % number),)


async def test_a_busy_engine_is_waited_for() -> None:
    async with scripted(load(2), load(1), load(0)) as (url, got), beside_api(url) as beside:
        assert await wait_until_idle([beside], "/metrics", LOAD_KEYS, timeout_s=20) == 0
    assert [line.split(b"\r\n")[0] for line in got] == [b"GET /metrics HTTP/1.1"] * 3


async def test_an_engine_that_stays_busy_is_measured_all_the_same_and_known_to_be() -> None:
    async with scripted(load(2)) as (url, _), beside_api(url) as beside:
        assert await wait_until_idle([beside], "/metrics", LOAD_KEYS, timeout_s=0) == 2


async def test_an_engine_without_the_route_tells_nothing() -> None:
    missing = (plain_response("404 Not Found", b"vllm:num_requests_running 3\n"),)
    async with scripted(missing) as (url, _), beside_api(url) as beside:
        assert await wait_until_idle([beside], "/metrics", LOAD_KEYS, timeout_s=20) is None


async def test_an_engine_that_does_not_tell_is_named_with_its_flag(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "trie")
    async with scripted((plain_response("404 Not Found", b"{}"),)) as (url, _), beside_api(url) as beside:
        assert await wait_until_idle([beside], "/metrics", LOAD_KEYS, timeout_s=20, dialect="llamacpp") is None
    assert "/metrics does not tell (llama.cpp has it with --metrics; endpoint.load_route" in caplog.text


async def test_the_embedded_endpoint_tells_its_load_and_empties_its_cache(sim: Serve) -> None:
    """A request of 50,000 tokens at 0.001 s each is in flight while the load is asked for."""
    async with sim(SimConfig(**QUICK)) as url, aiohttp.ClientSession() as session, beside_api(url) as beside:
        assert await wait_until_idle([beside], "/metrics", LOAD_KEYS, timeout_s=0) == 0
        body = {"model": "sim", "prompt": "a " * 64, "max_tokens": 50_000, "stream": True, "ignore_eos": True}
        async with session.post(f"{url}/completions", json=body) as answer:
            await answer.content.readany()
            assert await wait_until_idle([beside], "/metrics", LOAD_KEYS, timeout_s=0) == 1
            answer.close()
        assert await wait_until_idle([beside], "/metrics", LOAD_KEYS, timeout_s=20) == 0  # its client is gone
        assert await blocks(session, url) > 0
        await reset_cache(beside, "/reset_prefix_cache")
        assert await blocks(session, url) == 0


async def blocks(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(f"{url.removesuffix('/v1')}/metrics") as answer:
        text = await answer.text()
    return int(text.partition("\ntrie_sim:cache_blocks_used ")[2].split()[0])


async def test_a_reset_that_did_not_happen_is_an_error() -> None:
    answer = (plain_response("404 Not Found", b"no such route"),)
    async with scripted(answer) as (url, _), beside_api(url) as beside:
        with pytest.raises(EndpointError, match="reset_cache: POST /flush_cache: HTTP 404 no such route; vLLM has"):
            await reset_cache(beside, "/flush_cache", "vllm")
    async with scripted(answer) as (url, _), beside_api(url) as beside:
        with pytest.raises(EndpointError, match="no such route; reset_cache=false leaves the cache as it is"):
            await reset_cache(beside, "/flush_cache", "sglang")


async def test_a_route_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trie.endpoint.get_json.ANSWER_S", 0.05)
    async with asyncio.timeout(10), scripted((60.0,)) as (url, _), beside_api(url) as beside:
        assert await wait_until_idle([beside], "/metrics", LOAD_KEYS, timeout_s=20) is None
