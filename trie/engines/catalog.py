"""All that trie knows of each engine, in one declaration each.

A new engine is a declaration in `ENGINES`, a file conf/endpoint/<dialect>.yaml with the settings that a user may
change, and a section of docs/engines.md. Nothing else in trie knows an engine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from trie.engines.declaration import (
    METRICS,
    Answer,
    CounterNames,
    Engine,
    Facts,
    Header,
    JsonAnswer,
    MetricNames,
    OwnedBy,
    Statuses,
)
from trie.engines.prometheus import samples
from trie.one_line import one_line

SERVER_INFO = ("/get_server_info", "/server_info")
WHOLE = re.compile(r"\d{1,15}")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


# vLLM: compared with rows and with its own log.

VLLM_CACHE_FACTS = ("block_size", "num_gpu_blocks", "kv_cache_size_tokens", "enable_prefix_caching", "cache_dtype")


def _vllm_cache(metrics: Answer) -> dict[str, Any]:
    """The labels of a gauge that is always 1; of several engines, those of the first."""
    if not metrics.ok:
        return {}
    rows = (sample.labels for sample in samples(metrics.body) if sample.name == "vllm:cache_config_info")
    labels = next(rows, {})
    return {name: _number_or_text(labels[name]) for name in VLLM_CACHE_FACTS if name in labels}


def _number_or_text(text: str) -> int | str:
    return int(text) if WHOLE.fullmatch(text) else one_line(text, 80)


VLLM = Engine(
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
    facts=Facts((METRICS,), _vllm_cache),
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


# SGLang: as its documentation says; none was at hand.

SGLANG_ARGUMENTS = frozenset({"tp_size", "disable_radix_cache", "mem_fraction_static"})
SGLANG_FACTS = ("page_size", "max_total_num_tokens", "tp_size", "dp_size", "enable_cache_report", "disable_radix_cache")


def _sglang_arguments(info: Answer) -> dict[str, Any]:
    """The arguments that it was started with."""
    arguments = info.json
    if not isinstance(arguments, dict) or "model_path" not in arguments:
        return {}
    return {name: arguments[name] for name in SGLANG_FACTS if isinstance(arguments.get(name), bool | int)}


def _holds_sglang_arguments(value: Mapping[str, Any]) -> bool:
    return "model_path" in value and "vllm_config" not in value and not SGLANG_ARGUMENTS.isdisjoint(value)


SGLANG = Engine(
    dialect="sglang",
    name="SGLang",
    signs=(
        OwnedBy(("sglang",)),
        *(JsonAnswer(route, _holds_sglang_arguments, "holds its arguments", "version") for route in SERVER_INFO),
    ),
    listed_context=("max_model_len",),
    facts=Facts(SERVER_INFO, _sglang_arguments),
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


# TokenSpeed behind its gateway, smg: the gateway was measured.


def _smg_workers(answer: Answer) -> dict[str, Any]:
    """The servers that it spreads requests over, with the shortest context that each states."""
    value = answer.json
    workers = value.get("workers") if isinstance(value, dict) else None
    if not isinstance(workers, list):
        return {}
    named = [worker for worker in workers if isinstance(worker, dict) and isinstance(worker.get("url"), str)]
    return {"workers": [_smg_worker(worker) for worker in named]}


def _smg_worker(worker: Mapping[str, Any]) -> dict[str, Any]:
    labels = worker.get("labels")
    version = labels.get("version") if isinstance(labels, dict) else None
    engine = [part for part in (worker.get("runtime_type"), version) if isinstance(part, str)]
    models = worker.get("models")
    listed = [model for model in models if isinstance(model, dict)] if isinstance(models, list) else []
    contexts: list[int] = [model["context_length"] for model in listed if _is_count(model.get("context_length"))]
    return {
        "url": one_line(worker["url"], 200),
        "engine": one_line(" ".join(engine), 80) or None,
        "context": min(contexts, default=None),
    }


def _shortest_worker_context(facts: Mapping[str, Any]) -> int | None:
    """A request behind a gateway may reach any worker."""
    contexts = [worker["context"] for worker in facts.get("workers", ()) if worker["context"]]
    return min(contexts, default=None)


TOKENSPEED = Engine(
    dialect="tokenspeed",
    name="TokenSpeed/smg",
    signs=(OwnedBy(("self_hosted",)), MetricNames("smg_"), Header("x-smg-*")),
    gateway=True,
    facts=Facts(("/workers",), _smg_workers, _shortest_worker_context),
)


# LiteLLM's proxy: as its documentation says; none was at hand. Every model that it lists is "owned by openai".


def _litellm_deployments(answer: Answer) -> dict[str, Any]:
    """Which models stand behind it, each under the name that it gives them; addresses without their query."""
    value = answer.json
    listed = value.get("data") if isinstance(value, dict) else None
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    deployments = [_litellm_deployment(entry) for entry in entries if isinstance(entry.get("model_name"), str)]
    return {"deployments": deployments} if deployments else {}


def _litellm_deployment(entry: Mapping[str, Any]) -> dict[str, Any]:
    told, info = _object(entry, "litellm_params"), _object(entry, "model_info")
    model, address, context = told.get("model"), told.get("api_base"), info.get("max_input_tokens")
    return {
        "name": one_line(entry["model_name"], 200),
        "model": one_line(model, 200) if isinstance(model, str) else None,
        "url": one_line(address.partition("?")[0], 200) if isinstance(address, str) else None,
        "context": context if _is_count(context) else None,
    }


def _object(entry: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = entry.get(key)
    return value if isinstance(value, dict) else {}


def _litellm_context(facts: Mapping[str, Any]) -> int | None:
    """The shortest, where all deployments are of one model: of several, whose it is can't be told."""
    deployments = facts.get("deployments", ())
    contexts = [deployment["context"] for deployment in deployments if deployment["context"]]
    return min(contexts, default=None) if len({deployment["name"] for deployment in deployments}) == 1 else None


