"""Service level objectives as people type them: `ttft_s<2@p95, request_ttft_s<1@p99, failed<1%`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from trie.errors import ConfigError, near_miss
from trie.metrics import definitions
from trie.metrics.definitions import Metric

Level = Literal["trace", "request", "run"]

DEFAULT_TIER = ""  # of an SLO without tiers
HOW = "METRIC<LIMIT@STATISTIC, such as ttft_s<2@p95, or failed<1%"
PERCENTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
STATISTICS = (*PERCENTILES, "mean", "max")
REQUEST = "request_"  # in front of a metric of requests, where traces have one of the same name
FAILED = "failed"
STEADY = "steady_state"

_LIMIT = re.compile(
    r"(?P<name>[A-Za-z_][\w.]*)(?:@(?P<early>\w+))?\s*(?P<sign><=|>=|<|>)\s*"
    r"(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)\s*(?P<percent>%?)(?:\s*@\s*(?P<statistic>\w+))?"
)


@dataclass(frozen=True, slots=True)
class Objective:
    """One limit on one number of a run."""

    text: str
    metric: Metric
    name: str  # as typed
    statistic: str  # p50, p90, p95, p99, mean, max; steady_state of a rate; empty of a share
    upper: bool  # the value must stay below the limit; False: above it
    limit: float  # in the unit of summary.json
    tier: str = DEFAULT_TIER

    @property
    def level(self) -> Level:
        """What the metric has a value for."""
        levels: dict[str, Level] = {definitions.PER_TRACE.key: "trace", definitions.PER_REQUEST.key: "request"}
        return levels.get(self.metric.section.key, "run")

    @property
    def path(self) -> str:
        """Where summary.json has the number."""
        return f"{self.metric.path}.{self.statistic}" if self.statistic else self.metric.path

    @property
    def quantile(self) -> float | None:
        """Of a percentile, the share of values below it."""
        return PERCENTILES.get(self.statistic)

    def meets(self, value: float) -> bool:
        """Whether a value is within the limit."""
        return value < self.limit if self.upper else value > self.limit


def tiers(setting: str | Mapping[str, Any] | None) -> Mapping[str, str]:
    """The expressions of the setting `slo` by tier: one without a name, or one for each name.

    Raises:
        ConfigError: for what is neither.
    """
    if setting is None:
        return {}
    if isinstance(setting, str):
        return {DEFAULT_TIER: setting}
    if not isinstance(setting, Mapping) or not all(isinstance(text, str) for text in setting.values()):
        raise ConfigError(f"slo={setting}: must be text ({HOW}) or a text for each tier (slo.fast=..., slo.batch=...)")
    return {str(tier): text for tier, text in setting.items()}


def parse_all(setting: str | Mapping[str, Any] | None) -> tuple[Objective, ...]:
    """Every objective of the setting `slo`.

    Raises:
        ConfigError: naming the part that is wrong.
    """
    return tuple(objective for tier, text in tiers(setting).items() for objective in parse(text, tier))


def parse(text: str, tier: str = DEFAULT_TIER) -> tuple[Objective, ...]:
    """The objectives of one expression.

    Raises:
        ConfigError: for what can't be read, an unknown metric or statistic, and limits that no server can keep.
    """
    where = f"slo.{tier}" if tier else "slo"
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise ConfigError(f"{where}={text!r}: is empty; give {HOW}")
    objectives = tuple(_objective(part, where, tier) for part in parts)
    for one, other in combinations(objectives, 2):
        _refuse_contradiction(one, other, where)
    return objectives


def _objective(part: str, where: str, tier: str) -> Objective:
    match = _LIMIT.fullmatch(part)
    if match is None:
        raise ConfigError(f"{where}: {part!r}: must be {HOW}")
    metric = _metric(match["name"], part, where)
    statistic = _statistic(metric, match["statistic"] or match["early"], part, where)
    limit = float(match["number"])
    if match["percent"]:
        if metric.unit not in ("ratio", "%"):
            raise ConfigError(f"{where}: {part!r}: {match['name']} is in {metric.unit}, not in %")
        limit *= 1.0 if metric.unit == "%" else 0.01
    upper = match["sign"].startswith("<")
    _refuse_impossible(metric, limit, part, where, upper=upper)
    return Objective(part, metric, match["name"], statistic, upper, limit, tier)


def _metric(name: str, part: str, where: str) -> Metric:
    names = dict(_names())
    if name not in names:
        raise ConfigError(f"{where}: {part!r}: {name}: no such metric{near_miss(name, names) or _some(names)}")
    return names[name]


def _some(names: Mapping[str, Metric]) -> str:
    return f"; there are {', '.join(names)}"


def _names() -> Iterator[tuple[str, Metric]]:
    """What people may type: metrics of traces by their keys, of requests where no trace has one, and `failed`."""
    traces, requests = definitions.declared(definitions.PER_TRACE), definitions.declared(definitions.PER_REQUEST)
    of_traces = {metric.key for metric in traces}
    yield from ((metric.key, metric) for metric in traces)
    for metric in requests:
        yield f"{REQUEST}{metric.key}", metric
        if metric.key not in of_traces:
            yield metric.key, metric
    yield from ((metric.key, metric) for metric in definitions.declared(definitions.WORKLOAD) if not metric.expected)
    yield FAILED, definitions.metric_of("requests_failed_share")
    yield "hit_rate_pct", definitions.metric_of("cache.hit_rate_pct")


def _statistic(metric: Metric, typed: str | None, part: str, where: str) -> str:
    section = metric.section
    if section is definitions.WORKLOAD:
        allowed: Sequence[str] = (STEADY,)
    else:
        allowed = STATISTICS if section in (definitions.PER_TRACE, definitions.PER_REQUEST) else ()
    if not allowed:
        if typed is not None:
            raise ConfigError(f"{where}: {part!r}: {metric.label} is one number; leave out @{typed}")
        return ""
    if typed is None and allowed == (STEADY,):
        return STEADY
    if typed is None:
        raise ConfigError(f"{where}: {part!r}: of which statistic? add one of @{', @'.join(allowed)}")
    if typed not in allowed:
        raise ConfigError(f"{where}: {part!r}: @{typed}: must be one of {', '.join(allowed)}")
    return typed


def _refuse_impossible(metric: Metric, limit: float, part: str, where: str, *, upper: bool) -> None:
    """Limits that every server keeps, or none."""
    most = {"ratio": 1.0, "%": 100.0}.get(metric.unit)
    if upper and metric.better == "higher":
        raise ConfigError(f"{where}: {part!r}: higher is better, so the limit must be a lower one: >")
    if upper and most is not None and limit >= most:
        raise ConfigError(f"{where}: {part!r}: every server is below {most:g} {metric.unit}; a share has %: <1%")
    if upper and limit <= 0:
        raise ConfigError(f"{where}: {part!r}: no server is below 0; the limit must be above 0")
    if not upper and most is not None and limit >= most:
        raise ConfigError(f"{where}: {part!r}: no server is above {most:g} {metric.unit}; the limit must be below it")


def _refuse_contradiction(one: Objective, other: Objective, where: str) -> None:
    """Two limits of which one says the other again, or that no number can keep."""
    if one.metric is not other.metric:
        return
    if one.statistic == other.statistic and one.upper == other.upper:
        raise ConfigError(f"{where}: {one.text!r} and {other.text!r} limit the same number; keep one of them")
    if one.upper == other.upper:
        return
    below, above = (one, other) if one.upper else (other, one)
    if below.limit <= above.limit and _at_most(above.statistic, below.statistic):
        raise ConfigError(f"{where}: {below.text!r} and {above.text!r} contradict each other: no value keeps both")


def _at_most(one: str, other: str) -> bool:
    """Whether one statistic of any values is never above the other."""
    rank = {**PERCENTILES, "max": 1.0}
    if other in (one, "max"):
        return True
    return one in rank and other in rank and rank[one] <= rank[other]
