"""Checks of the engine by its own counters, and of what its cache lost."""

from __future__ import annotations

from collections.abc import Iterator

from trie.metrics.checks.check import Check, Condition, Evidence
from trie.metrics.sections import EngineCounts

QUEUE_SHARE = 0.5  # of the engine's mean TTFT, above which a run measured its queue
QUEUE_S = 0.010  # below it a queue is none, whatever the TTFT
LOST_PCT = 5.0  # of the eligible tokens

NOT_PREEMPTING = Condition(
    "engine_not_preempting", "warning", "the engine preempted nothing", "the engine preempted requests"
)
SHORT_QUEUE = Condition(
    "short_queue", "warning", "requests did not queue in the engine", "requests queued in the engine"
)
CACHE_KEPT = Condition(
    "prefix_cache_kept", "warning", "the engine kept cached prefixes", "the engine lost cached prefixes"
)
CONDITIONS = (NOT_PREEMPTING, SHORT_QUEUE, CACHE_KEPT)


def engine_checks(run: Evidence) -> Iterator[Check]:
    """Those that the engine does not count for are left out."""
    if run.summary.engine is not None:
        yield from _counters(run.summary.engine.counted)
    lost = run.summary.cache.lost_pct
    if lost is not None:
        yield CACHE_KEPT.check(
            lost <= LOST_PCT,
            f"{lost:.1f} % of the tokens that a cache could hold were computed again, beyond answers and blocks",
            "they were evicted, or another worker served the turn: more memory for the KV cache, less concurrency, or "
            "sticky sessions",
        )


def _counters(counted: EngineCounts) -> Iterator[Check]:
    preemptions = counted.preemptions
    if preemptions is not None:
        yield NOT_PREEMPTING.check(
            preemptions == 0,
            f"preemptions of running requests: {preemptions:,.0f}",
            "their work was done again: lower the concurrency, or give the KV cache more memory",
        )
    queue_s, ttft_s = counted.queue_s, counted.ttft_s
    if queue_s is not None and ttft_s:
        yield SHORT_QUEUE.check(
            queue_s <= QUEUE_S or queue_s <= QUEUE_SHARE * ttft_s,
            f"{queue_s * 1e3:,.0f} of {ttft_s * 1e3:,.0f} ms to the first token passed in the engine's queue",
            "TTFT is that of a queue: lower the concurrency, or raise the engine's own limit of requests at a time",
        )
