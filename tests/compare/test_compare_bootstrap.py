"""The bootstrap against runs that are really laid out again, and on data whose truth is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from trie.compare import bootstrap
from trie.compare.bootstrap import draw, interval, of_ratio, of_sample

QUANTILES = (0.5, 0.9, 0.99)


@pytest.mark.parametrize("blocks", [1, 5, 57, 128])
def test_weighted_statistics_are_those_of_the_resample_laid_out(blocks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """numpy on the values repeated as often as their trace was drawn; whatever the blocks."""
    monkeypatch.setattr(bootstrap, "BLOCKS", blocks)
    rng = np.random.default_rng(3)
    values, owner = rng.lognormal(size=57), rng.integers(0, 20, 57)
    weights = draw(rng, np.zeros(20, np.int64), 100)
    found = of_sample(values, owner, weights, QUANTILES)
    for resample, drawn in zip(found, weights, strict=True):
        again = np.repeat(values, drawn[owner].astype(int))
        expected = [again.mean(), *np.percentile(again, [100 * quantile for quantile in QUANTILES])]
        assert resample == pytest.approx(expected, rel=1e-12)


def test_a_resample_without_any_of_the_values_is_unknown() -> None:
    found = of_sample(np.array([1.0, 2.0]), np.array([0, 0]), np.array([[0.0, 2.0], [1.0, 1.0]]), (0.5,))
    assert np.isnan(found[0]).all()
    assert list(found[1]) == [1.5, 1.5]


def test_ratios_are_ratios_of_sums() -> None:
    """Traces of 1 and 3 tokens in 2 and 4 s: drawn 2 and 0 times 2/4, drawn 1 and 1 times 4/6, none 0/0."""
    found = of_ratio(np.array([1.0, 3.0]), np.array([2.0, 4.0]), np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 0.0]]))
    assert found[:2] == pytest.approx([0.5, 4 / 6])
    assert np.isnan(found[2])


def test_every_stratum_keeps_its_size() -> None:
    strata = np.array([3, 1, 3, 2, 3, 1])
    weights = draw(np.random.default_rng(0), strata, 500)
    for stratum, size in ((1, 2), (2, 1), (3, 3)):
        assert (weights[:, strata == stratum].sum(axis=1) == size).all()
    assert weights[:, 3].min() == 1  # alone in its stratum
    assert weights.mean(axis=0) == pytest.approx(np.ones(6), abs=0.15)


def test_interval_holds_the_confidence_it_says() -> None:
    assert interval(np.arange(1001.0), 0.95) == pytest.approx((25.0, 975.0))
    assert interval(np.array([1.0, np.nan]), 0.95) is None


Make = Callable[[np.random.Generator, int], tuple[NDArray[np.float64], NDArray[np.float64]]]


def apart(rng: np.random.Generator, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.exp(rng.normal(0, 0.8, n)), 1.15 * np.exp(rng.normal(0, 0.8, n))


def together(rng: np.random.Generator, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same traces in both, each with its own length; the second run is 15 % slower."""
    traces = rng.normal(0, 0.7, n)
    return np.exp(traces + rng.normal(0, 0.4, n)), 1.15 * np.exp(traces + rng.normal(0, 0.4, n))


@pytest.mark.parametrize(("make", "paired"), [(apart, False), (together, True)])
def test_intervals_cover_the_truth_as_often_as_they_say(make: Make, paired: bool) -> None:
    """200 pairs of runs of 100 traces whose true medians are known: 95 % intervals miss them in about 10.

    At a true rate of 5 %, more than 21 misses of 200 or none have a probability below 0.1 %.
    """
    rng = np.random.default_rng(11)
    n, misses = 100, 0
    for _ in range(200):
        before, after = make(rng, n)
        weights = draw(rng, np.zeros(n, np.int64), 200)
        other = weights if paired else draw(rng, np.zeros(n, np.int64), 200)
        medians = [
            of_sample(values, np.arange(n), w, (0.5,))[:, 1] for values, w in ((before, weights), (after, other))
        ]
        bounds = interval(medians[1] - medians[0], 0.95)
        assert bounds is not None
        misses += not bounds[0] <= 0.15 <= bounds[1]  # median of a lognormal around 0: 1.15 - 1
    assert 1 <= misses <= 21


def test_pairing_takes_the_length_of_traces_out_of_the_difference() -> None:
    rng = np.random.default_rng(5)
    before, after = together(rng, 200)
    weights, other = (draw(rng, np.zeros(200, np.int64), 400) for _ in range(2))
    means = [of_sample(before, np.arange(200), weights, ())[:, 0], of_sample(after, np.arange(200), weights, ())[:, 0]]
    alone = of_sample(after, np.arange(200), other, ())[:, 0]
    assert np.std(means[1] - means[0]) < 0.8 * np.std(alone - means[0])
