"""trie's own simulator; the embedded endpoint is one."""

from __future__ import annotations

from trie.engines.declaration import CounterNames, Engine, JsonAnswer, OwnedBy

ENGINE = Engine(
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
        preemptions=("num_preemptions_total",),
        queue_s="queue_time_seconds",
        ttft_s="time_to_first_token_seconds",
        itl_s="inter_token_latency_seconds",
        e2e_s="e2e_request_latency_seconds",
    ),
)
