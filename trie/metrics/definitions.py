"""Every metric, declared once: tables, documents and comparisons read this list and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

STATISTICS = ("mean", "min", "p50", "p90", "p95", "p99", "max")
WINDOWS = ("overall", "last_30s", "steady_state", "steady_state_per_gpu")
WINDOW_LABELS = ("Overall", "Last 30s Window", "Steady State", "Steady State / GPU")


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its key in summary.json, its name in tables, its unit, the direction that is better, its formula."""

    key: str
    label: str
    unit: str
    better: Literal["higher", "lower"] | None
    definition: str
    reference: bool  # equal by definition to the reference's; otherwise an addition of ours


PER_TRACE = (
    Metric(
        "latency_s",
        "Latency (s)",
        "s",
        "lower",
        "from the first request's send to the end of the final response, tool waits included",
        reference=True,
    ),
    Metric(
        "ttft_s",
        "TTFT (s)",
        "s",
        "lower",
        "first request: from its send to its first token; streaming only",
        reference=True,
    ),
    Metric(
        "ttfat_s",
        "TTFAT (s)",
        "s",
        "lower",
        "from the first request's send to the first token of the final request; streaming only",
        reference=True,
    ),
    Metric(
        "decode_tps",
        "Decode TPS (tok/s)",
        "tok/s",
        "higher",
        "mean over the trace's requests of (completion tokens - 1) / (end - first token); 0 for a request of one "
        "token; of what was seen where that differs by more than 10 %, see below; streaming only",
        reference=True,
    ),
    Metric(
        "cache_hit_rate_pct",
        "Cache hit rate (%)",
        "%",
        "higher",
        "100 x sum of cached tokens / sum of prompt tokens, both as the server reports them",
        reference=True,
    ),
    Metric(
        "eligible_cache_hit_rate_pct",
        "Eligible cache hit rate (%)",
        "%",
        "higher",
        "100 x sum of cached tokens / sum of eligible tokens; eligible are, from the second request on, the prompt "
        "and completion tokens of the request before",
        reference=True,
    ),
)

PER_REQUEST = (
    Metric("ttft_s", "Request TTFT (s)", "s", "lower", "from a request's send to its first token", reference=False),
    Metric(
        "tpot_s",
        "TPOT (s)",
        "s",
        "lower",
        "(last token - first token) / (completion tokens that were sent - tokens of the first chunk, 1 where the "
        "server does not tell); requests whose tokens were seen as they came",
        reference=False,
    ),
    Metric("latency_s", "Request latency (s)", "s", "lower", "from a request's send to its end", reference=False),
    Metric(
        "max_gap_s",
        "Longest gap (s)",
        "s",
        "lower",
        "longest time between two reads of the socket that brought tokens",
        reference=False,
    ),
    Metric(
        "client_s",
        "Client delay (s)",
        "s",
        "lower",
        "from when a request was due to its first byte on the socket: connection, body, the client's own lateness",
        reference=False,
    ),
)

WORKLOAD = (
    Metric(
        "total_prompt_tok_s",
        "total prompt tok/s",
        "tok/s",
        "higher",
        "new and cached prompt tokens of completed requests per second, by the trace's own accounting",
        reference=True,
    ),
    Metric(
        "cached_prompt_tok_s",
        "cached prompt tok/s",
        "tok/s",
        "higher",
        "the part of them that earlier requests of the trace had sent or received: expected, not measured, hits",
        reference=True,
    ),
    Metric(
        "uncached_prompt_tok_s",
        "uncached prompt tok/s",
        "tok/s",
        "higher",
        "the rest: input prompts and tool outputs",
        reference=True,
    ),
    Metric(
        "completion_tok_s",
        "completion tok/s",
        "tok/s",
        "higher",
        "completion tokens of completed requests per second, by the lengths of the trace",
        reference=True,
    ),
)

WINDOW_DEFINITIONS = {
    "overall": "all tokens / wall time of the run",
    "last_30s": "slope of the cumulative tokens from the first request that ended in the 30 s before the last one",
    "steady_state": "slope of the cumulative tokens after the first 20 % of the time until the last request's end",
    "steady_state_per_gpu": "steady state / num_gpus, where that is given",
}

