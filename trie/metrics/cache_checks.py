"""What can be said against a run's cache figures: not reported, impossible, warm from the start, lost by a move."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trie.metrics.check import Check


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
