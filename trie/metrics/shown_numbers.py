"""Which numbers of a summary people are shown, and which with a mark; summary.json and sweep.parquet have them all.

A percentile takes values: the p99 of 20 traces is their maximum, by another name. And the times of traces that
completed are those of the short ones, the more so the more of them were cut off or failed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from trie.metrics import definitions
from trie.metrics.definitions import PER_REQUEST, PER_TRACE, Metric, Number

CUT_OFF_SHARE = 0.25  # cut off or failed, above which times of the others are no headlines
MARK = "*"
MARKED = "over completed ones alone"
OUTCOMES = {
    PER_TRACE.key: ("traces.completed", "traces.failed", "traces.cancelled"),
    PER_REQUEST.key: ("requests.ok", "requests.failed", "requests.cancelled"),
}  # of the units of a section, those first that its statistics are of

Values = Mapping[str, float | None]  # by path in summary.json


def enough(number: Number, values: Values) -> bool:
    """Whether so many values stand behind a statistic that it says something.

    A summary from before they were counted tells the most there can be.
    """
    if number.part is None or number.part.least <= 1:
        return True
    counted = values.get(f"{number.metric.path}.n")
    if counted is None and (outcomes := OUTCOMES.get(number.metric.section.key)):
        counted = values.get(outcomes[0])
    return counted is None or counted >= number.part.least


def shown(values: Values) -> dict[str, float | None]:
    """The same numbers, with None for each percentile of too few values."""
    return {**values, **{number.key: None for number in too_few(values)}}


def too_few(values: Values) -> Iterator[Number]:
    """The percentiles that too few values stand behind."""
    for number in definitions.numbers():
        if values.get(number.key) is not None and not enough(number, values):
            yield number


def cut_off_share(metric: Metric, values: Values) -> float | None:
    """The share of a metric's traces or requests that were cut off or failed; None for one that has no times."""
    if not metric.with_cut_off:
        return None
    ended, *others = (values.get(path) or 0.0 for path in OUTCOMES[metric.section.key])
    units = ended + sum(others)
    return 1.0 - ended / units if units else None


def marked(metric: Metric, values: Values) -> bool:
    """Whether its statistics speak for the short ones alone, so that they are no headlines."""
    return (cut_off_share(metric, values) or 0.0) > CUT_OFF_SHARE


def mark(metric: Metric, values: Values) -> str:
    """What stands behind the name of a metric, or behind its figures."""
    return MARK if marked(metric, values) else ""


def with_cut_off(number: Number, values: Values) -> float | None:
    """The estimate of the same statistic that counts in what was cut off; None where there is none."""
    part = number.part.key if number.part else ""
    return values.get(number.metric.with_cut_off.format(part=part))