LITELLM = Engine(
    dialect="litellm",
    name="LiteLLM",
    signs=(
        JsonAnswer(
            "/health/readiness",
            lambda value: isinstance(value.get("litellm_version"), str),
            "answers {version}",
            "litellm_version",
        ),
        Header("x-litellm-*"),
    ),
    gateway=True,
    hides=("openai",),
    facts=Facts(("/model/info",), _litellm_deployments, _litellm_context),
)


# llama.cpp: compared with rows.


def _llamacpp_slots(props: Answer) -> dict[str, Any]:
    value = props.json
    if not isinstance(value, dict) or not isinstance(value.get("total_slots"), int):
        return {}
    settings = value.get("default_generation_settings")
    context = settings.get("n_ctx") if isinstance(settings, dict) else None
    return {"total_slots": value["total_slots"], **({"slot_context": context} if _is_count(context) else {})}


LLAMACPP = Engine(
    dialect="llamacpp",
    name="llama.cpp",
    signs=(
        OwnedBy(("llamacpp",)),
        JsonAnswer(
            "/props",
            lambda value: value.keys() >= {"default_generation_settings", "total_slots"},
            "states its slots",
            "build_info",
        ),
        Header("server", "llama.cpp"),
    ),
    listed_context=("meta", "n_ctx"),
    facts=Facts(("/props",), _llamacpp_slots, lambda facts: facts.get("slot_context")),  # a slot has its share of all
    metrics_prefix="llamacpp",
    gauges_in_flight=("requests_processing", "requests_deferred"),
    counters=CounterNames(
        prompt_tokens=("prompt_tokens_total", "prompt_tokens_cached_total"),  # the first: those that were computed
        cached_tokens=("prompt_tokens_cached_total",),
        completion_tokens=("tokens_predicted_total",),
    ),
    metrics_flag="--metrics",
)


# Hugging Face's `transformers serve`: measured. It has no route of its own that answers a GET with 200.

TRANSFORMERS = Engine(
    dialect="transformers",
    name="transformers serve",
    signs=(Statuses({"/load_model": 405, "/props": 404}, "it has the route /load_model"),),
)


# Clouds.

OPENAI = Engine(
    dialect="openai",
    name="OpenAI",
    signs=(
        OwnedBy(("openai", "openai-internal", "system")),
        Header("openai-organization"),
        Header("openai-version"),
    ),
)


# trie's own simulator, the embedded endpoint among it.

SIM = Engine(
    dialect="sim",
    name="trie sim",
    signs=(
        JsonAnswer(
            "/version",
            lambda value: isinstance(value.get("version"), str) and value.get("server") == "trie-sim",
            "answers {version}",
            "version",
        ),
        OwnedBy(("trie-sim",)),
    ),
    listed_context=("max_model_len",),
    metrics_prefix="trie_sim",
    gauges_in_flight=("num_requests_running", "num_requests_waiting"),
    counters=CounterNames(
        prompt_tokens=("prompt_tokens_total",),
        cached_tokens=("prefix_cache_hits_total",),
        completion_tokens=("generation_tokens_total",),
        requests=("request_success_total",),
        queue_s="queue_time_seconds",
        ttft_s="time_to_first_token_seconds",
        itl_s="inter_token_latency_seconds",
        e2e_s="e2e_request_latency_seconds",
    ),
)


ENGINES: tuple[Engine, ...] = (VLLM, SGLANG, TOKENSPEED, LITELLM, LLAMACPP, TRANSFORMERS, OPENAI, SIM)


def of_dialect(dialect: str | None) -> Engine | None:
    """The engine that speaks a dialect; None for a dialect of the user's own."""
    return next((engine for engine in ENGINES if engine.dialect == dialect), None)


def of_metrics_prefix(prefix: str) -> Engine | None:
    """The engine whose metrics begin so."""
    return next((engine for engine in ENGINES if engine.metrics_prefix == prefix), None)


def load_keys() -> list[str]:
    """The gauges of requests in flight of all engines; no two share a name."""
    return [engine.metric(gauge) for engine in ENGINES for gauge in engine.gauges_in_flight]


def listed_context_keys() -> list[tuple[str, ...]]:
    """Where the entries of /v1/models have their context, each place once."""
    return list(dict.fromkeys(engine.listed_context for engine in ENGINES if engine.listed_context))


def latency_histograms() -> frozenset[str]:
    """The histograms of latencies of all engines, by their whole names."""
    return frozenset(
        engine.metric(name) for engine in ENGINES if engine.counters is not None for name in engine.counters.histograms
    )
