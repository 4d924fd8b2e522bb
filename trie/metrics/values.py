"""The values of the declared metrics, by their formulas, out of a run's rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from trie.metrics import definitions
from trie.metrics.columns import Columns, Floats, in_order
from trie.metrics.definitions.metric import Metric, Ratio, RunRows, Several, Single, Sums, Values
from trie.metrics.traces import Traces


def per_trace(columns: Columns, sessions: Traces, *, stream: bool) -> dict[str, Floats]:
    """One value for each session, by key; NaN where it was not measured or the trace did not complete."""
    return {
        metric.key: np.where(sessions.completed & sessions.whole, columns.kept(metric.path, formula.of), np.nan)
        if stream or not formula.streaming
        else np.full(len(sessions.completed), np.nan)
        for metric, formula in _values(definitions.PER_TRACE)
    }


class RequestValues(Mapping[str, Floats]):
    """One value for each request that ended well, by key; NaN where it was not measured.

    Of very many requests those of a metric are worked out each time that they are asked for.
    """

    def __init__(self, columns: Columns, *, stream: bool) -> None:
        self._columns, self._stream = columns, stream
        self._metrics = {metric.key: (metric, formula) for metric, formula in _values(definitions.PER_REQUEST)}

    def __getitem__(self, key: str) -> Floats:
        metric, formula = self._metrics[key]
        if not self._stream and formula.streaming:
            return np.full(int(self._columns.outcome("ok").sum()), np.nan)
        return self._columns.kept(metric.path, lambda block: formula.of(block)[block.outcome("ok")])

    def ordered(self, key: str) -> Floats:
        """Those that were measured, sorted."""
        path = f"{self._metrics[key][0].path}{'' if self._stream else ', not streamed'}, in order"
        return self._columns.derived(path, lambda: in_order(self[key]))

    def __iter__(self) -> Iterator[str]:
        return iter(self._metrics)

    def __len__(self) -> int:
        return len(self._metrics)


def per_request(columns: Columns, *, stream: bool) -> RequestValues:
    """The values of requests."""
    return RequestValues(columns, stream=stream)


def tokens(columns: Columns) -> dict[str, Floats]:
    """The tokens that each request adds to a throughput when it completes, by key."""
    return {metric.key: formula.of(columns) for metric, formula in _values(definitions.WORKLOAD)}


def ratios(columns: Columns, *, stream: bool) -> Iterator[tuple[str, Sums]]:
    """The two sums of each metric that is a ratio, row by row, with its path in summary.json."""
    for metric in definitions.METRICS:
        if isinstance(metric.formula, Ratio) and (stream or not metric.formula.streaming):
            yield metric.path, metric.formula.of(columns)


def of_run(rows: RunRows, *, stream: bool) -> dict[str, float | None]:
    """Every number of a run that has a formula, by path in summary.json."""
    numbers: dict[str, float | None] = {}
    quotients = _quotients(rows.columns, stream=stream)
    for metric in definitions.declared(definitions.RUN):
        if isinstance(metric.formula, Ratio):
            numbers[metric.path] = quotients.get(metric.path)
        elif isinstance(metric.formula, Single):
            numbers[metric.path] = metric.formula.of(rows)
        elif isinstance(metric.formula, Several):
            measured = stream or not metric.formula.streaming
            numbers |= _parts(metric, metric.formula.of(rows) if measured else {})
    return numbers


def _quotients(columns: Columns, *, stream: bool) -> dict[str, float | None]:
    """The ratios, by path; None where there is nothing below the line."""

    def sums(block: Columns) -> dict[str, Floats]:
        return {path: np.array([above.sum(), below.sum()]) for path, (above, below) in ratios(block, stream=stream)}

    totals: dict[str, Floats] = {}
    for of_block in columns.of_blocks(sums):
        totals = {path: totals.get(path, 0.0) + of_path for path, of_path in of_block.items()}
    return {path: float(above) / float(below) if below > 0 else None for path, (above, below) in totals.items()}


def _values(section: definitions.Section) -> Iterator[tuple[Metric, Values]]:
    for metric in definitions.declared(section):
        assert isinstance(metric.formula, Values)
        yield metric, metric.formula


def _parts(metric: Metric, values: Mapping[str, float | None] | None) -> dict[str, float | None]:
    """The numbers of a metric by path; the metric itself, as None, where nothing was measured."""
    if values is None:
        return {metric.path: None}
    return {number.key: values.get(number.part.key) for number in metric.numbers() if number.part is not None}
