"""The end of a run by `stop_when=slo`: once every objective is surely met, or one is surely missed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf

from trie.metrics.certainty.estimate import CONFIDENCE, Estimate
from trie.metrics.certainty.student import t_quantile
from trie.metrics.slo.answers import WORDS, answer
from trie.metrics.slo.evaluate import NORMAL, Judged, Run, judge
from trie.metrics.slo.expression import Objective
from trie.metrics.stop_rule import CONFIDENCE as SURE
from trie.metrics.stop_rule import NEXT
from trie.one_line import lasting


@dataclass(frozen=True, slots=True)
class SloLook:
    """What a look at a run said of its objectives."""

    at_s: float
    judged: tuple[Judged, ...]

    @property
    def precise(self) -> bool:
        """Whether the answer of each tier is known."""
        tiers = {one.tier for one in self.judged}
        return all(answer([one.met for one in self.judged if one.tier == tier]) != "unsure" for tier in tiers)

    @property
    def next_s(self) -> float:
        """When to look again."""
        return self.at_s * NEXT

    def line(self, duration_s: float = inf) -> str:
        """For people: what of the objectives is sure."""
        said = ", ".join(f"{one.expression} {WORDS[one.met]}" for one in self.judged)
        return said if self.precise else f"{said}: until {lasting(duration_s)} at most"


def slo_look(run: Run, objectives: Sequence[Objective], at_s: float) -> SloLook:
    """Judge the objectives by wider intervals than those of the report, since a run is looked at more than once."""
    return SloLook(at_s, judge(replace(run, widen=wider), objectives))


def wider(estimate: Estimate) -> Estimate:
    """The estimate with the interval that decides."""
    if estimate.low is None or estimate.high is None:
        return estimate
    freedom = estimate.degrees_of_freedom or NORMAL
    factor = t_quantile((1 + SURE) / 2, freedom) / t_quantile((1 + CONFIDENCE) / 2, freedom)
    low = estimate.value - factor * (estimate.value - estimate.low)
    high = estimate.value + factor * (estimate.high - estimate.value)
    return replace(estimate, low=low, high=high)
