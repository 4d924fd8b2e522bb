"""By how much the client's own lateness may have raised each headline statistic.

A row says how long the client's event loop stood still while the request's first token was awaited, and after it. A
time that was reported may be too long by so much. The statistic of the reported times and the one of the times without
that differ by the excess: what the client may have added, at most.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from trie.metrics.columns import Columns, Floats
from trie.metrics.definitions.metric import STATISTICS
from trie.metrics.sections import Excess, Excesses

JUDGED = ("p50", "p90", "p99")
LEAST = {part.key: part.least for part in STATISTICS if part.key in JUDGED}

ByMetric = Mapping[str, Mapping[str, Excess]]


def excesses(columns: Columns, of_traces: Mapping[str, Floats], *, stream: bool) -> Excesses:
    """What the client may have added to the percentiles of requests that ended well and of traces that completed."""
    return Excesses(_of_requests(columns, stream=stream), _of_traces(columns, of_traces))


def _of_requests(columns: Columns, *, stream: bool) -> ByMetric:
    ok = columns.outcome("ok")
    ttft, latency = columns["first_token_s"] - columns["sent_s"], columns["end_s"] - columns["sent_s"]
    first, later = _lags(columns)
    times = {"ttft_s": _percentiles(ttft[ok], first[ok])} if stream else {}
    return {**times, "latency_s": _percentiles(latency[ok], np.maximum(first, later)[ok])}


def _of_traces(columns: Columns, of_traces: Mapping[str, Floats]) -> ByMetric:
    """A first token that came late in one request delays all later requests of its trace, as its sub-agents do."""
    first, later = _lags(columns)
    each = np.maximum(first, later)
    whole = columns.with_subagents(each)
    until_final = whole - each[columns.ends] + first[columns.ends]
    lags = {"ttft_s": first[columns.starts], "ttfat_s": until_final, "latency_s": whole}
    return {key: _percentiles(of_traces[key], lag) for key, lag in lags.items()}


def _lags(columns: Columns) -> tuple[Floats, Floats]:
    """Until the first token, and after it; rows from before these columns have one lag for the whole request."""
    first, later, whole = columns["first_token_lag_s"], columns["later_lag_s"], columns["loop_lag_s"]
    return (first, later) if first.any() or later.any() else (whole, whole)


def _percentiles(values: Floats, lags: Floats) -> dict[str, Excess]:
    measured = np.isfinite(values)
    values, without = values[measured], np.maximum(values - lags, 0.0)[measured]
    names = [name for name, least in LEAST.items() if len(values) >= least]
    ranks = [int(name[1:]) for name in names]
    pairs = zip(np.percentile(values, ranks), np.percentile(without, ranks), strict=True) if names else ()
    return {name: _excess(float(a), float(b)) for name, (a, b) in zip(names, pairs, strict=False)}


def _excess(reported: float, without: float) -> Excess:
    return Excess(reported - without, reported / without - 1.0 if without > 0 else None)
