"""Checks of the client itself: was it on time, did it have a core, did it see tokens as they came?"""

from __future__ import annotations

import math
from collections.abc import Iterator

from trie.metrics.checks.check import Check, Condition, Evidence
from trie.metrics.sections import Excess

AT_ONCE_SHARE = 0.05  # of the answers, above which decode speeds say little
SUSPECT_SHARE = 0.05  # of the requests
RESOLUTION_S = 0.002  # an excess below it is not told from none: so often is the loop's lateness sampled
NOTED = 4  # statistics named beside the worst

OWN_CORE = "leave the client a core of its own (another host), or lower the concurrency"
NAMES = {  # of times that the client's lateness makes longer
    ("request", "ttft_s"): "TTFT of requests",
    ("request", "latency_s"): "latency of requests",
    ("trace", "ttft_s"): "TTFT of traces",
    ("trace", "ttfat_s"): "TTFAT of traces",
    ("trace", "latency_s"): "latency of traces",
}

ON_TIME = Condition("client_on_time", "error", "the client was on time", "the client was late")
LOOP_ON_TIME = Condition("client_loop_on_time", "warning", "the event loop was on time", "the event loop was late")
NOT_SATURATED = Condition("client_not_saturated", "error", "the client had time to spare", "the client was saturated")
RAN_THROUGHOUT = Condition("client_ran_throughout", "error", "the client ran throughout", "the client stood still")
TOKENS_SEEN = Condition(
    "tokens_seen_as_they_came", "warning", "tokens were seen as they came", "answers came in one piece"
)
FEW_SUSPECT = Condition("few_suspect_requests", "warning", "few requests are suspect", "requests met a late client")
CONDITIONS = (ON_TIME, LOOP_ON_TIME, NOT_SATURATED, RAN_THROUGHOUT, TOKENS_SEEN, FEW_SUSPECT)


def client_checks(run: Evidence) -> Iterator[Check]:
    """Of a run that was killed, those that its rows tell."""
    client, limits = run.summary.client, run.settings.limits
    lag_s, longest_s, cpu = client.loop_lag_p99_s, client.loop_lag_max_s, client.cpu_share
    yield from _excess(run)
    if lag_s is not None:
        yield LOOP_ON_TIME.check(
            lag_s <= limits.loop_lag_s,
            f"late by {lag_s * 1e3:.1f} ms at p99 of the time, {(longest_s or lag_s) * 1e3:.0f} ms at most",
            OWN_CORE,
        )
    if cpu is not None:
        yield NOT_SATURATED.check(
            cpu <= limits.client_cpu,
            f"{'the busiest worker of the ' if client.workers else ''}client used {cpu:.0%} of one core",
            "the numbers are the client's, not the server's: lower the concurrency, or set workers=N",
        )
    if longest_s is not None:
        yield RAN_THROUGHOUT.check(
            longest_s <= limits.stall_s,
            f"the client stood still for {longest_s:.1f} s (suspended, swapped out, or starved of its core)",
            "run it again; column loop_lag_s of the rows tells which requests were open then",
        )
    yield from _rows(run)


def _excess(run: Evidence) -> Iterator[Check]:
    """Judge what the client's lateness may have added to each headline time; name the worst of them."""
    excess = run.summary.client.excess
    if excess is None:
        return
    times = [
        (math.inf if item.share is None else item.share, f"{NAMES[owner, metric]} {percentile}", item)
        for owner, metrics in (("request", excess.per_request), ("trace", excess.per_trace))
        for metric, percentiles in metrics.items()
        for percentile, item in percentiles.items()
    ]
    times = [time for time in times if time[2].seconds > RESOLUTION_S] or times[:1]
    if not times:
        return
    (share, name, item), *others = sorted(times, key=lambda time: -time[0])
    limit = run.settings.limits.client_error
    noted = [f"{name} {_too_much(share, item)}" for share, name, item in others if share > limit / 2]
    also = f"; so may {', '.join(noted[:NOTED])}{', and more' if len(noted) > NOTED else ''}" if noted else ""
    yield ON_TIME.check(
        share <= limit or item.seconds <= RESOLUTION_S,
        f"{name} may be up to {_too_much(share, item)} too high{also}",
        OWN_CORE,
    )


def _too_much(share: float, excess: Excess) -> str:
    milliseconds = excess.seconds * 1e3
    how = "all of it" if math.isinf(share) else f"{share:.1%}"
    return f"{milliseconds:,.{1 if milliseconds < 99 else 0}f} ms ({how})"


def _rows(run: Evidence) -> Iterator[Check]:
    at_once = run.summary.one_read_share
    if at_once is not None:
        yield TOKENS_SEEN.check(
            at_once <= AT_ONCE_SHARE,
            f"{at_once:.1%} of the answers of several chunks came whole, in one read",
            "their TTFT and decode speed are those of a buffer: a proxy that collects, a server that flushes late, or "
            "a client that is kept from its core",
        )
    suspect = run.summary.client.suspect_share or 0.0
    yield FEW_SUSPECT.check(
        suspect <= SUSPECT_SHARE,
        f"{suspect:.1%} of the requests were open while the loop was late by more than 5 ms",
        "look at the column loop_lag_s of the rows",
    )
