"""What the engine itself counted over the run, beside what the rows say, and where the two differ. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trie.metrics.columns import Bools, Columns


@dataclass(frozen=True, slots=True)
class Names:
    """What an engine calls its counters; several names are summed, and empty is what it does not count."""

    prompt_tokens: tuple[str, ...]
    cached_tokens: tuple[str, ...]
    completion_tokens: tuple[str, ...]
    requests: tuple[str, ...] = ()
    preemptions: tuple[str, ...] = ()
    queue_s: str = ""  # histograms, in seconds
    ttft_s: str = ""
    itl_s: str = ""
    e2e_s: str = ""


# vLLM's and llama.cpp's were compared with rows; SGLang's stand here as its documentation has them.
ENGINES = {
    "vllm": Names(
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
    "sglang": Names(
        prompt_tokens=("prompt_tokens_total",),
        cached_tokens=("cached_tokens_total",),
        completion_tokens=("generation_tokens_total",),
        requests=("num_requests_total",),
        queue_s="queue_time_seconds",
        ttft_s="time_to_first_token_seconds",
        itl_s="inter_token_latency_seconds",
        e2e_s="e2e_request_latency_seconds",
    ),
    "llamacpp": Names(
        prompt_tokens=("prompt_tokens_total", "prompt_tokens_cached_total"),  # the first: those that were computed
        cached_tokens=("prompt_tokens_cached_total",),
        completion_tokens=("tokens_predicted_total",),
    ),
    "trie_sim": Names(
        prompt_tokens=("prompt_tokens_total",),
        cached_tokens=("prefix_cache_hits_total",),
        completion_tokens=("generation_tokens_total",),
        requests=("request_success_total",),
        queue_s="queue_time_seconds",
        ttft_s="time_to_first_token_seconds",
        itl_s="inter_token_latency_seconds",
        e2e_s="e2e_request_latency_seconds",
    ),
}
COUNTS = ("prompt_tokens", "cached_tokens", "completion_tokens", "requests", "preemptions")
TIMES = ("queue_s", "ttft_s", "itl_s", "e2e_s")


def engine(columns: Columns, manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    """The engine's figures, the rows' own, and the difference; None where its counters were not read or not known.

    The difference of a mean time is the client's less the engine's: network, HTTP server and client together.
    """
    end = (manifest.get("end") or {}).get("engine")
    if not end or not end["counters"]:
        return None
    found = end["counters"]
    prefix = next((name for name in ENGINES if any(key.startswith(f"{name}:") for key in found)), None)
    if prefix is None:
        return None
    counted = _counted(found, prefix)
    rows = _rows(columns)
    beside = _beside(columns)
    dialect = manifest["server"].get("dialect") or {}
    return {
        "name": prefix,
        "version": dialect.get("version"),
        "engines": end["engines"],
        "settled": end["settled"],
        "counted": counted,
        "rows": rows,
        "difference": {key: _difference(key, counted[key], rows.get(key)) for key in (*COUNTS, *TIMES)},
        "beside_rows": beside,
        "comparable": not any(beside.values()),
    }


def _counted(found: Mapping[str, float], prefix: str) -> dict[str, float | None]:
    names = ENGINES[prefix]

    def total(name: str) -> float:
        """Over the labels that are left."""
        key = f"{prefix}:{name}"
        return sum(value for full, value in found.items() if full.partition("{")[0] == key)

    def count(*of: str) -> float | None:
        return sum(total(name) for name in of) if of else None

    def mean(histogram: str) -> float | None:
        number = total(f"{histogram}_count") if histogram else 0.0
        return total(f"{histogram}_sum") / number if number else None

    prompt, cached = count(*names.prompt_tokens), count(*names.cached_tokens)
    return {
        **{key: count(*getattr(names, key)) for key in COUNTS},
        **{key: mean(getattr(names, key)) for key in TIMES},
        "hit_rate_pct": 100.0 * cached / prompt if prompt and cached is not None else None,
    }


def _rows(columns: Columns) -> dict[str, float | None]:
    """The same of the rows that ended well; of TTFT, of all that got a first token, whatever became of them."""
    ok = columns.outcome("ok")
    prompt, cached = columns["usage_prompt_tokens"], columns.cached_tokens
    sent, end = columns["attempt_sent_s"], columns["end_s"]
    first, last = columns["first_token_s"], columns["last_token_s"]
    tokens = columns.completion_tokens - 1
    several = ok & (tokens > 0) & ~np.isnan(last - first)
    known = _sum(prompt, ok & ~np.isnan(cached))
    hits = _sum(cached, ok & ~np.isnan(prompt))
    return {
        "prompt_tokens": _sum(prompt, ok),
        "cached_tokens": hits,
        "completion_tokens": _sum(columns["usage_completion_tokens"], ok),
        "requests": int(ok.sum()),
        "hit_rate_pct": 100.0 * hits / known if hits is not None and known else None,
        "ttft_s": _mean(first - sent, np.ones(len(columns), dtype=np.bool_)),
        "itl_s": float((last - first)[several].sum() / tokens[several].sum()) if several.any() else None,
        "e2e_s": _mean(end - sent, ok),
    }


def _beside(columns: Columns) -> dict[str, int]:
    """Requests that the engine may have counted and that the rows' sums hold nothing of."""
    ok = columns.outcome("ok")
    return {
        "cancelled": int(columns.outcome("cancelled").sum()),
        "failed": int(columns.outcome("failed").sum()),
        "retried": int(np.maximum(columns["attempts"] - 1, 0).sum()),
        "without_usage": int((ok & np.isnan(columns["usage_prompt_tokens"])).sum()),
    }


def _sum(values: Any, which: Bools) -> float | None:
    kept = values[which & ~np.isnan(values)]
    return float(kept.sum()) if len(kept) else None


def _mean(values: Any, which: Bools) -> float | None:
    kept = values[which & ~np.isnan(values)]
    return float(kept.mean()) if len(kept) else None


def _difference(key: str, counted: float | None, rows: float | None) -> float | None:
    if counted is None or rows is None:
        return None
    return rows - counted if key in TIMES else counted - rows
