"""The section `certainty` of summary.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trie.metrics.certainty.check import ModelCheck
from trie.metrics.certainty.estimate import CONFIDENCE, Estimate

Estimates = Mapping[str, Estimate | None]  # by mean, p50, p90, p99


@dataclass(frozen=True, slots=True)
class PopulationEstimates:
    """Of the whole workload, had the run come to all of it."""

    completion_tok_s: Estimate | None = None
    total_prompt_tok_s: Estimate | None = None
    uncached_prompt_tok_s: Estimate | None = None
    trace_per_s: Estimate | None = None
    latency_s: Estimates | None = None
    ttft_s: Estimates | None = None
    ttfat_s: Estimates | None = None


@dataclass(frozen=True, slots=True)
class FittedModel:
    """What the estimates for the whole workload rest on."""

    features: tuple[str, ...]
    r2: float
    requests: int
    check: ModelCheck


@dataclass(frozen=True, slots=True)
class Certainty:
    """Intervals of a run's numbers; None where there is none, and `why` then says the reason by path."""

    confidence: float = CONFIDENCE
    blocks: int | None = None
    cycle_s: float | None = None  # how long a trace takes, on average
    window_s: tuple[float, ...] | None = None  # of the steady state: from, to
    needs_s: float | None = None  # how long the run would have to be; None where it is long enough
    steady_state: Mapping[str, Estimate | None] = field(default_factory=dict)
    per_trace: Mapping[str, Estimates] = field(default_factory=dict)
    per_request: Mapping[str, Estimates] = field(default_factory=dict)
    population: PopulationEstimates = PopulationEstimates()
    model: FittedModel | None = None
    why: Mapping[str, str] = field(default_factory=dict)
