"""Estimates for every trace of the workload: what the fit says of the requests that the run did not come to as well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from trie.metrics.certainty.estimate import CONFIDENCE, Estimate, jackknife
from trie.metrics.certainty.population import FEATURES, Population
from trie.metrics.certainty.requests_fit import Model
from trie.metrics.certainty.student import t_quantile
from trie.metrics.columns import Floats
from trie.metrics.in_threads import in_threads

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
MOST_TRACES = 20_000  # that the distributions are made of
NARROW = 1e-9  # of a mean, the least standard deviation of a trace's time

Share = Callable[[float], float]  # of the traces, those that took at most so long


def rates(model: Model, population: Population, concurrency: int) -> dict[str, Estimate | None]:
    """The throughputs of the closed loop: what the mean trace holds, over the time that it takes."""
    whole = population.whole.mean(0)
    wait = float(population.wait_s.mean())
    completion, new, context = (
        float(whole[FEATURES.index(name)]) for name in ("completion_tokens", "new_prompt_tokens", "context_tokens")
    )
    amounts = {
        "total_prompt_tok_s": new + context,
        "uncached_prompt_tok_s": new,
        "completion_tok_s": completion,
        "trace_per_s": 1.0,
    }
    value = concurrency / (wait + float(whole @ model.took.coefficients))
    without = concurrency / (wait + model.took.without @ whole)
    return {key: jackknife(amount * value, amount * without) for key, amount in amounts.items()}


@dataclass(frozen=True, slots=True)
class Distribution:
    """Times of all traces, from all blocks and without each of them."""

    mean: float
    means_without: Floats
    share: Share
    shares_without: Sequence[Share]
    bounds: tuple[float, float]  # between which all times are
    stepped: int = 0  # values that it is made of, where it is not smooth

    def estimates(self) -> dict[str, Estimate | None]:
        """The mean and the quantiles."""
        return {
            "mean": jackknife(self.mean, self.means_without),
            **{name: self._quantile(share) for name, share in QUANTILES.items()},
        }

    def quantile(self, share: float) -> float:
        """The time by which a share of the traces is done, by bisection."""
        low, high = self.bounds
        while high - low > 1e-7 * abs(high):
            middle = (low + high) / 2
            low, high = (middle, high) if self.share(middle) < share else (low, middle)
        return high

    def _quantile(self, share: float) -> Estimate | None:
        """Without a block it moves by as much as its share does, over the density."""
        value = self.quantile(share)
        shares = np.array([of(value) for of in self.shares_without])
        if self.stepped:
            return self._between(value, share, jackknife(share, shares))
        step = 0.01 * abs(value)
        density = (self.share(value + step) - self.share(value - step)) / (2 * step) if step > 0 else 0.0
        moved = value - (shares - share) / density if density > 0 else np.full(len(shares), np.nan)
        return jackknife(value, moved)

    def _between(self, value: float, share: float, of_share: Estimate | None) -> Estimate:
        """With the quantiles between which the share may in truth be; none where the values do not reach so far."""
        half, freedom = (None, None) if of_share is None else (of_share.half_width, of_share.degrees_of_freedom)
        if half is None or freedom is None or share <= half or share + half >= 1.0 - 1.0 / self.stepped:
            return Estimate(value)
        low, high = self.quantile(share - half), self.quantile(share + half)
        return Estimate(value, low, high, (high - low) / 2 / t_quantile((1 + CONFIDENCE) / 2, freedom), freedom)


def latency(model: Model, population: Population, *, intervals: bool = True) -> Distribution:
    """From the first send of a trace to the end of its last answer."""
    without = model.took.without if intervals else model.took.without[:0]
    whole = population.whole
    deviation = _deviation(model, whole, 0.0)
    expected = population.wait_s + whole @ model.took.coefficients
    return _normal(expected, population.wait_s + without @ whole.T, deviation)


def ttfat(model: Model, population: Population) -> Distribution | None:
    """From the first send of a trace to the first token of its last answer; None without fits of first tokens."""
    if model.first_ttft is None or model.later_ttft is None:
        return None
    before = population.whole - population.last
    only = population.whole[:, 0] == 1
    last = np.where(
        only, population.last @ model.first_ttft.coefficients, population.last @ model.later_ttft.coefficients
    )
    last_without = np.where(
        only, model.first_ttft.without @ population.last.T, model.later_ttft.without @ population.last.T
    )
    return _normal(
        population.wait_s + before @ model.took.coefficients + last,
        population.wait_s + model.took.without @ before.T + last_without,
        _deviation(model, before, model.later_ttft_variance),
    )


def _deviation(model: Model, requests: Floats, further: float) -> Floats:
    """Of the sum of requests: the variances of each, that which a session's share, and a further one."""
    own = np.maximum(requests @ model.per_request, 0.0)
    deviation: Floats = np.sqrt(own + requests[:, 0] ** 2 * model.per_session + further)
    return deviation


def _normal(expected: Floats, without: Floats, deviation: Floats) -> Distribution:
    """Each time is an expected one with a normal deviation of its own."""
    deviation = np.maximum(deviation, NARROW * max(abs(float(expected.mean())), NARROW))

    def share(times: Floats, time_s: float) -> float:
        return float(normal_probability((time_s - times) / deviation).mean())

    return Distribution(
        mean=float(expected.mean()),
        means_without=without.mean(1),
        share=partial(share, expected),
        shares_without=[partial(share, times) for times in without],
        bounds=(float((expected - 8 * deviation).min()), float((expected + 8 * deviation).max())),
    )


def ttft(model: Model, population: Population) -> Distribution | None:
    """From the first send of a trace to its first token: each trace's expected one with the residuals of the run."""
    fit = model.first_ttft
    if fit is None:
        return None
    x, y, block = model.first.x, model.first.ttft_s, model.first.block
    expected, without = population.first @ fit.coefficients, fit.without @ population.first.T

    def residuals_without(at: int) -> Floats:
        return np.sort((y - x @ fit.without[at])[block != at])

    residuals = np.sort(y - x @ fit.coefficients)
    return Distribution(
        mean=float(expected.mean()),
        means_without=without.mean(1),
        share=partial(_with_residuals, _descending(expected), residuals),
        shares_without=[
            partial(_with_residuals, _descending(times), of_others)
            for times, of_others in zip(without, in_threads(residuals_without, range(len(without))), strict=True)
        ],
        bounds=(float(expected.min() + residuals[0]) - NARROW, float(expected.max() + residuals[-1]) + NARROW),
        stepped=len(residuals),
    )


def _descending(values: Floats) -> Floats:
    return np.sort(values)[::-1]


def _with_residuals(expected: Floats, residuals: Floats, time_s: float) -> float:
    """Of all traces with all residuals, the share that took at most so long.

    `expected` is in descending order: instants in ascending order are found much sooner.
    """
    return float(np.searchsorted(residuals, time_s - expected, side="right").mean()) / max(len(residuals), 1)


def normal_probability(z: Floats) -> Floats:
    """The standard normal distribution function, to 1.5e-7 (Abramowitz and Stegun 7.1.26)."""
    x = np.abs(z) / np.sqrt(2.0)
    t = 1.0 / (1.0 + 0.3275911 * x)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    upper: Floats = 0.5 * series * np.exp(-x * x)
    return np.where(z >= 0, 1.0 - upper, upper)
