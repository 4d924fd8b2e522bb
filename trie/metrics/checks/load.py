"""Checks of an open load: was it served as it came?"""

from __future__ import annotations

from collections.abc import Iterator

from trie.metrics.checks.check import Check, Condition, Evidence

WAITED_SHARE = 0.05  # of the traces that were due, above which the cap of active ones made the load
LEAST_DUE = 20  # in the later half, below which nothing can be said of the rate
BEHIND, FAR_BEHIND = 0.9, 0.75  # of the traces that are due in the later half, those that end

LOAD_ADMITTED = Condition(
    "load_admitted", "error", "traces began when they were due", "traces that were due had to wait"
)
LOAD_SERVED = Condition("load_served", "warning", "the load was served", "the load was not served")
CONDITIONS = (LOAD_ADMITTED, LOAD_SERVED)


def load_checks(run: Evidence) -> Iterator[Check]:
    """Nothing for a closed loop or a ramp."""
    load, most = run.summary.load, run.settings.load.max_active
    if load is None or not run.settings.load.is_open:
        return
    if load.waited_share is not None:
        never = f"; {load.not_begun} of them never began" if load.not_begun else ""
        yield LOAD_ADMITTED.check(
            load.waited_share <= WAITED_SHARE,
            f"{load.waited_share:.1%} of {load.traces_due} traces that were due waited for one of {most} slots, up to "
            f"{load.wait_max_s or 0.0:.1f} s{never}",
            "lower the rate, or raise load.max_active; latencies count the wait, rates are those of the slots",
        )
    if load.late_due is not None and load.late_due >= LEAST_DUE:
        share = (load.late_ended or 0) / load.late_due
        yield LOAD_SERVED.check(
            share >= BEHIND,
            f"in the later half of the run {load.late_due} traces were due and {load.late_ended} ended",
            "traces pile up: lower the rate, or run longer than traces last; times and rates are of a load that grows",
            level="error" if share < FAR_BEHIND else "warning",
        )
