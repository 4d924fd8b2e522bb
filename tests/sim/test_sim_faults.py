"""Each fault, as a client sees it."""

from __future__ import annotations

import json
from pathlib import Path
from time import perf_counter

import aiohttp
import pytest

from trie.config import FAULTS, SimConfig
from trie.errors import ConfigError
from trie.sim import response


async def faulty(sim, fault: str, **changed):
    return await sim(fault_rate=1.0, faults=[fault], **changed)


async def raw(endpoint, *, stream: bool, max_tokens: int = 5) -> tuple[bytes, Exception | None]:
    """What came of the body, and what broke it off."""
    body = {"model": "sim", "prompt": " a", "max_tokens": max_tokens, "ignore_eos": True, "stream": stream}
    got = b""
    try:
        async with endpoint.session.post(endpoint.root + "/v1/completions", json=body) as response:
            async for part in response.content.iter_any():
                got += part
    except aiohttp.ClientError as error:
        return got, error
    return got, None


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("fault", "status"), [("http_429", 429), ("http_500", 500), ("http_503", 503)])
async def test_a_status_comes_with_an_error_object_and_makes_no_token(sim, fault, status, stream):
    endpoint = await faulty(sim, fault)
    said = await endpoint.ask(stream=stream, max_tokens=3, headers={"X-Request-Id": "r-1"})
    assert said.status == status
    assert said.events[0]["error"]["message"] == f"injected fault {fault}"
    assert said.headers.get("Retry-After") == ("0" if status == 429 else None)
    assert said.headers["X-Request-Id"] == "r-1"
    assert (await endpoint.metrics())["generation_tokens_total"] == 0


@pytest.mark.parametrize("stream", [True, False])
async def test_disconnect_breaks_off_before_any_header(sim, stream):
    got, error = await raw(await faulty(sim, "disconnect"), stream=stream)
    assert got == b""
    assert isinstance(error, aiohttp.ClientOSError | aiohttp.ServerDisconnectedError)


@pytest.mark.parametrize("step_s", [0.0, 0.01])
async def test_reset_breaks_the_stream_after_its_first_token(sim, step_s):
    got, error = await raw(await faulty(sim, "reset", decode_base_s=step_s), stream=True)
    assert got.count(b"data: ") == 1
    assert error is not None


async def test_reset_breaks_a_plain_answer_in_its_middle(sim):
    got, error = await raw(await faulty(sim, "reset"), stream=False)
    assert got.startswith(b'{"id"')
    assert error is not None


async def test_reset_frees_the_slot(sim):
    endpoint = await faulty(sim, "reset", max_running=1)
    for _ in range(3):
        await raw(endpoint, stream=True, max_tokens=1000)
    assert (await endpoint.metrics())["num_requests_running"] == 0


async def test_error_event_says_so_after_a_token_under_status_200(sim):
    endpoint = await faulty(sim, "error_event")
    said = await endpoint.stream(max_tokens=5)
    assert said.status == 200
    assert len(said.events) == 2
    assert len(said.texts) == 1
    assert said.events[1]["error"]["message"] == "injected fault error_event"
    assert (await endpoint.ask(max_tokens=5)).events[0]["error"]["message"] == "injected fault error_event"


async def test_truncated_ends_in_order_without_an_end(sim):
    endpoint = await faulty(sim, "truncated")
    said = await endpoint.stream(max_tokens=5)
    assert len(said.texts) == 5
    assert said.finish == []
    assert said.events[-1] != "[DONE]"
    assert not any("usage" in event for event in said.events)
    got, error = await raw(endpoint, stream=False)
    assert error is None
    with pytest.raises(json.JSONDecodeError):
        json.loads(got)


async def test_empty_ends_in_order_with_no_token(sim):
    endpoint = await faulty(sim, "empty")
    said = await endpoint.stream(max_tokens=5)
    assert said.texts == []
    assert said.events[-1] == "[DONE]"
    assert said.usage["completion_tokens"] == 0
    whole = await endpoint.ask(max_tokens=5)
    assert whole.texts == [""]
    assert whole.usage["completion_tokens"] == 0


@pytest.mark.parametrize("stream", [True, False])
async def test_stall_pauses_and_then_loses_nothing(sim, monkeypatch, stream):
    monkeypatch.setattr(response, "STALL_S", 0.2)
    endpoint = await faulty(sim, "stall")
    began = perf_counter()
    said = await (endpoint.stream(max_tokens=5) if stream else endpoint.ask(max_tokens=5))
    assert perf_counter() - began >= 0.2
    assert len("".join(said.texts).split()) == 5
    assert said.finish == ["length"]
    assert said.usage["completion_tokens"] == 5


async def test_stall_lets_the_first_token_through(sim, monkeypatch):
    monkeypatch.setattr(response, "STALL_S", 60.0)
    endpoint = await faulty(sim, "stall", max_running=1)
    body = {"model": "sim", "prompt": " a", "max_tokens": 5, "stream": True}
    async with endpoint.session.post(endpoint.root + "/v1/completions", json=body) as streamed:
        assert (await streamed.content.readany()).count(b"data: ") == 1


async def test_no_usage_is_a_good_answer_without_it(sim):
    endpoint = await faulty(sim, "no_usage")
    said = await endpoint.stream(max_tokens=3, stream_options={"include_usage": True, "continuous_usage_stats": True})
    assert (len(said.texts), said.finish, said.events[-1]) == (3, ["length"], "[DONE]")
    assert not any("usage" in event for event in said.events[:-1])
    assert "usage" not in (await endpoint.ask(max_tokens=3)).events[0]


async def test_which_requests_are_hit_is_a_matter_of_seed_and_order(sim):
    async def statuses(seed: int) -> list[int]:
        endpoint = await sim(fault_rate=0.3, faults=["http_500", "http_503"], seed=seed)
        return [(await endpoint.ask(max_tokens=1)).status for _ in range(60)]

    one = await statuses(1)
    assert one == await statuses(1)
    assert one != await statuses(2)
    hits = [status for status in one if status != 200]
    assert hits == ([500, 503] * 30)[: len(hits)]
    assert 5 < len(hits) < 35


def test_every_fault_has_its_test():
    text = Path(__file__).read_text("utf-8")
    assert [fault for fault in FAULTS if f'"{fault}"' not in text] == []


def test_an_unknown_fault_is_one_clear_line():
    with pytest.raises(ConfigError, match=r"^sim\.faults=\['boom'\]: must be a list of http_429, .*no_usage$"):
        SimConfig(faults=["boom"])
