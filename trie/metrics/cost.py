"""What a run's rates cost, in money and in energy, for so many GPUs."""

from __future__ import annotations

from dataclasses import dataclass

HOUR_S = 3600.0
MILLION = 1e6


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and the ends of its interval; None where there is no interval."""

    value: float
    low: float | None = None
    high: float | None = None

    def times(self, factor: float) -> Estimate:
        """The same in another unit."""
        return Estimate(
            self.value * factor,
            None if self.low is None else self.low * factor,
            None if self.high is None else self.high * factor,
        )

    def inverse(self, numerator: float) -> Estimate | None:
        """`numerator` / this; None where this may be 0."""
        if self.value <= 0:
            return None
        low = None if self.high is None or self.high <= 0 else numerator / self.high
        high = None if self.low is None or self.low <= 0 else numerator / self.low
        return Estimate(numerator / self.value, low, high)


@dataclass(frozen=True, slots=True)
class Cost:
    """Money in the currency of `gpu_hour_cost`, energy in watt hours; None where the price or the power is not set."""

    tokens_from: str  # population or steady_state: whose rate of tokens
    traces_from: str  # population or completed: whose rate of traces
    per_million_completion_tokens: Estimate | None = None
    per_trace: Estimate | None = None
    traces_per_hour_per_gpu: Estimate | None = None
    traces_per_unit: Estimate | None = None  # of the currency
    wh_per_million_completion_tokens: Estimate | None = None
    wh_per_trace: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Rates:
    """What the cost is spread over."""

    tokens_from: str
    completion_tok_s: Estimate | None
    traces_from: str
    trace_per_s: Estimate | None


def cost(rates: Rates, *, num_gpus: int, gpu_hour_cost: float | None, gpu_watts: float | None) -> Cost:
    """The cost at these rates of so many GPUs, whether they are busy or not."""
    tokens, traces = rates.completion_tok_s, rates.trace_per_s

    def per_token(per_hour: float | None) -> Estimate | None:
        return None if per_hour is None or tokens is None else tokens.inverse(per_hour * num_gpus / HOUR_S * MILLION)

    def per_trace(per_hour: float | None) -> Estimate | None:
        return None if per_hour is None or traces is None else traces.inverse(per_hour * num_gpus / HOUR_S)

    return Cost(
        tokens_from=rates.tokens_from,
        traces_from=rates.traces_from,
        per_million_completion_tokens=per_token(gpu_hour_cost),
        per_trace=per_trace(gpu_hour_cost),
        traces_per_hour_per_gpu=None if traces is None else traces.times(HOUR_S / num_gpus),
        traces_per_unit=None
        if traces is None or gpu_hour_cost is None
        else traces.times(HOUR_S / num_gpus / gpu_hour_cost),
        wh_per_million_completion_tokens=per_token(gpu_watts),
        wh_per_trace=per_trace(gpu_watts),
    )
