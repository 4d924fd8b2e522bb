"""What the engine itself counted over the run; trie.metrics.engine_counters computes it."""

from __future__ import annotations

from trie.metrics.definitions.metric import MS, RUN, Metric

ENGINE_METRICS = (
    Metric(
        section=RUN,
        key="engine.counted.prompt_tokens",
        label="prompt tokens by the engine",
        unit="tokens",
        better=None,
        definition="prompt tokens by the engine's own counters over the run, cancelled requests included",
    ),
    Metric(
        section=RUN,
        key="engine.counted.cached_tokens",
        label="cached tokens by the engine",
        unit="tokens",
        better=None,
        definition="those of them that the engine took from its cache",
    ),
    Metric(
        section=RUN,
        key="engine.counted.completion_tokens",
        label="completion tokens by the engine",
        unit="tokens",
        better=None,
        definition="completion tokens by the engine's own counters over the run",
    ),
    Metric(
        section=RUN,
        key="engine.counted.requests",
        label="requests by the engine",
        unit="requests",
        better=None,
        definition="requests that the engine counts as ended",
    ),
    Metric(
        section=RUN,
        key="engine.counted.hit_rate_pct",
        label="hit rate by the engine",
        unit="%",
        better="higher",
        definition=(
            "100 x cached / prompt tokens by the engine's own counters over the run, cancelled requests included"
        ),
    ),
    Metric(
        section=RUN,
        key="engine.counted.preemptions",
        label="preemptions by the engine",
        unit="preemptions",
        better="lower",
        definition="times that the engine took the memory of a running request, which is then computed again",
    ),
    Metric(
        section=RUN,
        key="engine.counted.queue_s",
        label="queue by the engine",
        unit="s",
        shown=MS,
        better="lower",
        definition="mean time from a request's arrival in the engine to its scheduling, by the engine's histogram",
    ),
    Metric(
        section=RUN,
        key="engine.counted.ttft_s",
        label="TTFT by the engine",
        unit="s",
        shown=MS,
        better="lower",
        definition="mean time to the first token, by the engine's histogram",
    ),
    Metric(
        section=RUN,
        key="engine.counted.itl_s",
        label="time between tokens by the engine",
        unit="s",
        shown=MS,
        better="lower",
        definition="mean time between tokens, by the engine's histogram",
    ),
    Metric(
        section=RUN,
        key="engine.counted.e2e_s",
        label="latency by the engine",
        unit="s",
        shown=MS,
        better="lower",
        definition="mean latency of a request, by the engine's histogram",
    ),
    Metric(
        section=RUN,
        key="engine.difference.ttft_s",
        label="TTFT beyond the engine",
        unit="s",
        shown=MS,
        better="lower",
        definition=(
            "mean TTFT of all requests that got a first token less the engine's mean: network, HTTP server and client"
        ),
    ),
)
