"""A vLLM of two engines, whose /metrics carry a label for each."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from availability import Start
from counters import Counters
from engine_setup import model
from engine_setup.model import TinyModel
from engine_setup.server import HOST, Server
from engine_setup.vllm import reset
from replaying import Finished, Replay
from workloads import trace, write

pytestmark = pytest.mark.engine
OTHERS = 4


@pytest.fixture(scope="module")
def two_engines(start_vllm: Start) -> Server:
    return start_vllm("--data-parallel-size", "2")


def test_what_both_count_is_what_the_rows_say(two_engines: Server, replay: Replay) -> None:
    reset(two_engines)
    before = Counters.read(two_engines)
    done = _run(two_engines, replay)
    after = Counters.read(two_engines)
    assert done.manifest["server"]["in_flight_before"] == 0
    assert after.since(before, "request_success_total") == len(done.rows)
    assert after.since(before, "prompt_tokens_total") == done.rows.usage_prompt_tokens.sum()
    assert after.since(before, "prefix_cache_hits_total") == done.rows.usage_cached_tokens.sum()


def test_a_run_sees_what_others_send_to_either(two_engines: Server, replay: Replay) -> None:
    with _others(two_engines):
        done = _run(two_engines, replay, "idle_timeout=1")
    assert f"requests in flight on the engine: {OTHERS}; waiting for 1 s at most" in done.printed
    assert done.manifest["server"]["in_flight_before"] == OTHERS
    assert not done.check("engine_to_itself")["ok"]


def _run(server: Server, replay: Replay, *settings: str) -> Finished:
    workload = write(replay.folder / "workload.jsonl", [trace(400, [64], [40], 64)])
    tokenizer = f"tokenizer_model={model.folder(TinyModel())}"
    calm = ("prompts.calibrate=false", "concurrency=4", "max_traces=8")
    return replay.completed(server, workload, tokenizer, *calm, *settings)


@contextmanager
def _others(server: Server) -> Iterator[None]:
    """Requests that go on until the block ends, some on each engine."""
    body = {"model": "tiny", "prompt": "import", "max_tokens": 100_000, "ignore_eos": True, "stream": True}
    connections = [http.client.HTTPConnection(HOST, server.port, timeout=30.0) for _ in range(OTHERS)]
    try:
        for connection in connections:
            connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
            assert connection.getresponse().status == 200
        until = time.monotonic() + 10.0
        while not all(running := _running_of_each(server)) or sum(running) < OTHERS:
            assert time.monotonic() < until, running
            time.sleep(0.1)
        yield
    finally:
        for connection in connections:
            connection.close()


def _running_of_each(server: Server) -> list[float]:
    _, body = server.ask("GET", "/metrics")
    gauge = r'^vllm:num_requests_running{[^}]*engine="[01]"[^}]*} (\S+)'
    return [float(value) for value in re.findall(gauge, body.decode(), re.MULTILINE)]
