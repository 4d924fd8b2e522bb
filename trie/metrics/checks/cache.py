"""Checks of the cache figures: not reported, impossible, warm from the start, lost by a move."""

from __future__ import annotations

from collections.abc import Iterator

from trie.config import dialects
from trie.metrics.checks.check import Check, Condition, Evidence

ALL_PCT = 100.0 + 1e-9

CACHE_REPORTED = Condition(
    "cache_reported", "warning", "the server reports cached tokens", "cache hits are not measured"
)
CACHE_COMPLETE = Condition(
    "cache_figures_complete", "warning", "cache hit rates are of all traces", "cache hit rates leave traces out"
)
SESSIONS_STAY = Condition(
    "sessions_stay", "warning", "sessions stayed at their worker", "sessions moved from worker to worker"
)
POSSIBLE_FIGURES = Condition(
    "possible_cache_figures", "error", "cache figures are possible", "cache figures are impossible"
)
ANSWERS_IN_HISTORY = Condition(
    "answers_in_the_history",
    "warning",
    "the server's answers went back to it",
    "the server's answers did not go back to it",
)
ELIGIBLE_POSSIBLE = Condition(
    "eligible_rates_possible",
    "warning",
    "eligible hit rates are at most 100 %",
    "eligible hit rates are above 100 %",
)
COLD_START = Condition("cold_start", "warning", "the cache started cold", "the cache started warm")
CONDITIONS = (
    CACHE_REPORTED,
    CACHE_COMPLETE,
    SESSIONS_STAY,
    POSSIBLE_FIGURES,
    ANSWERS_IN_HISTORY,
    ELIGIBLE_POSSIBLE,
    COLD_START,
)


def cache_checks(run: Evidence) -> Iterator[Check]:
    """Those that can't be made for want of data are left out."""
    cache = run.summary.cache
    if run.summary.drift.prompt_ratio is not None and not cache.requests_with_cached_tokens:
        yield CACHE_REPORTED.check(False, "the server reports no cached tokens", _advice(run))
    yield from _left_out(run)
    yield from _moves(run)
    impossible = cache.impossible_requests
    if impossible:
        yield POSSIBLE_FIGURES.check(
            False,
            f"{impossible} requests report more cached tokens than their prompts have",
            "do not use the hit rates: check what the server counts",
        )
    if run.settings.history == "recorded":
        yield ANSWERS_IN_HISTORY.check(
            False,
            "history=recorded: texts of the recorded lengths went back instead",
            "prompts are exact, and no cache can hit on an answer: compare cache figures only with such runs",
        )
    yield from _above_eligible(run)
    warm = cache.turn0_hit_share
    if warm is not None:
        yield COLD_START.check(
            warm <= 0.0,
            f"{warm:.1%} of the first requests hit the cache",
            "a warm cache or shared prefixes inflate both hit rates: leave seed=null, or reset the cache",
        )


def _advice(run: Evidence) -> str:
    """What makes the server report cached tokens, as its dialect has it."""
    flag = run.settings.endpoint.cache_flag
    return dialects.cache_flags() if flag is None else f"start it with {flag}"


def _left_out(run: Evidence) -> Iterator[Check]:
    """One request without figures leaves its whole trace out; the longer a trace, the sooner it has one."""
    cache = run.summary.cache
    if cache.requests_with_cached_tokens and cache.traces_left_out is not None:
        completed = run.summary.traces["completed"]
        share = cache.traces_left_out / completed if completed else 0.0
        workers = run.summary.workers
        rates = {} if workers is None else workers.hit_rate_pct
        silent = ", ".join(name for name, rate in rates.items() if rate is None)
        yield CACHE_COMPLETE.check(
            not cache.traces_left_out,
            f"{cache.traces_left_out} of {completed} completed traces have a request without usage or cached tokens"
            f"{f', as all that {silent} served' if silent else ''}: the hit rates per trace are of the others",
            "see which requests lack them: a proxy that cuts usage off, or a server without the flag that reports them",
            level="error" if share > run.settings.limits.censored_share else "warning",
        )


def _above_eligible(run: Evidence) -> Iterator[Check]:
    rates = run.summary.per_trace.get("eligible_cache_hit_rate_pct")
    if rates is not None:
        yield ELIGIBLE_POSSIBLE.check(
            rates.max <= ALL_PCT,
            f"{rates.max:.1f} % in a trace, {rates.mean:.1f} % on average",
            "the cache held more than a trace's own earlier requests (a warm cache, prefixes that traces share), or "
            "the server counts otherwise: read the token-weighted rate instead",
        )


def _moves(run: Evidence) -> Iterator[Check]:
    workers = run.summary.workers
    if workers is not None and workers.count > 1:
        turns, moved = workers.turns, workers.moved_turns
        yield SESSIONS_STAY.check(
            moved == 0,
            f"{moved} of {turns} turns were served by another worker than the turn before them",
            "the cache of the worker before is lost to them: a router with sticky sessions or cache-aware routing "
            "keeps it",
        )
