"""Checks of what became of requests and traces: completed, failed, refused, repeated."""

from __future__ import annotations

from collections.abc import Iterator

from trie.metrics.checks.check import Check, Condition, Evidence

SOMETHING_COMPLETED = Condition("something_completed", "error", "traces completed", "no trace completed")
FEW_FAILURES = Condition("few_failures", "error", "few requests failed", "too many requests failed")
NO_RATE_LIMITS = Condition("no_rate_limits", "warning", "nothing was rate limited", "attempts were rate limited")
NO_RETRIES = Condition("no_retries", "warning", "nothing was repeated", "attempts were repeated")
CONDITIONS = (SOMETHING_COMPLETED, FEW_FAILURES, NO_RATE_LIMITS, NO_RETRIES)


def outcome_checks(run: Evidence) -> Iterator[Check]:
    """Always all four."""
    completed = run.summary.traces["completed"]
    yield SOMETHING_COMPLETED.check(
        completed > 0,
        f"{completed} traces completed",
        "run longer than one trace takes (duration=...), or see why requests fail",
    )
    yield _failures(run)
    rate_limited = run.summary.rate_limited
    yield NO_RATE_LIMITS.check(
        rate_limited == 0,
        f"{rate_limited} attempts were answered with 429 and repeated after the wait that it asks for",
        "the account's limit was measured as well as the server: send less, or ask for a higher limit",
    )
    retries = run.summary.retries
    yield NO_RETRIES.check(
        retries == 0,
        f"{retries} attempts were repeated",
        "latencies include the failed attempts and the pauses between them",
    )


def _failures(run: Evidence) -> Check:
    failed = run.summary.requests["failed"]
    ended = run.summary.requests["ok"] + failed
    rate, limit = failed / ended if ended else 0.0, run.settings.limits.failure_rate
    kinds = ", ".join(f"{kind} {count}" for kind, count in run.summary.errors.items())
    return FEW_FAILURES.check(
        rate <= limit,
        f"{failed} of {ended} requests failed ({rate:.1%}{': ' + kinds if kinds else ''})",
        f"fix the server, or raise limits.failure_rate={limit:g} if you accept what that hides",
    )
