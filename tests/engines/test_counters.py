"""Engines' counters: read, summed over places and data-parallel engines, and what a run made of them."""

from __future__ import annotations

import pytest
from helpers.scripted_server import plain_response, playing

from trie.config import EndpointConfig
from trie.endpoint.connection import Connections
from trie.engines.counters import Counters, Meter, growth, read_counters

VLLM = b"""# HELP vllm:prompt_tokens_total Number of prefill tokens processed.
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="a \\"b\\", c"} 100.0
vllm:prompt_tokens_total{engine="1",model_name="a \\"b\\", c"} 11.0
# TYPE vllm:prompt_tokens_created gauge
vllm:prompt_tokens_created{engine="0"} 1.7e9
# TYPE vllm:request_success_total counter
vllm:request_success_total{engine="0",finished_reason="length"} 3.0
vllm:request_success_total{engine="1",finished_reason="length"} 4.0
vllm:request_success_total{engine="1",finished_reason="abort"} 1.0
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0"} 7.0
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_sum{engine="0"} 0.5
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.1"} 2.0
vllm:time_to_first_token_seconds_count{engine="0"} 2.0
# TYPE vllm:request_params_n histogram
vllm:request_params_n_sum{engine="0"} 2.0
vllm:request_params_n_bucket{engine="0",le="1.0"} 2.0
# TYPE python_gc_collections_total counter
python_gc_collections_total{generation="0"} 5.0
# TYPE broken counter
broken NaN
broken{a="
"""


def test_counters_and_histograms_summed_over_places() -> None:
    counters = read_counters([VLLM])
    assert counters.values == {
        "vllm:prompt_tokens_total": 111.0,
        'vllm:request_success_total{finished_reason="length"}': 7.0,
        'vllm:request_success_total{finished_reason="abort"}': 1.0,
        "vllm:time_to_first_token_seconds_sum": 0.5,
        'vllm:time_to_first_token_seconds_bucket{le="0.1"}': 2.0,
        "vllm:time_to_first_token_seconds_count": 2.0,
        "vllm:request_params_n_sum": 2.0,
    }
    assert counters.engines == 2
    assert read_counters([VLLM, VLLM]).values["vllm:prompt_tokens_total"] == 222.0
    assert read_counters([VLLM, VLLM]).engines == 4


def test_ranks_of_one_engine_count_once() -> None:
    lines = "".join(f'sglang:x_total{{tp_rank="{rank}",source="device"}} 5\n' for rank in range(4))
    assert read_counters([f"# TYPE sglang:x_total counter\n{lines}".encode()]).values == {
        'sglang:x_total{source="device"}': 5.0
    }


def test_only_what_changed_is_kept() -> None:
    before, after = Counters({"a": 1.0, "b": 2.0}, 1), Counters({"a": 4.5, "b": 2.0, "new": 1.0}, 1)
    assert growth(before, after) == {"engines": 1, "restarted": False, "counters": {"a": 3.5, "new": 1.0}}


def test_the_counters_of_a_restarted_engine_are_not_believed() -> None:
    for after in (Counters({"a": 0.5}), Counters({})):
        assert growth(Counters({"a": 1.0}), after)["restarted"]
        assert growth(Counters({"a": 1.0}), after)["counters"] == {}


PROCESS = "process_start_time_seconds"
SERIES = "x_created"


@pytest.mark.parametrize(
    ("before", "after", "evidence"),
    [
        ({"x": 1.0}, {"x": 0.5}, "x fell from 1 to 0.5"),
        ({"x": 1.0}, {"y": 9.0}, "x is gone"),
        ({"x": 1.0, PROCESS: 1.7e9}, {"x": 9.0, PROCESS: 1.7e9 + 40}, f"{PROCESS} is another than before the run"),
        ({"x": 1.0, SERIES: 1.7e9}, {"x": 9.0, SERIES: 1.7e9 + 40}, f"{SERIES} is another than before the run"),
        ({"x": 1.0, PROCESS: 1.7e9}, {"x": 9.0, PROCESS: 1.7e9 + 0.9}, None),
        ({"x": 1.0}, {"x": 9.0, PROCESS: 1.7e9}, None),
        ({"x": 1.0, PROCESS: 1.7e9}, {"x": 1.0, PROCESS: 1.7e9, SERIES: 1.8e9}, None),
    ],
)
def test_what_shows_a_restart(before: dict[str, float], after: dict[str, float], evidence: str | None) -> None:
    """Counters that have grown beyond their former values say nothing: the process and the series have a start."""

    def text(values: dict[str, float]) -> bytes:
        return b"".join(b"# TYPE %b counter\n%b %r\n" % (name, name, value) for name, value in encoded(values))

    def encoded(values: dict[str, float]) -> list[tuple[bytes, float]]:
        return [(name.encode(), value) for name, value in values.items()]

    grown = growth(read_counters([text(before)]), read_counters([text(after)]))
    assert (grown["restarted"], grown.get("restart_evidence")) == (evidence is not None, evidence)
    assert evidence is None or not grown["counters"]


def test_one_server_of_several_restarts() -> None:
    """The sums of two servers grow, and the start of the second is another."""
    first, second, anew = (
        f"# TYPE x counter\nx {count}\n{PROCESS} {start}\n".encode()
        for count, start in ((100, 1.7e9), (5, 1.6e9), (50, 1.71e9))
    )
    assert growth(read_counters([first, second]), read_counters([first, anew]))["restarted"]
    assert not growth(read_counters([first, second]), read_counters([first, second]))["restarted"]


async def test_another_host_gets_no_key() -> None:
    def answer(_: bytes) -> tuple[bytes, ...]:
        return (plain_response("200 OK", VLLM),)

    async with playing(answer) as (url, got):
        metrics = f"{url.removesuffix('/v1')}/other/metrics"
        endpoint = EndpointConfig(metrics_route=metrics, headers={"X-Team": "blue"}, load_keys=[])
        async with Connections(endpoint, url, api_key="sk-secret") as beside:
            meter = Meter(endpoint, [beside])
            assert (await meter.start()) == read_counters([VLLM])
            assert (await meter.end()) == {"engines": 2, "restarted": False, "counters": {}, "settled": None}
    assert [request.split(b"\r\n")[0] for request in got if b"/other" in request] == [
        b"GET /other/metrics HTTP/1.1"
    ] * 2
    assert not any(b"sk-secret" in request or b"blue" in request for request in got if b"/other" in request)


async def test_a_server_without_counters_has_none() -> None:
    def answer(_: bytes) -> tuple[bytes, ...]:
        return (plain_response("404 Not Found", b"{}"),)

    async with playing(answer) as (url, _):
        for endpoint in (EndpointConfig(), EndpointConfig(metrics_route=None)):
            async with Connections(endpoint, url) as beside:
                meter = Meter(endpoint, [beside])
                assert await meter.start() is None
                assert await meter.end() is None
