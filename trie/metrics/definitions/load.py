"""How an open load was served; the section comes as a whole from `trie.metrics.load_served`."""

from __future__ import annotations

from trie.metrics.definitions.metric import PERCENT, RUN, Metric

LOAD_METRICS = (
    Metric(
        section=RUN,
        key="load.rate",
        label="rate asked for",
        unit="traces/s",
        better=None,
        definition="traces that are due per second, as load.rate says",
    ),
    Metric(
        section=RUN,
        key="load.traces_due",
        label="traces due",
        unit="traces",
        better=None,
        definition="traces of an open load that were due before its end",
    ),
    Metric(
        section=RUN,
        key="load.waited",
        label="traces that waited",
        unit="traces",
        better="lower",
        definition="those that began later than they were due, since load.max_active traces were active",
    ),
    Metric(
        section=RUN,
        key="load.not_begun",
        label="traces that never began",
        unit="traces",
        better="lower",
        definition="those that still waited for a slot when the load ended; the Kaplan-Meier estimates count them in",
    ),
    Metric(
        section=RUN,
        key="load.waited_share",
        label="waited for a slot",
        unit="ratio",
        shown=PERCENT,
        better="lower",
        definition="traces that waited or never began / traces due",
    ),
    Metric(
        section=RUN,
        key="load.wait_p50_s",
        label="wait for a slot, p50",
        unit="s",
        better="lower",
        definition="median over all traces due of the time from due to begun, for those that never began to the end",
    ),
    Metric(
        section=RUN,
        key="load.wait_p90_s",
        label="wait for a slot, p90",
        unit="s",
        better="lower",
        definition="the same, 90th percentile",
    ),
    Metric(
        section=RUN,
        key="load.wait_max_s",
        label="longest wait for a slot",
        unit="s",
        better="lower",
        definition="the longest of them",
    ),
    Metric(
        section=RUN,
        key="load.late_due",
        label="traces due in the later half",
        unit="traces",
        better=None,
        definition="traces that were due in the later half of the load's time",
    ),
    Metric(
        section=RUN,
        key="load.late_ended",
        label="traces ended in the later half",
        unit="traces",
        better=None,
        definition="traces that completed or failed in that time: fewer than were due where the load is not served",
    ),
)
