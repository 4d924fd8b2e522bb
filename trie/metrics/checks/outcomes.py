"""Checks of what became of requests and traces: completed, failed, refused, repeated."""

from __future__ import annotations

from collections.abc import Iterator

from trie.metrics.checks.check import Check, Condition, Evidence
from trie.metrics.definitions import PER_REQUEST, PER_TRACE, Section, declared
from trie.metrics.metric_names import numbers
from trie.metrics.shown_numbers import CUT_OFF_SHARE, Values, cut_off_share, marked, with_cut_off

SOMETHING_COMPLETED = Condition("something_completed", "error", "traces completed", "no trace completed")
FEW_FAILURES = Condition("few_failures", "error", "few requests failed", "too many requests failed")
FEW_FAILED_TRACES = Condition("few_failed_traces", "error", "few traces failed", "too many traces failed")
ENOUGH_COMPLETED = Condition("enough_completed", "error", "enough traces completed", "few traces completed")
LITTLE_CENSORING = Condition(
    "little_censoring", "warning", "few traces were cut off or failed", "many traces were cut off or failed"
)
TIMES_OF_ALL = Condition(
    "times_of_all",
    "warning",
    "times speak for nearly all traces and requests",
    "times speak for the short traces and requests alone",
)
NO_RATE_LIMITS = Condition("no_rate_limits", "warning", "nothing was rate limited", "attempts were rate limited")
NO_RETRIES = Condition("no_retries", "warning", "nothing was repeated", "attempts were repeated")
CONDITIONS = (
    SOMETHING_COMPLETED,
    ENOUGH_COMPLETED,
    FEW_FAILURES,
    FEW_FAILED_TRACES,
    LITTLE_CENSORING,
    TIMES_OF_ALL,
    NO_RATE_LIMITS,
    NO_RETRIES,
)
LEAST_COMPLETED = 10  # traces, below which the statistics are those of a handful
CENSORED_SHARE = 0.1  # of all traces, above which a reader has to know


def outcome_checks(run: Evidence) -> Iterator[Check]:
    """Always all, but for the number of completed traces where there is none."""
    completed = run.summary.traces["completed"]
    yield SOMETHING_COMPLETED.check(
        completed > 0,
        f"{completed} traces completed",
        "run longer than one trace takes (duration=...), or see why requests fail",
    )
    yield from _enough(run)
    yield _failures(run)
    yield _failed_traces(run)
    yield _censoring(run)
    yield _times(run)
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


def _enough(run: Evidence) -> Iterator[Check]:
    """At least a trace a slot: fewer are the shortest of those that the slots began with."""
    completed = run.summary.traces["completed"]
    least = LEAST_COMPLETED if run.settings.load.is_open else max(LEAST_COMPLETED, run.settings.slots)
    slots = "" if run.settings.load.is_open else ", at least one for each slot"
    if completed:
        yield ENOUGH_COMPLETED.check(
            completed >= least,
            f"{completed} traces completed, and statistics over traces take {least}{slots}",
            "run longer, or replay more traces",
        )


def _failed_traces(run: Evidence) -> Check:
    """A failure ends its trace: the longer a trace, the less likely it completes."""
    failed = run.summary.traces["failed"]
    ended = run.summary.traces["completed"] + failed
    rate, limit = failed / ended if ended else 0.0, run.settings.limits.failure_rate
    return FEW_FAILED_TRACES.check(
        rate <= limit,
        f"{failed} of {ended} traces that ended were ended by a failure ({rate:.1%}): those that completed are the "
        "short ones",
        f"fix the server, or raise limits.failure_rate={limit:g} if you accept what that hides",
    )


def _censoring(run: Evidence) -> Check:
    """Failed traces and those cut off alike: of neither is it known how long it would have taken."""
    traces = sum(run.summary.traces.values())
    incomplete = traces - run.summary.traces["completed"]
    share, limit = incomplete / traces if traces else 0.0, run.settings.limits.censored_share
    over = f", or raise limits.censored_share={limit:g} if you accept what that hides" if share > limit else ""
    return LITTLE_CENSORING.check(
        share <= min(CENSORED_SHARE, limit),
        f"{incomplete} of {traces} traces were cut off or failed: those that completed are the short ones",
        f"run longer{over}; the Kaplan-Meier estimates count them in",
        level="error" if share > limit else "warning",
    )


def _times(run: Evidence) -> Check:
    """The plain statistics beside the estimates that count in what was cut off or failed."""
    values = numbers(run.summary.to_json())
    units = {PER_TRACE: "traces", PER_REQUEST: "requests"}
    biased = [f"of the {name} {_beside(section, values)}" for section, name in units.items() if _cut(section, values)]
    return TIMES_OF_ALL.check(
        not biased,
        "; ".join(biased) or f"at most {CUT_OFF_SHARE:.0%} of either were cut off or failed",
        "run longer, or lower the concurrency; read the Kaplan-Meier estimates instead",
    )


def _cut(section: Section, values: Values) -> bool:
    return any(marked(metric, values) for metric in declared(section))


def _beside(section: Section, values: Values) -> str:
    metrics = [metric for metric in declared(section) if metric.with_cut_off]
    share = cut_off_share(metrics[0], values) or 0.0
    medians = [number for metric in metrics for number in metric.numbers() if number.statistic == "p50"]
    times = ", ".join(
        f"{number.name} {_seconds(plain)} without them and {_seconds(with_cut_off(number, values))} with"
        for number in medians
        if (plain := values.get(number.key)) is not None
    )
    return f"{share:.1%} were cut off or failed{': ' if times else ''}{times}"


def _seconds(value: float | None) -> str:
    """Half never came to it, where there is no median."""
    return "unknown" if value is None else f"{value:.3g} s"
