"""By how much the client's own lateness may have raised each headline statistic.

A row says how long the client's event loop stood still while the request's first token was awaited, and after it. A
time that was reported may be too long by so much. The statistic of the reported times and the one of the times without
that differ by the excess: what the client may have added, at most.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from trie.metrics.columns import Columns, Floats
from trie.metrics.definitions.metric import STATISTICS
from trie.metrics.sections import Excess, Excesses

JUDGED = ("p50", "p90", "p99")
LEAST = {part.key: part.least for part in STATISTICS if part.key in JUDGED}

Formula = Callable[[Columns], Floats]
ByMetric = Mapping[str, Mapping[str, Excess]]


def excesses(columns: Columns, of_traces: Mapping[str, Floats], *, stream: bool) -> Excesses:
    """What the client may have added to the percentiles of requests that ended well and of traces that completed."""
    return Excesses(_of_requests(columns, stream=stream), _of_traces(columns, of_traces))


def _of_requests(columns: Columns, *, stream: bool) -> ByMetric:
    split = _split(columns)

    def ttft(block: Columns) -> Floats:
        return block["first_token_s"] - block["sent_s"]

    def latency(block: Columns) -> Floats:
        return block["end_s"] - block["sent_s"]

    times = {"ttft_s": _of_ok(columns, ttft, lambda block: _lags(block, split)[0])} if stream else {}
    return {**times, "latency_s": _of_ok(columns, latency, lambda block: np.maximum(*_lags(block, split)))}


def _of_ok(columns: Columns, time: Formula, lag: Formula) -> dict[str, Excess]:
    return _percentiles(
        columns.each(lambda block: time(block)[block.outcome("ok")]),
        columns.each(lambda block: lag(block)[block.outcome("ok")]),
    )


def _of_traces(columns: Columns, of_traces: Mapping[str, Floats]) -> ByMetric:
    """A first token that came late in one request delays all later requests of its trace, as its sub-agents do."""
    split = _split(columns)
    each = columns.each(lambda block: np.maximum(*_lags(block, split)))
    whole = columns.with_subagents(each)
    first = columns.each(lambda block: _lags(block, split)[0])
    until_final = whole - each[columns.ends] + first[columns.ends]
    lags = {"ttft_s": first[columns.starts], "ttfat_s": until_final, "latency_s": whole}
    return {key: _percentiles(of_traces[key], lag) for key, lag in lags.items()}


def _split(columns: Columns) -> bool:
    """Whether rows say how long the loop stood still before and after the first token; those of old runs don't."""
    return any(block["first_token_lag_s"].any() or block["later_lag_s"].any() for block in columns.blocks())


def _lags(columns: Columns, split: bool) -> tuple[Floats, Floats]:
    """Until the first token, and after it; where the rows don't tell them apart, that of the whole request."""
    if split:
        return columns["first_token_lag_s"], columns["later_lag_s"]
    return columns["loop_lag_s"], columns["loop_lag_s"]


def _percentiles(values: Floats, lags: Floats) -> dict[str, Excess]:
    measured = np.isfinite(values)
    values, lags = values[measured], lags[measured]  # copies, whose order and room are free to use
    names = [name for name, least in LEAST.items() if len(values) >= least]
    ranks = [int(name[1:]) for name in names]
    if not names:
        return {}
    on_time = not lags.any() and not (values < 0.0).any()
    earlier = values if on_time else np.maximum(np.subtract(values, lags, out=lags), 0.0, out=lags)
    reported = np.percentile(values, ranks, overwrite_input=True)
    without = reported if on_time else np.percentile(earlier, ranks, overwrite_input=True)
    pairs = zip(reported, without, strict=True)
    return {name: _excess(float(a), float(b)) for name, (a, b) in zip(names, pairs, strict=False)}


def _excess(reported: float, without: float) -> Excess:
    return Excess(reported - without, reported / without - 1.0 if without > 0 else None)
