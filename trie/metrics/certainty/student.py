"""Quantiles of Student's t distribution, for any positive number of degrees of freedom."""

from __future__ import annotations

from functools import lru_cache
from math import exp, inf, lgamma, log, log1p

TINY, PRECISION = 1e-300, 1e-15


@lru_cache(maxsize=256)
def t_quantile(probability: float, degrees_of_freedom: float) -> float:
    """The value that a t-distributed one stays below with a probability between 0.5 and 1, by bisection."""
    low, high = 0.0, 1.0
    while t_probability(high, degrees_of_freedom) < probability:
        low, high = high, 2.0 * high
        if high == inf:
            return inf
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if t_probability(middle, degrees_of_freedom) < probability:
            low = middle
        else:
            high = middle
    return high


def t_probability(value: float, degrees_of_freedom: float) -> float:
    """The probability that a t-distributed value stays below a value of at least 0."""
    share = degrees_of_freedom / (degrees_of_freedom + value * value)
    return 1.0 - 0.5 * _incomplete_beta(degrees_of_freedom / 2, 0.5, share)


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularized incomplete beta function; by its continued fraction on the side where that converges fast."""
    if x <= 0.0 or x >= 1.0:
        return min(max(x, 0.0), 1.0)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1.0 - front * _fraction(b, a, 1.0 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function, by Lentz's method."""
    c, d = 1.0, 1.0 / _off_zero(1.0 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 500):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1.0 / _off_zero(1.0 + term * d)
            c = _off_zero(1.0 + term / c)
            value *= c * d
        if abs(c * d - 1.0) < PRECISION:
            break
    return value


def _off_zero(value: float) -> float:
    return value if abs(value) > TINY else TINY