RUN = (
    Metric("wall_time_s", "wall time", "s", None, "from the first admission to the end of the run", reference=True),
    Metric("trace_per_s", "trace/s", "1/s", "higher", "completed traces / wall time", reference=True),
    Metric(
        "drift.prompt_ratio",
        "prompt drift",
        "ratio",
        None,
        "usage prompt tokens / accounted prompt tokens - 1, over all requests that report usage",
        reference=False,
    ),
    Metric(
        "drift.template_ratio",
        "template",
        "ratio",
        None,
        "the part of the prompt drift that a chat's template makes, as measured before the run: tokens added to the "
        "first prompt, and by each further turn",
        reference=False,
    ),
    Metric(
        "drift.unexplained_ratio",
        "unexplained drift",
        "ratio",
        None,
        "the rest of the prompt drift, which the verdict judges",
        reference=False,
    ),
    Metric(
        "drift.completion_short_ratio",
        "completions short",
        "ratio",
        "lower",
        "share of the requested completion tokens that did not come",
        reference=False,
    ),
    Metric(
        "drift.completion_long_ratio",
        "completions long",
        "ratio",
        "lower",
        "completion tokens that came beyond those requested / completion tokens requested",
        reference=False,
    ),
    Metric(
        "censoring.share",
        "censored",
        "ratio",
        "lower",
        "traces cancelled at the deadline / traces started",
        reference=False,
    ),
    Metric(
        "censoring.progress",
        "progress of the censored",
        "ratio",
        None,
        "mean share of their requests that had ended",
        reference=False,
    ),
    Metric(
        "censoring.latency_km_s",
        "latency with censored traces",
        "s",
        "lower",
        "Kaplan-Meier p50 and p90 of trace latency: cancelled traces count as lasting at least until the end of the "
        "run, failed ones until their failure; none where so many were cut off that the share was never reached",
        reference=False,
    ),
    Metric(
        "cache.hit_rate_pct",
        "token-weighted hit rate",
        "%",
        "higher",
        "100 x cached / prompt tokens over all requests that report them",
        reference=False,
    ),
    Metric(
        "cache.eligible_ceiling_pct",
        "eligible ceiling",
        "%",
        None,
        "what a perfect cache could reach on these traces: the last sampled token's KV is missing, and only whole "
        "blocks of 16 tokens hit",
        reference=False,
    ),
    Metric(
        "cache.lost_pct",
        "lost from the cache",
        "%",
        "lower",
        "100 x tokens of the eligible ceiling that did not hit, beyond the answer before and a block of 128 tokens in "
        "each request, / eligible tokens: what eviction and other workers cost",
        reference=False,
    ),
    Metric(
        "cache.impossible_requests",
        "impossible cache figures",
        "requests",
        "lower",
        "requests whose usage states more cached tokens than prompt tokens",
        reference=False,
    ),
    Metric(
        "cache.turn0_hit_share",
        "turn-0 hits",
        "ratio",
        "lower",
        "share of first requests with cached tokens: a warm cache or shared prefixes",
        reference=False,
    ),
    Metric(
        "retries", "retries", "attempts", "lower", "attempts that were made again, over all requests", reference=False
    ),
    Metric(
        "rate_limited", "rate-limited attempts", "attempts", "lower", "attempts answered with HTTP 429", reference=False
    ),
    Metric("concurrency.active_traces", "active traces", "traces", None, "time-weighted mean", reference=False),
    Metric(
        "concurrency.in_flight_requests", "in-flight requests", "requests", None, "time-weighted mean", reference=False
    ),
    Metric(
        "budget",
        "time budget",
        "ratio",
        None,
        "share of completed traces' time in prefill (send to first token), decode (first token to end), failed "
        "attempts, tool wait and client (due to send)",
        reference=False,
    ),
    Metric(
        "one_read_share",
        "answers in one read",
        "ratio",
        "lower",
        "share of the answers of several chunks whose chunks all came in one read of the socket: nothing was seen of "
        "the time between their tokens",
        reference=False,
    ),
    Metric(
        "client.cpu_share", "client CPU", "ratio", "lower", "CPU seconds of the client / wall time", reference=False
    ),
    Metric(
        "client.loop_lag_p99_s",
        "client loop lag p99",
        "s",
        "lower",
        "lateness of the client's own event loop, sampled every 5 ms",
        reference=False,
    ),
    Metric(
        "engine.counted.hit_rate_pct",
        "hit rate by the engine",
        "%",
        "higher",
        "100 x cached / prompt tokens by the engine's own counters over the run, cancelled requests included",
        reference=False,
    ),
    Metric(
        "engine.counted.preemptions",
        "preemptions",
        "preemptions",
        "lower",
        "times that the engine took the memory of a running request, which is then computed again",
        reference=False,
    ),
    Metric(
        "engine.counted.queue_s",
        "queue by the engine",
        "s",
        "lower",
        "mean time from a request's arrival in the engine to its scheduling, by the engine's histogram",
        reference=False,
    ),
    Metric(
        "engine.counted.ttft_s",
        "TTFT by the engine",
        "s",
        "lower",
        "mean time to the first token, by the engine's histogram",
        reference=False,
    ),
    Metric(
        "engine.difference.ttft_s",
        "TTFT beyond the engine",
        "s",
        "lower",
        "mean TTFT of all requests that got a first token less the engine's mean: network, HTTP server and client",
        reference=False,
    ),
    Metric(
        "client.suspect_share",
        "suspect requests",
        "ratio",
        "lower",
        "share of requests during which the loop was late by more than 5 ms",
        reference=False,
    ),
)
