"""Every metric, declared once: summaries, tables, pages, plots, comparisons, exports and documents read `METRICS`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from trie.metrics.definitions.activity import ACTIVITY_METRICS
from trie.metrics.definitions.cache import CACHE_METRICS
from trie.metrics.definitions.censoring import CENSORING_METRICS
from trie.metrics.definitions.client import CLIENT_METRICS
from trie.metrics.definitions.decisions import DECISION_METRICS
from trie.metrics.definitions.engine import ENGINE_METRICS
from trie.metrics.definitions.lengths import LENGTH_METRICS
from trie.metrics.definitions.load import LOAD_METRICS
from trie.metrics.definitions.metric import (
    PER_REQUEST,
    PER_TRACE,
    RUN,
    SECTIONS,
    STATISTICS,
    WINDOWS,
    WORKLOAD,
    Metric,
    Number,
    Part,
    Section,
)
from trie.metrics.definitions.per_request import REQUEST_METRICS
from trie.metrics.definitions.per_trace import TRACE_METRICS
from trie.metrics.definitions.run import COUNTS, RUN_METRICS
from trie.metrics.definitions.warm_up import WARM_UP_METRICS
from trie.metrics.definitions.workload import WORKLOAD_METRICS

__all__ = [
    "METRICS", "PER_REQUEST", "PER_TRACE", "RUN", "SECTIONS", "STATISTICS", "WINDOWS", "WORKLOAD", "Metric", "Number",
    "Part", "Section", "declared", "headlines", "metric_of", "number_of", "numbers",
]  # fmt: skip

METRICS: tuple[Metric, ...] = (
    *COUNTS,
    *WORKLOAD_METRICS,
    *TRACE_METRICS,
    *REQUEST_METRICS,
    *RUN_METRICS,
    *CENSORING_METRICS,
    *WARM_UP_METRICS,
    *LOAD_METRICS,
    *ACTIVITY_METRICS,
    *LENGTH_METRICS,
    *CACHE_METRICS,
    *CLIENT_METRICS,
    *ENGINE_METRICS,
    *DECISION_METRICS,
)


def declared(section: Section) -> list[Metric]:
    """The metrics of a section, in the order of its table."""
    return [metric for metric in METRICS if metric.section is section]


def numbers() -> Iterator[Number]:
    """Every number that has a declaration."""
    for metric in METRICS:
        yield from metric.numbers()


def number_of(key: str) -> Number | None:
    """The number at a path of summary.json; None where none is declared."""
    return next((number for metric in METRICS if (number := metric.number(key)) is not None), None)


def headlines(report: Literal["sweep", "compare"]) -> list[Number]:
    """The numbers that a report shows first."""
    return [
        number
        for metric in METRICS
        for number in metric.numbers()
        if (number.part.key if number.part else "") in getattr(metric.headline, report)
    ]


def metric_of(path: str) -> Metric:
    """The metric at a path of summary.json."""
    return next(metric for metric in METRICS if metric.path == path)
