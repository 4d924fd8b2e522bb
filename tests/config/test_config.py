"""Every setting has bounds, and what is out of them is message in one form: key, found, allowed."""

from __future__ import annotations

import math
from typing import Any

import pytest

from trie.config import (
    ConcurrencyConfig,
    EndpointConfig,
    LimitsConfig,
    PromptConfig,
    RunConfig,
    SimConfig,
    WorkloadConfig,
)
from trie.errors import ConfigError

WORKLOAD = WorkloadConfig(path="w.jsonl")


def run(**settings: Any) -> RunConfig:
    return RunConfig(workload=WORKLOAD, **settings)


@pytest.mark.parametrize(
    ("schema", "settings", "message"),
    [
        (run, {"duration": 0.0}, "duration=0.0: must be above 0 (seconds)"),
        (run, {"duration": -1.0}, "duration=-1.0: must be above 0 (seconds)"),
        (run, {"duration": math.nan}, "duration=nan: must be above 0 (seconds)"),
        (run, {"duration": math.inf}, "duration=inf: must be at most 100000000 (seconds)"),
        (run, {"duration": 1e18}, "duration=1e+18: must be at most 100000000 (seconds)"),
        (run, {"timeout": 0.0}, "timeout=0.0: must be above 0 (seconds)"),
        (run, {"timeout": math.inf}, "timeout=inf: must be at most 100000000 (seconds)"),
        (run, {"max_retries": -1}, "max_retries=-1: must be from 0 to 1000"),
        (run, {"max_retries": 10**12}, f"max_retries={10**12}: must be from 0 to 1000"),
        (run, {"num_gpus": 0}, "num_gpus=0: must be 1 or more"),
        (run, {"num_gpus": 10**30}, f"num_gpus={10**30}: must be from 1 to {1 << 53}"),
        (run, {"seed": -1}, "seed=-1: must be 0 or more"),
        (run, {"model": ""}, "model=(empty): must be a name, or null for the only model that the server lists"),
        (run, {"tokenizer_model": ""}, "tokenizer_model=(empty): must be a hub id, a folder, words, or null"),
        (ConcurrencyConfig, {"value": 0}, "concurrency=0: must be from 1 to 1000000"),
        (ConcurrencyConfig, {"value": 10**9}, "concurrency=1000000000: must be from 1 to 1000000"),
        (EndpointConfig, {"bos_tokens": -1}, "endpoint.bos_tokens=-1: must be 0 or more"),
        (EndpointConfig, {"connect_timeout": 0.0}, "endpoint.connect_timeout=0.0: must be above 0 (seconds)"),
        (EndpointConfig, {"connect_timeout": math.nan}, "endpoint.connect_timeout=nan: must be above 0 (seconds)"),
        (
            EndpointConfig,
            {"continuous_usage": True, "include_usage": False},
            "endpoint.continuous_usage=true: must be false without endpoint.include_usage",
        ),
        (EndpointConfig, {"max_tokens_field": ""}, "endpoint.max_tokens_field=(empty): must be the name of a field"),
        (EndpointConfig, {"session_header": "a:b"}, "endpoint: header='a:b': must be a header's name"),
        (EndpointConfig, {"session_header": ""}, "endpoint: header='': must be a header's name"),
        (EndpointConfig, {"headers": {"X\r\nY": "1"}}, "endpoint: header='X\\r\\nY': must be a header's name"),
        (EndpointConfig, {"extra_body": {"stream": False}}, "endpoint.extra_body.stream=(set): must be left to trie"),
        (EndpointConfig, {"extra_body": {"max_tokens": 1}}, "endpoint.extra_body.max_tokens=(set): must be left"),
        (EndpointConfig, {"extra_body": {"n": 10**30}}, "endpoint.extra_body: holds what JSON can't"),
        (EndpointConfig, {"extra_body": {"n": b"x"}}, "endpoint.extra_body: holds what JSON can't"),
        (WorkloadConfig, {"path": "x", "rows": 0}, "workload.rows=0: must be from 1 to 10000000"),
        (WorkloadConfig, {"path": "x", "rows": 10**12}, f"workload.rows={10**12}: must be from 1 to 10000000"),
        (WorkloadConfig, {"path": "x", "seed": -1}, "workload.seed=-1: must be 0 or more"),
        (WorkloadConfig, {"path": "x", "bundled": "y"}, "workload=['path', 'bundled']: must be one of path"),
        (WorkloadConfig, {}, "workload=nothing: must be one of path"),
        (PromptConfig, {"zipf": -1.0}, "prompts.zipf=-1.0: must be from 0 to 10"),
        (PromptConfig, {"zipf": math.nan}, "prompts.zipf=nan: must be from 0 to 10"),
        (PromptConfig, {"pool_tokens": 1}, "prompts.pool_tokens=1: must be from 1024 to 67108864"),
        (PromptConfig, {"pool_tokens": 10**12}, f"prompts.pool_tokens={10**12}: must be from 1024 to 67108864"),
        (LimitsConfig, {"failure_rate": math.nan}, "limits.failure_rate=nan: must be 0 or more"),
        (LimitsConfig, {"client_cpu": -0.1}, "limits.client_cpu=-0.1: must be 0 or more"),
        (SimConfig, {"prefill_tok_s": math.inf}, "sim.prefill_tok_s=inf: must be above 0"),
        (SimConfig, {"decode_base_s": math.nan}, "sim.decode_base_s=nan: must be 0 or more (seconds)"),
        (SimConfig, {"max_running": 0}, "sim.max_running=0: must be above 0"),
        (SimConfig, {"cache_blocks": -1}, "sim.cache_blocks=-1: must be 0 or more"),
        (SimConfig, {"fault_rate": math.nan}, "sim.fault_rate=nan: must be from 0 to 1"),
        (SimConfig, {"faults": ["x"]}, "sim.faults=['x']: must be a list of http_429"),
    ],
)
def test_a_value_out_of_bounds_is_refused_with_what_is_allowed(
    schema: Any, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        schema(**settings)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("localhost:8000", "must be an http(s) URL"),
        ("ftp://h/v1", "must be an http(s) URL"),
        ("http://", "must be an http(s) URL up to and including /v1, without #"),
        ("http:///v1", "must be an http(s) URL"),
        ("http://h:abc/v1", "must be an http(s) URL"),
        ("http://h:99999/v1", "must be with a port from 1 to 65535"),
        ("http://h:0/v1", "must be with a port from 1 to 65535"),
        ("http://[::1/v1", "must be an http(s) URL"),
        ("http://a b/v1", "must be an http(s) URL"),
        ("http://h/v1?key=pw1", "endpoint.base_url: holds key=(hidden), which would be written down; api_key= and"),
        ("http://h/v1?a=b&subscription-key=pw", "endpoint.base_url: holds subscription-key=(hidden)"),
        ("http://h/v1?sig=pw", "endpoint.base_url: holds sig=(hidden)"),
        ("http://h/v1#x", "must be an http(s) URL"),
        ("http://user:pw@h/v1", "endpoint.base_url=(hidden): must be without user and password"),
    ],
)
def test_a_url_that_is_none_is_refused(url: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        EndpointConfig(base_url=url)
    assert message in str(caught.value)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://h/v1", "https://h:8443/a/v1", "http://[::1]:8000/v1", "http://10.0.0.1:80/v1"])
def test_a_url_is_taken_as_it_is_without_a_slash_at_its_end(url: str) -> None:
    assert EndpointConfig(base_url=url + "/").base_url == url


def test_a_url_keeps_its_query() -> None:
    url = "https://h/openai/deployments/d/?api-version=2024-10-21"
    assert EndpointConfig(base_url=url).base_url == "https://h/openai/deployments/d?api-version=2024-10-21"


@pytest.mark.parametrize("query", ["?a=b", "a b", "", "a=b#c", "api-key=pw"])
def test_a_query_that_is_none_is_refused(query: str) -> None:
    with pytest.raises(ConfigError, match=r"endpoint\.query") as error:
        EndpointConfig(query=query)
    assert "pw" not in str(error.value)


@pytest.mark.parametrize(
    "again",
    ["http://h/v1", "http://h:80/v1", "http://H/v1/", "HTTP://h/v1", "http://b:8000/v1"],
)
def test_a_server_is_given_once(again: str) -> None:
    with pytest.raises(ConfigError, match=r"endpoint\.replicas=.*: must be each server once"):
        EndpointConfig(base_url="http://h/v1", replicas=["http://b:8000/v1", again])


def test_servers_that_differ_in_port_or_path_are_several() -> None:
    others = ["http://h:8000/v1", "http://h/a/v1", "https://h/v1"]
    assert len(EndpointConfig(base_url="http://h/v1", replicas=others).base_urls) == 4
