"""SGLang: as its documentation says; none was at hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trie.engines.declaration import SERVER_INFO, Answer, CounterNames, Engine, Facts, JsonAnswer, OwnedBy

SGLANG_ARGUMENTS = frozenset({"tp_size", "disable_radix_cache", "mem_fraction_static"})
SGLANG_FACTS = ("page_size", "max_total_num_tokens", "tp_size", "dp_size", "enable_cache_report", "disable_radix_cache")


def _sglang_arguments(info: Answer) -> dict[str, Any]:
    """The arguments that it was started with."""
    arguments = info.json
    if not isinstance(arguments, dict) or "model_path" not in arguments:
        return {}
    return {name: arguments[name] for name in SGLANG_FACTS if isinstance(arguments.get(name), bool | int)}


def _sglang_kv_capacity(facts: Mapping[str, Any]) -> int | None:
    tokens = facts.get("max_total_num_tokens")
    return tokens if isinstance(tokens, int) else None


def _holds_sglang_arguments(value: Mapping[str, Any]) -> bool:
    return "model_path" in value and "vllm_config" not in value and not SGLANG_ARGUMENTS.isdisjoint(value)


ENGINE = Engine(
    dialect="sglang",
    name="SGLang",
    signs=(
        OwnedBy(("sglang",)),
        *(JsonAnswer(route, _holds_sglang_arguments, "holds its arguments", "version") for route in SERVER_INFO),
    ),
    listed_context=("max_model_len",),
    facts=Facts(SERVER_INFO, _sglang_arguments, kv_capacity=_sglang_kv_capacity),
    metrics_prefix="sglang",
    gauges_in_flight=("num_running_reqs", "num_queue_reqs"),
    counters=CounterNames(
        prompt_tokens=("prompt_tokens_total",),
        cached_tokens=("cached_tokens_total",),
        completion_tokens=("generation_tokens_total",),
        requests=("num_requests_total",),
        queue_s="queue_time_seconds",
        ttft_s="time_to_first_token_seconds",
        itl_s="inter_token_latency_seconds",
        e2e_s="e2e_request_latency_seconds",
    ),
    metrics_flag="--enable-metrics",
)
