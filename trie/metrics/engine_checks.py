"""What the engine's own counters say against a run's numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trie.metrics.check import Check

QUEUE_SHARE = 0.5  # of the engine's mean TTFT, above which a run measured its queue
QUEUE_S = 0.010  # below it a queue is none, whatever the TTFT
LOST_PCT = 5.0  # of the eligible tokens


def engine_checks(facts: Mapping[str, Any]) -> Iterator[Check]:
    """The conditions; those that the engine does not count for are left out."""
    counted = (facts.get("engine") or {}).get("counted") or {}
    preemptions = counted.get("preemptions")
    if preemptions is not None:
        yield Check(
            "engine not preempting",
            "warning",
            preemptions == 0,
            f"preemptions of running requests: {preemptions:,.0f}",
            "what they had was computed again: lower the concurrency, or give the KV cache more memory",
        )
    queue, ttft = counted.get("queue_s"), counted.get("ttft_s")
    if queue is not None and ttft:
        yield Check(
            "short queue",
            "warning",
            queue <= QUEUE_S or queue <= QUEUE_SHARE * ttft,
            f"of {ttft * 1e3:,.0f} ms to the first token, requests waited {queue * 1e3:,.0f} ms in the engine's queue",
            "TTFT is that of a queue: lower the concurrency, or raise the engine's own limit of requests at a time",
        )
    lost = facts["cache"].get("lost_pct")
    if lost is not None:
        yield Check(
            "prefix cache kept",
            "warning",
            lost <= LOST_PCT,
            f"{lost:.1f} % of the tokens that a cache could hold were computed again, beyond answers and blocks",
            "they were evicted, or served by another worker: more memory for the KV cache, less concurrency, or sticky "
            "sessions",
        )
