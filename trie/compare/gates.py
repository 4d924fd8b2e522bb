"""Conditions under which a comparison fails: `ttft_s.p99 > +10%`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from trie.compare.differences import Difference
from trie.errors import ConfigError
from trie.metrics.metric_names import resolve

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_GATE = re.compile(r"\s*([\w.]+)\s*(>=|<=|>|<)\s*([+-]?)\s*(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)\s*(%?)\s*")
SLO = "slo"  # a condition of its own: the candidate missed its objectives
HOW = "a metric, one of > >= < <=, and a value (2.5), a change (+0.2) or a relative change (+10%); or slo"


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition; it fails where it is true."""

    text: str
    metric: str  # as typed; `resolve` finds its key
    comparison: str
    limit: float
    of: Literal["value", "change", "relative", "slo"]


@dataclass(frozen=True, slots=True)
class Judged:
    """A gate on one pair of runs; `value` is None where the number was not measured, which fails as well."""

    gate: Gate
    key: str
    value: float | None
    failed: bool
    certain: bool | None  # whether the whole interval is on that side; None where runs of one side can't be compared
    beyond_noise: bool | None = None  # the same of the interval of this pair, be it of one run each; None without one
    same_run: bool = False  # on both sides

    @property
    def text(self) -> str:
        """The value, for people."""
        if self.value is None:
            return "not measured in both" if self.gate.of != "value" else "not measured"
        if self.gate.of == "slo":
            return f"{self.value:g} objectives missed" if self.certain else "not sure whether an objective is missed"
        form = {"relative": "+.1%", "change": "+.4g", "value": ".4g"}[self.gate.of]
        return f"{self.value:{form}}{', the same run' if self.same_run else self._sure}"

    @property
    def _sure(self) -> str:
        """Where the interval lies; one run on a side knows no more than this pair."""
        if self.beyond_noise is None:
            return ""
        side = "beyond" if self.failed else "inside"
        where = f"{side} the limit by more than noise" if self.beyond_noise else "within noise of the limit"
        return f", {where}" if self.certain is not None else f", {where} in this pair"


def parse(text: str) -> Gate:
    """A condition as typed.

    Raises:
        ConfigError: saying what is allowed.
    """
    if text.strip() == SLO:
        return Gate(SLO, SLO, "", 0.0, "slo")
    match = _GATE.fullmatch(text)
    if match is None:
        raise ConfigError(f"--fail-if {text!r}: must be {HOW}")
    metric, comparison, sign, number, percent = match.groups()
    if percent and not sign:
        raise ConfigError(f"--fail-if {text!r}: {number}% is no value; +{number}% is a change from the baseline")
    limit = float(f"{sign}{number}") / (100.0 if percent else 1.0)
    return Gate(text.strip(), metric, comparison, limit, "relative" if percent else "change" if sign else "value")


def judge_slo(gate: Gate, met: Sequence[str]) -> Judged:
    """The condition `slo`, by the answers of the candidate's objectives: it fails where one is surely missed.

    Raises:
        ConfigError: for a candidate without objectives.
    """
    if not met:
        raise ConfigError("--fail-if 'slo': the candidate was measured without slo=...; trie gate takes one afterwards")
    missed = sum(answer == "no" for answer in met)
    return Judged(gate, SLO, float(missed), failed=missed > 0, certain=missed > 0 or "unsure" not in met)


def judge(gate: Gate, differences: Iterable[Difference], *, same_run: bool = False) -> Judged:
    """A gate on the differences of two sides, which may be the same run.

    Raises:
        ConfigError: for a metric that there is not, with the near miss.
    """
    by_key = {difference.of.key: difference for difference in differences}
    try:
        of_workload = f"certainty.{gate.metric}"  # population.latency_s.p90
        key = of_workload if of_workload in by_key else resolve(gate.metric, by_key)
    except ConfigError as error:
        raise ConfigError(f"--fail-if {gate.text!r}: {error}") from None
    difference = by_key[key]
    values = {"value": difference.candidate, "change": difference.change, "relative": _relative(difference)}
    value = values[gate.of]
    if value is None:
        return Judged(gate, key, None, failed=True, certain=None)
    failed, one_side = COMPARISONS[gate.comparison](value, gate.limit), _one_side(gate, difference)
    certain = one_side if difference.repeated and not same_run else None
    return Judged(gate, key, value, failed, certain, beyond_noise=None if same_run else one_side, same_run=same_run)


def _relative(difference: Difference) -> float | None:
    """The relative change; from a baseline of 0 to 0 it is none."""
    return 0.0 if difference.change == 0 else difference.relative


def _one_side(gate: Gate, difference: Difference) -> bool | None:
    """Whether both ends of the interval are on the same side of the limit."""
    bounds = {
        "value": (None, None),
        "change": (difference.low, difference.high),
        "relative": (difference.relative_low, difference.relative_high),
    }[gate.of]
    if bounds[0] is None or bounds[1] is None:
        return None
    beyond = COMPARISONS[gate.comparison]
    return beyond(bounds[0], gate.limit) == beyond(bounds[1], gate.limit)
