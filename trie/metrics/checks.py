"""What can be said against a run's cache figures: not reported, impossible, warm from the start, lost by a move."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

QUEUE_SHARE = 0.5  # of the engine's mean TTFT, above which a run measured its queue
QUEUE_S = 0.010  # below it a queue is none, whatever the TTFT
LOST_PCT = 5.0  # of the eligible tokens


@dataclass(frozen=True, slots=True)
class Check:
    """One condition; an error that is not ok makes a run invalid, a warning is for the reader to weigh."""

    check: str
    level: Literal["error", "warning"]
    ok: bool
    found: str
    advice: str


def _flag(manifest: Mapping[str, Any]) -> str:
    """What makes the server report cached tokens, as its dialect has it."""
    flag = manifest["config"]["endpoint"].get("cache_flag")
    if flag is not None:
        return f"start it with {flag}"
    return "TokenSpeed and SGLang: --enable-cache-report; vLLM: --enable-prompt-tokens-details"


def cache_checks(facts: Mapping[str, Any], manifest: Mapping[str, Any]) -> Iterator[Check]:
    """The conditions; those that can't be made for want of data are left out."""
    cache = facts["cache"]
    if facts["drift"]["prompt_ratio"] is not None and not cache["requests_with_cached_tokens"]:
        yield Check(
            "cache reported",
            "warning",
            False,
            "the server reports no cached tokens",
            _flag(manifest),
        )
    workers = facts["workers"]
    if workers is not None and workers["count"] > 1:
        turns, moved = workers["turns"], workers["moved_turns"]
        yield Check(
            "sessions stay",
            "warning",
            moved == 0,
            f"{moved} of {turns} turns were served by another worker than the turn before them",
            "what that one had cached is lost: a router with sticky sessions or cache-aware routing keeps it",
        )
    impossible = cache["impossible_requests"]
    if impossible:
        yield Check(
            "possible cache figures",
            "error",
            False,
            f"{impossible} requests report more cached tokens than their prompts have",
            "the hit rates are not to be believed: see what the server counts",
        )
    if manifest["config"].get("history") == "recorded":
        yield Check(
            "answers in the history",
            "warning",
            False,
            "history=recorded: texts of the recorded lengths went back instead of the server's answers",
            "prompts are exact, and no cache can hit on an answer: compare cache figures with such runs alone",
        )
    warm = cache["turn0_hit_share"]
    if warm is not None:
        yield Check(
            "cold start",
            "warning",
            warm <= 0.0,
            f"{warm:.1%} of the first requests hit the cache",
            "a warm cache or shared prefixes inflate both hit rates: let seed choose itself, or reset the cache",
        )


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
