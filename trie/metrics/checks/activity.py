"""Checks of the server's activity: did it answer to the end, and at one rate?"""

from __future__ import annotations

from collections.abc import Iterator

from trie.metrics.checks.check import Check, Condition, Evidence

STUCK_SHARE = 0.05  # of the time of all slots, above which stuck requests spoil the numbers
STEADY_SHARE = 0.25  # by which steady state may differ from the whole run

ANSWERED_TO_THE_END = Condition(
    "answered_to_the_end", "error", "the server answered to the end", "the server fell silent before the end"
)
NONE_STUCK = Condition("none_stuck", "warning", "no request was stuck", "requests were stuck at the end")
STEADY_LIKE_WHOLE = Condition(
    "steady_like_whole", "warning", "steady state is like the whole run", "steady state is unlike the whole run"
)
CONDITIONS = (ANSWERED_TO_THE_END, NONE_STUCK, STEADY_LIKE_WHOLE)


def activity_checks(run: Evidence) -> Iterator[Check]:
    """Of what was open at the end, and of the rate."""
    silence = run.summary.silence
    if silence is not None and silence.open_requests:
        before = silence.longest_before_s
        yield ANSWERED_TO_THE_END.check(
            not silence.dead,
            f"nothing came in the last {silence.at_end_s:.1f} of {run.summary.wall_time_s:.0f} s, with requests in "
            f"flight (open at the end: {silence.open_requests})"
            + ("" if before is None else f"; the longest silence before was {before:.1f} s"),
            "the server hangs or died: see its log; the requests that it left open are in no latency",
        )
        yield from _stuck(run)
    rates = run.summary.workload["completion_tok_s"]
    if rates.steady_state is not None and rates.overall:
        change = rates.steady_state / rates.overall - 1.0
        yield STEADY_LIKE_WHOLE.check(
            abs(change) <= STEADY_SHARE,
            f"{rates.steady_state:,.0f} tok/s after the first fifth, {rates.overall:,.0f} over the whole run "
            f"({change:+.0%})",
            "the rate did not hold, or the run is short beside its requests: look at it over time, and run longer",
        )


def _stuck(run: Evidence) -> Iterator[Check]:
    silence = run.summary.silence
    if silence is None or silence.longest_wait_s is None:
        return
    slots_s = run.settings.slots * run.summary.wall_time_s
    yield NONE_STUCK.check(
        not silence.stuck_requests,
        f"{silence.stuck_requests} of {silence.open_requests} requests that were open at the end had brought nothing "
        f"for more than twice as long as any that ended well ({silence.longest_wait_s:.1f} s)",
        "one of several servers may hang: the time of these slots is lost, and the requests are in no latency",
        level="error" if silence.stuck_s > STUCK_SHARE * slots_s else "warning",
    )
