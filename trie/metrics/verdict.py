"""The verdict: may these numbers be published? Each condition with what was found and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from trie.config import LimitsConfig
from trie.metrics.checks import Check, cache_checks, engine_checks

CENSORED_SHARE = 0.25  # of the traces that completed or were cancelled, above which short ones are over-represented
LIMITS = frozenset({"max_failures", "max_failure_rate"})  # settings that end a run early
ORDERLY = frozenset({"deadline", "max_traces"})  # ends of a run that went as it was meant to
AT_ONCE_SHARE = 0.05  # of the answers, above which decode speeds say little
STALE_S = 60.0  # a run shorter than this is a trial


@dataclass(frozen=True, slots=True)
class _Evidence:
    traces: Mapping[str, int]
    requests: Mapping[str, int]
    facts: Mapping[str, Any]
    manifest: Mapping[str, Any]
    limits: LimitsConfig
    wall_time_s: float


def judge(
    counts: Mapping[str, Mapping[str, int]],
    facts: Mapping[str, Any],
    manifest: Mapping[str, Any],
    *,
    wall_time_s: float,
) -> tuple[Check, ...]:
    """All checks of a run, errors first; those that can't be made for want of data are left out."""
    given = manifest["config"].get("limits") or {}
    limits = LimitsConfig(**{key.name: given[key.name] for key in fields(LimitsConfig) if key.name in given})
    evidence = _Evidence(counts["traces"], counts["requests"], facts, manifest, limits, wall_time_s)
    checks = [
        *_outcomes(evidence),
        *_lengths(evidence),
        *_client(evidence),
        *_end(evidence),
        *_conditions(evidence),
        *cache_checks(facts, manifest),
        *engine_checks(facts),
    ]
    return tuple(sorted(checks, key=lambda check: check.level != "error"))


def _outcomes(run: _Evidence) -> Iterator[Check]:
    completed, failed = run.traces["completed"], run.requests["failed"]
    ended = run.requests["ok"] + failed
    yield Check(
        "something completed",
        "error",
        completed > 0,
        f"{completed} traces completed",
        "run longer than one trace takes (duration=...), or see why requests fail",
    )
    rate = failed / ended if ended else 0.0
    kinds = ", ".join(f"{kind} {count}" for kind, count in run.facts["errors"].items())
    yield Check(
        "few failures",
        "error",
        rate <= run.limits.failure_rate,
        f"{failed} of {ended} requests failed ({rate:.1%}{': ' + kinds if kinds else ''})",
        f"mend the server, or raise limits.failure_rate={run.limits.failure_rate:g} knowing what it hides",
    )
    limited = run.facts["rate_limited"]
    yield Check(
        "no rate limits",
        "warning",
        limited == 0,
        f"{limited} attempts were answered with 429, and waited for as it said",
        "what was measured is the limit of the account as well as the server: ask for less, or for a higher limit",
    )
    retries = run.facts["retries"]
    yield Check(
        "no retries",
        "warning",
        retries == 0,
        f"{retries} attempts were repeated",
        "latencies include the failed attempts and the pauses between them",
    )


def _lengths(run: _Evidence) -> Iterator[Check]:
    drift, limits = run.facts["drift"], run.limits
    if drift["prompt_ratio"] is None:
        yield Check(
            "usage reported",
            "warning",
            False,
            "the server reports no usage: lengths and cache hits are not measured",
            "endpoint.include_usage=true, or the server's own flag for usage in streams",
        )
        return
    counted, ok = drift["requests_with_usage"], run.requests["ok"]
    yield Check(
        "usage complete",
        "warning",
        counted == ok,
        f"{counted} of {ok} requests report usage",
        "cache rates and drift speak for traces and requests with usage alone",
    )
    yield Check(
        "prompt lengths",
        "error",
        abs(drift["unexplained_ratio"]) <= limits.prompt_drift,
        f"the server counts {drift['unexplained_ratio']:+.2%} prompt tokens against the accounting{_template(drift)}",
        "give the model's tokenizer with tokenizer_model=..., or see whether the server truncates",
    )
    short = drift["completion_short_ratio"]
    if short is not None:
        how = ", ".join(f"{count} ended by {reason}" for reason, count in drift["completion_short_reasons"].items())
        yield Check(
            "completion lengths",
            "error",
            short <= limits.completion_drift,
            f"{short:.2%} of the requested completion tokens did not come "
            f"({drift['completion_short_requests']} requests{': ' + how if how else ''})",
            _lengthen(run),
        )
    more = drift["completion_long_ratio"]
    if more is not None:
        yield Check(
            "completions no longer than asked",
            "error",
            more <= limits.completion_drift,
            f"{more:.2%} more completion tokens came than were asked for",
            "see whether the server reads what endpoint.max_tokens_field names",
        )


