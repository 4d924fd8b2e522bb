"""The values of the declared metrics, by their formulas, out of a run's rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from trie.metrics import definitions
from trie.metrics.columns import Columns, Floats
from trie.metrics.definitions.metric import Metric, Ratio, RunRows, Several, Single, Sums, Values
from trie.metrics.traces import Traces


def per_trace(columns: Columns, sessions: Traces, *, stream: bool) -> dict[str, Floats]:
    """One value for each session, by key; NaN where it was not measured or the trace did not complete."""
    return {
        metric.key: np.where(sessions.completed & sessions.whole, formula.of(columns), np.nan)
        if stream or not formula.streaming
        else np.full(len(sessions.completed), np.nan)
        for metric, formula in _values(definitions.PER_TRACE)
    }


def per_request(columns: Columns, *, stream: bool) -> dict[str, Floats]:
    """One value for each request that ended well, by key; NaN where it was not measured."""
    ok = columns.outcome("ok")
    return {
        metric.key: formula.of(columns)[ok] if stream or not formula.streaming else np.full(int(ok.sum()), np.nan)
        for metric, formula in _values(definitions.PER_REQUEST)
    }


def tokens(columns: Columns) -> dict[str, Floats]:
    """The tokens that each request adds to a throughput when it completes, by key."""
    return {metric.key: formula.of(columns) for metric, formula in _values(definitions.WORKLOAD)}


def ratios(columns: Columns, *, stream: bool) -> dict[str, Sums]:
    """The two sums of each metric that is a ratio, row by row, by path in summary.json."""
    return {
        metric.path: metric.formula.of(columns)
        for metric in definitions.METRICS
        if isinstance(metric.formula, Ratio) and (stream or not metric.formula.streaming)
    }


def of_run(rows: RunRows, *, stream: bool) -> dict[str, float | None]:
    """Every number of a run that has a formula, by path in summary.json."""
    numbers: dict[str, float | None] = {}
    quotients = {path: quotient(*both) for path, both in ratios(rows.columns, stream=stream).items()}
    for metric in definitions.declared(definitions.RUN):
        if isinstance(metric.formula, Ratio):
            numbers[metric.path] = quotients.get(metric.path)
        elif isinstance(metric.formula, Single):
            numbers[metric.path] = metric.formula.of(rows)
        elif isinstance(metric.formula, Several):
            measured = stream or not metric.formula.streaming
            numbers |= _parts(metric, metric.formula.of(rows) if measured else {})
    return numbers


def quotient(above: Floats, below: Floats) -> float | None:
    """The ratio of two sums; None where there is nothing below the line."""
    whole = float(below.sum())
    return float(above.sum()) / whole if whole > 0 else None


def _values(section: definitions.Section) -> Iterator[tuple[Metric, Values]]:
    for metric in definitions.declared(section):
        assert isinstance(metric.formula, Values)
        yield metric, metric.formula


def _parts(metric: Metric, values: Mapping[str, float | None] | None) -> dict[str, float | None]:
    """The numbers of a metric by path; the metric itself, as None, where nothing was measured."""
    if values is None:
        return {metric.path: None}
    return {number.key: values.get(number.part.key) for number in metric.numbers() if number.part is not None}
