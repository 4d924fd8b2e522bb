"""vLLM: compared with rows and with its own log."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from trie.engines.declaration import METRICS, SERVER_INFO, Answer, CounterNames, Engine, Facts, JsonAnswer, OwnedBy
from trie.engines.prometheus import samples
from trie.one_line import one_line

WHOLE = re.compile(r"\d{1,15}")
VLLM_CACHE_FACTS = ("block_size", "num_gpu_blocks", "kv_cache_size_tokens", "enable_prefix_caching", "cache_dtype")


def _vllm_cache(metrics: Answer) -> dict[str, Any]:
    """The labels of a gauge that is always 1; of several engines, those of the first."""
    if not metrics.ok:
        return {}
    rows = (sample.labels for sample in samples(metrics.body) if sample.name == "vllm:cache_config_info")
    labels = next(rows, {})
    return {name: _number_or_text(labels[name]) for name in VLLM_CACHE_FACTS if name in labels}


def _vllm_kv_capacity(facts: Mapping[str, Any]) -> int | None:
    tokens = facts.get("kv_cache_size_tokens")
    return tokens if isinstance(tokens, int) else None


def _number_or_text(text: str) -> int | str:
    return int(text) if WHOLE.fullmatch(text) else one_line(text, 80)


ENGINE = Engine(
    dialect="vllm",
    name="vLLM",
    signs=(
        JsonAnswer(
            "/version",
            lambda value: isinstance(value.get("version"), str) and "server" not in value,
            "answers {version}",
            "version",
        ),
        OwnedBy(("vllm",)),
        *(JsonAnswer(route, lambda value: "vllm_config" in value, "holds a vllm_config") for route in SERVER_INFO),
    ),
    listed_context=("max_model_len",),
    facts=Facts((METRICS,), _vllm_cache, kv_capacity=_vllm_kv_capacity),
    metrics_prefix="vllm",
    gauges_in_flight=("num_requests_running", "num_requests_waiting"),
    counters=CounterNames(
        prompt_tokens=("prompt_tokens_total",),
        cached_tokens=("prefix_cache_hits_total",),
        completion_tokens=("generation_tokens_total",),
        requests=("request_success_total",),
        preemptions=("num_preemptions_total",),
        queue_s="request_queue_time_seconds",
        ttft_s="time_to_first_token_seconds",
        itl_s="inter_token_latency_seconds",
        e2e_s="e2e_request_latency_seconds",
    ),
    reset_hint="vLLM has the route only with VLLM_SERVER_DEV_MODE=1",
)