def _lengthen(run: _Evidence) -> str:
    """What to do about answers that are shorter than asked: those cut by `length` met the context's end."""
    if "length" in run.facts["drift"]["completion_short_reasons"]:
        return "the engine cut them to what fits its context: serve a longer one, or set workload.max_context_tokens=N"
    if run.manifest["config"]["endpoint"].get("ignore_eos"):
        return "the server does not honour ignore_eos: compare with runs of the same kind alone"
    return (
        "endpoint.ignore_eos=true where the server knows it; where it does not, the model ends answers when it likes: "
        "limits.completion_drift=1 lets that pass, and the run compares with runs of the same kind alone"
    )


def _template(drift: Mapping[str, Any]) -> str:
    known = drift["template_ratio"]
    return "" if known is None else f", beyond the {known:+.2%} of its template"


def _client(run: _Evidence) -> Iterator[Check]:
    client, limits = run.facts["client"], run.limits
    lag, share = client["loop_lag_p99_s"], client["cpu_share"]
    if lag is not None:
        yield Check(
            "client on time",
            "error",
            lag <= limits.loop_lag_s,
            f"event loop late by {lag * 1e3:.1f} ms at p99, {(client['loop_lag_max_s'] or lag) * 1e3:.0f} ms at most",
            "leave the client a core of its own (another host), or lower the concurrency",
        )
    if share is not None:
        yield Check(
            "client not saturated",
            "error",
            share <= limits.client_cpu,
            f"client used {share:.0%} of one core",
            "the numbers are the client's, not the server's: lower the concurrency, or share it among several clients",
        )
    longest = client["loop_lag_max_s"]
    if longest is not None:
        yield Check(
            "client ran throughout",
            "error",
            longest <= limits.stall_s,
            f"the client stood still for {longest:.1f} s (suspended, swapped out, or starved of its core)",
            "run it again; the rows that were open then have it in loop_lag_s",
        )
    at_once = run.facts["one_read_share"]
    if at_once is not None:
        yield Check(
            "tokens seen as they came",
            "warning",
            at_once <= AT_ONCE_SHARE,
            f"{at_once:.1%} of the answers of several chunks came in one read, whole",
            "their TTFT and decode speed are those of a buffer: a proxy that collects, a server that flushes late, or "
            "a client that is kept from its core",
        )
    suspect = client["suspect_share"] or 0.0
    yield Check(
        "few suspect requests",
        "warning",
        suspect <= 0.05,
        f"{suspect:.1%} of the requests were open while the loop was late by more than 5 ms",
        "look at the column loop_lag_s of the rows",
    )


def _end(run: _Evidence) -> Iterator[Check]:
    end, config = run.manifest.get("end"), run.manifest["config"]
    if not end:
        yield Check(
            "ended in order",
            "warning",
            False,
            "the run was killed, or its disk was full: its end is missing, and up to a second of rows",
            "run it again before publishing",
        )
    elif end["reason"] in LIMITS:
        limit = f"{end['reason']}={config[end['reason']]:g}"
        yield Check(
            "ran its duration",
            "error",
            False,
            f"ended by {limit} after {run.wall_time_s:.0f} of {config['duration']:g} s",
            f"mend what fails, or give another {end['reason']}=...",
        )
    elif end["reason"] not in ORDERLY:
        yield Check(
            "ran its duration",
            "error" if end["reason"] == "endpoint_died" else "warning",
            False,
            f"{end['reason'].replace('_', ' ')} after {run.wall_time_s:.0f} of {config['duration']:g} s",
            "run it again to its end",
        )


def _conditions(run: _Evidence) -> Iterator[Check]:
    done, cut = run.traces["completed"], run.traces["cancelled"]
    share = cut / (done + cut) if done + cut else 0.0
    yield Check(
        "little censoring",
        "warning",
        share <= CENSORED_SHARE,
        f"{cut} of {done + cut} traces were cut off at the end: those that completed are the short ones",
        "run longer; the Kaplan-Meier latencies count the cut-off ones in",
    )
    yield Check(
        "long enough",
        "warning",
        run.wall_time_s >= STALE_S,
        f"{run.wall_time_s:.0f} s",
        "a trial: publish runs of half an hour or more",
    )
    skipped = run.manifest["workload"].get("skipped_too_long")
    if skipped:
        yield Check(
            "whole workload",
            "warning",
            False,
            f"{skipped} of {skipped + run.manifest['workload']['traces']} traces are too long for the model's context",
            "what is left is a shorter workload: compare it with runs that skipped the same traces alone",
        )
    others = run.manifest["server"].get("in_flight_before")
    if others is not None:
        yield Check(
            "engine to itself",
            "warning",
            others == 0,
            f"requests of others in flight at the start: {others}",
            "what others send is in every number: measure an engine that serves nobody else",
        )
    if run.manifest["workload"]["synthetic"]:
        yield Check(
            "recorded workload",
            "warning",
            False,
            f"{run.manifest['workload']['name']} is a synthetic stand-in",
            "say so wherever the numbers go; use the recorded traces to compare with others",
        )
    if not run.manifest["config"]["stream"]:
        yield Check(
            "streaming", "warning", False, "not streamed: TTFT, TTFAT and decode speed are not measured", "stream=true"
        )
