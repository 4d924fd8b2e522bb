"""llama.cpp: compared with rows."""

from __future__ import annotations

from typing import Any

from trie.engines.declaration import Answer, CounterNames, Engine, Facts, Header, JsonAnswer, OwnedBy, is_count


def _llamacpp_slots(props: Answer) -> dict[str, Any]:
    value = props.json
    if not isinstance(value, dict) or not isinstance(value.get("total_slots"), int):
        return {}
    settings = value.get("default_generation_settings")
    context = settings.get("n_ctx") if isinstance(settings, dict) else None
    return {"total_slots": value["total_slots"], **({"slot_context": context} if is_count(context) else {})}


ENGINE = Engine(
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
