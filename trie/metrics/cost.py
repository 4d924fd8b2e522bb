"""What a run's rates cost, in money and in energy, for so many GPUs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trie.metrics.certainty.estimate import Estimate
from trie.metrics.certainty.section import Certainty, PopulationEstimates
from trie.metrics.stop_rule import is_sample

if TYPE_CHECKING:
    from trie.metrics.summary import Summary
    from trie.storage.manifest import Settings

POPULATION = "population"
HOUR_S = 3600.0
MILLION = 1e6


@dataclass(frozen=True, slots=True)
class Cost:
    """Money in the currency of `gpu_hour_cost`, energy in watt hours; None where the price or the power is not set."""

    tokens_from: str  # population or steady_state: whose rate of tokens
    traces_from: str  # population or completed: whose rate of traces
    per_million_completion_tokens: Estimate | None = None
    per_trace: Estimate | None = None
    traces_per_hour_per_gpu: Estimate | None = None
    traces_per_unit_of_cost: Estimate | None = None
    wh_per_million_completion_tokens: Estimate | None = None
    wh_per_trace: Estimate | None = None


def cost_of(summary: Summary, settings: Settings) -> Cost | None:
    """The cost at a run's rates, of all its GPUs, whether they are busy or not; None without a price and a power."""
    if settings.num_gpus is None or (settings.gpu_hour_cost is None and settings.gpu_watts is None):
        return None
    tokens_from, tokens = _tokens(summary)
    traces_from, traces = _traces(summary)
    gpus, price, watts = settings.num_gpus, settings.gpu_hour_cost, settings.gpu_watts
    return Cost(
        tokens_from,
        traces_from,
        per_million_completion_tokens=_for_each(tokens, price, gpus, MILLION),
        per_trace=_for_each(traces, price, gpus),
        traces_per_hour_per_gpu=_scaled(traces, HOUR_S / gpus),
        traces_per_unit_of_cost=None if price is None else _scaled(traces, HOUR_S / gpus / price),
        wh_per_million_completion_tokens=_for_each(tokens, watts, gpus, MILLION),
        wh_per_trace=_for_each(traces, watts, gpus),
    )


def _whole(certainty: Certainty | None) -> PopulationEstimates:
    """Of the whole workload, where the run bears the estimates out."""
    return certainty.population if certainty is not None and is_sample(certainty) else PopulationEstimates()


def _tokens(summary: Summary) -> tuple[str, Estimate | None]:
    """Completion tokens per second: of the whole workload where that is known, else of steady state."""
    certainty = summary.certainty
    if (whole := _whole(certainty).completion_tok_s) is not None:
        return POPULATION, whole
    rate = summary.workload["completion_tok_s"].steady_state
    known = certainty.steady_state.get("completion_tok_s") if certainty is not None else None
    return "steady_state", known or (None if rate is None else Estimate(rate))


def _traces(summary: Summary) -> tuple[str, Estimate | None]:
    """Traces per second: of the whole workload where that is known, else those that completed in the run's time."""
    if (whole := _whole(summary.certainty).trace_per_s) is not None:
        return POPULATION, whole
    return "completed", None if summary.trace_per_s is None else Estimate(summary.trace_per_s)


def _for_each(rate: Estimate | None, per_hour: float | None, gpus: int, units: float = 1.0) -> Estimate | None:
    """What so many units take, at a rate of them per second, of something that each GPU takes per hour."""
    if rate is None or per_hour is None or rate.value <= 0:
        return None
    numerator = per_hour * gpus / HOUR_S * units
    low = None if rate.high is None or rate.high <= 0 else numerator / rate.high
    high = None if rate.low is None or rate.low <= 0 else numerator / rate.low
    return Estimate(numerator / rate.value, low, high)


def _scaled(rate: Estimate | None, factor: float) -> Estimate | None:
    if rate is None:
        return None
    low, high = (None if end is None else end * factor for end in (rate.low, rate.high))
    return Estimate(rate.value * factor, low, high)
