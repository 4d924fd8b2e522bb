"""The embedded endpoint over real HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from typing import Any

import aiohttp
import pytest
from support import QUICK, Serve

from trie.config import SimConfig
from trie.errors import EndpointError
from trie.sim.process import embedded
from trie.sim.server import serve

ASK = {"model": "sim", "prompt": " one two three", "max_tokens": 3, "ignore_eos": True}
STREAM = {**ASK, "stream": True, "stream_options": {"include_usage": True}}
TALK = {"model": "sim", "messages": [{"role": "user", "content": " one two"}], "max_tokens": 2, "ignore_eos": True}


async def post(url: str, body: Any, route: str = "/completions") -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.post(url + route, json=body) as response:
        return response.status, await response.text()


def events(text: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


async def test_streams(sim: Serve) -> None:
    async with sim(SimConfig(**QUICK)) as url:
        _, text = await post(url, STREAM)
    *chunks, usage, done = events(text)
    assert done == "[DONE]"
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, "length"]
    assert len("".join(chunk["choices"][0]["text"] for chunk in chunks).split()) == 3
    counts = {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
    assert usage["usage"] == {**counts, "prompt_tokens_details": {"cached_tokens": 0}}


async def test_plain_and_chat(sim: Serve) -> None:
    async with sim(SimConfig(**QUICK)) as url:
        plain = json.loads((await post(url, ASK))[1])
        talk = json.loads((await post(url, TALK, "/chat/completions"))[1])
        _, streamed = await post(url, {**TALK, "stream": True}, "/chat/completions")
    assert plain["usage"]["completion_tokens"] == len(plain["choices"][0]["text"].split()) == 3
    assert talk["choices"][0]["message"]["role"] == "assistant"
    assert talk["usage"]["prompt_tokens"] == 4  # two words and a role word on each side
    assert events(streamed)[0]["choices"][0]["delta"]["role"] == "assistant"


async def test_token_ids_count_as_they_are(sim: Serve) -> None:
    async with sim(SimConfig(**QUICK, add_bos=True)) as url:
        ids = json.loads((await post(url, {**ASK, "prompt": [1, 2, 3, 4]}))[1])
        text = json.loads((await post(url, ASK))[1])
    assert (ids["usage"]["prompt_tokens"], text["usage"]["prompt_tokens"]) == (4, 3 + 1)


async def test_answers_end_early_without_ignore_eos(sim: Serve) -> None:
    async with sim(SimConfig(**QUICK)) as url:
        found = [
            json.loads((await post(url, {**ASK, "ignore_eos": False, "max_tokens": 40, "prompt": f" w{i}"}))[1])
            for i in range(8)
        ]
    lengths = [reply["usage"]["completion_tokens"] for reply in found]
    assert min(lengths) >= 20
    assert "stop" in {reply["choices"][0]["finish_reason"] for reply in found}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"model": "other"}, 404),
        ({"prompt": ""}, 400),
        ({"prompt": {"a": 1}}, 400),
        ({"max_tokens": 0}, 400),
        ({"prompt": " a" * 50}, 400),
    ],
)
async def test_bad_requests(sim: Serve, change: dict[str, Any], status: int) -> None:
    async with sim(SimConfig(**QUICK, max_model_len=50)) as url:
        found, text = await post(url, {**ASK, **change})
    assert found == status
    assert json.loads(text)["error"]["message"]


async def test_completions_are_cut_to_what_fits(sim: Serve) -> None:
    async with sim(SimConfig(**QUICK, max_model_len=5)) as url:
        _, text = await post(url, ASK)
    assert json.loads(text)["usage"]["completion_tokens"] == 2


async def test_facts_and_metrics(sim: Serve) -> None:
    async with sim(SimConfig(**QUICK)) as url, aiohttp.ClientSession() as session:
        await post(url, {**ASK, "prompt": " w" * 40})
        await post(url, {**ASK, "prompt": " w" * 40})
        async with session.get(url + "/models") as response:
            model = (await response.json())["data"][0]
        async with session.get(url.removesuffix("/v1") + "/metrics") as response:
            metrics = await response.text()
    assert (model["id"], model["owned_by"], model["max_model_len"]) == ("sim", "trie-sim", 262_144)
    assert "trie_sim:prefix_cache_queries_total 80\n" in metrics
    assert "trie_sim:prefix_cache_hits_total 32\n" in metrics
    assert "trie_sim:num_requests_running 0\n" in metrics


@pytest.mark.parametrize(
    ("fault", "expected"),
    [("http_500", 500), ("http_503", 503), ("http_429", 429)],
)
async def test_status_faults(sim: Serve, fault: str, expected: int) -> None:
    async with sim(SimConfig(**QUICK, fault_rate=1.0, faults=[fault])) as url:
        assert (await post(url, STREAM))[0] == expected


@pytest.mark.parametrize(
    ("fault", "ending"),
    [
        ("error_event", '"code":500}}'),
        ("truncated", '"finish_reason":null}]}'),
        ("empty", "[DONE]"),
        ("no_usage", "[DONE]"),
        ("stall", "[DONE]"),
    ],
)
async def test_stream_faults(sim: Serve, fault: str, ending: str) -> None:
    async with sim(SimConfig(**QUICK, fault_rate=1.0, faults=[fault])) as url:
        status, text = await post(url, STREAM)
    assert status == 200
    assert text.strip().endswith(ending)
    assert ("usage" in text) == (fault in {"empty", "stall"})
    assert ('"text"' in text) == (fault != "empty")


@pytest.mark.parametrize("fault", ["disconnect", "reset"])
async def test_connection_faults(sim: Serve, fault: str) -> None:
    async with sim(SimConfig(**QUICK, fault_rate=1.0, faults=[fault])) as url:
        with pytest.raises(aiohttp.ClientError):
            await post(url, STREAM)


async def test_a_client_that_leaves_frees_its_slot(sim: Serve) -> None:
    async with sim(SimConfig(**QUICK)) as url, aiohttp.ClientSession() as session:
        async with session.post(url + "/completions", json={**STREAM, "max_tokens": 100_000}) as response:
            await response.content.readany()
        for _ in range(100):
            async with session.get(url.removesuffix("/v1") + "/metrics") as metrics:
                if "num_requests_running 0\n" in await metrics.text():
                    return
            await asyncio.sleep(0.02)
    pytest.fail("the slot is still taken")


async def test_a_taken_port_is_one_line(sim: Serve) -> None:
    async with sim(SimConfig(**QUICK)) as url:
        port = int(url.split(":")[2].split("/")[0])
        with pytest.raises(EndpointError, match=f"port {port} on 127.0.0.1 can't be had"):
            await serve(SimConfig(), port, asyncio.Event(), lambda _: None)


async def test_the_process_starts_and_ends() -> None:
    async with embedded(SimConfig(**QUICK)) as url:
        assert (await post(url, ASK))[0] == 200
    with pytest.raises(aiohttp.ClientError):
        await post(url, ASK)


async def test_a_process_that_can_not_start_says_why() -> None:
    with pytest.raises(EndpointError, match=r"did not start: sim\.tokenizer=/nowhere"):
        async with embedded(SimConfig(tokenizer="/nowhere")):
            pass


PARENT = """
import asyncio
from trie.config import SimConfig
from trie.sim.process import embedded
async def main():
    async with embedded(SimConfig()) as url:
        print(url, flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


async def test_a_killed_parent_leaves_no_server_behind() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        assert (await post(url, ASK))[0] == 200
        os.kill(parent.pid, signal.SIGKILL)
    for _ in range(100):
        try:
            await post(url, ASK)
        except aiohttp.ClientError:
            return
        await asyncio.sleep(0.05)
    pytest.fail("the server is still there")
