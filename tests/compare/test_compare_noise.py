"""How far a number may be off, against sums worked by hand and against runs whose noise is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from trie.compare.noise import Noise, cosines, noise, paired, together
from trie.compare.units import LOAD_MEMORY, PARTS, Contributions, Sample

Floats = NDArray[np.float64]


def wave(number: int, places: int) -> Floats:
    return np.cos(np.pi * number * (np.arange(places) + 0.5) / places)


def test_each_slow_movement_gives_a_square() -> None:
    """Over 4 places cos_1 times itself adds up to 2, times cos_2 to 0: of two squares (2 * 2^2, 0) the mean is 4."""
    assert noise(wave(1, 4), np.zeros(4), 2) == Noise(pytest.approx(4.0), 2)
    assert noise(wave(3, 4), np.zeros(4), 2).variance == pytest.approx(0.0)  # faster than the slowest two


def test_variance_over_time_and_over_sessions_are_added_without_what_both_hold() -> None:
    """4 over time, 4 over sessions, and 2 = sum of cos_1 squared as if the sessions were independent."""
    assert noise(wave(1, 4), wave(1, 4), 2).variance == pytest.approx(4 + 4 - 2)


def test_a_longer_run_has_more_of_them_and_a_short_one_none() -> None:
    assert [cosines(cycles, 5.0) for cycles in (4.9, 5.0, 14.0, 26.0, 1000.0)] == [None, 2, 2, 5, 20]
    assert cosines(6.0, 1.5) == 4


def test_independent_noise_is_added_with_welchs_degrees_of_freedom() -> None:
    """Variances 1 and 3 of 2 and 6 degrees: 4^2 / (1/2 + 9/6) = 8."""
    assert together([Noise(1.0, 2), Noise(3.0, 6)]) == Noise(4.0, 8.0)
    assert together([Noise(0.0, 2), Noise(0.0, 6)]) == Noise(0.0, 2)


def test_a_half_width_is_students() -> None:
    """2.776 standard errors at 4 degrees of freedom; found in 4 of 5 from 0.941 more on."""
    assert Noise(0.25, 4).half_width(0.95) == pytest.approx(0.5 * 2.776, rel=1e-3)
    assert Noise(0.25, 4).detectable(0.95) == pytest.approx(0.5 * (2.776 + 0.941), rel=1e-3)


def test_what_both_runs_have_falls_out_of_a_pair() -> None:
    rng = np.random.default_rng(0)
    shared = Contributions(1.0, rng.normal(size=PARTS), rng.normal(size=30))
    more = Contributions(1.0, shared.in_time, np.r_[shared.of_sessions, 0.0])  # one session more, of no account
    assert paired(shared, more, (-1.0, 1.0), 3).variance == pytest.approx(0.0)


def test_a_percentiles_contributions_have_the_variance_that_theory_gives() -> None:
    """The median of n uniform values: (1/4) / n."""
    values = np.random.default_rng(1).uniform(size=4000)
    sample = Sample(values, np.arange(4000), np.arange(4000) / 4000, np.zeros(4000, np.bool_))
    contributions = dict(sample.contributions(np.arange(4000)))
    assert set(contributions) == {"mean", "p50", "p90", "p95", "p99"}
    assert (contributions["p50"].of_sessions ** 2).sum() == pytest.approx(0.25 / 4000, rel=0.15)
    assert contributions["p50"].of_sessions.sum() == pytest.approx(0.0, abs=1e-3)


def test_the_burst_with_which_slots_begin_is_no_noise() -> None:
    """8 first requests that take 9 s beside 1 s of all others: every run has them."""
    burst = np.arange(80) < 8
    values = np.where(burst, 9.0, 1.0)
    mean = dict(Sample(values, np.arange(80), np.arange(80) / 80, burst).contributions(np.arange(80)))["mean"]
    assert mean.value == pytest.approx(1.8)
    assert mean.of_sessions == pytest.approx(np.zeros(80))


def loaded(rng: np.random.Generator, sessions: int = 120, slots: int = 8) -> Sample:
    """Times of traces that share a load: it wanders, with a memory as long as three traces of a slot."""
    memory = np.exp(-1 / (3 * slots))
    load = np.zeros(sessions)
    for index in range(1, sessions):
        load[index] = memory * load[index - 1] + rng.normal() * np.sqrt(1 - memory**2)
    values = 10.0 + load + rng.normal(size=sessions)
    return Sample(values, np.arange(sessions), np.arange(sessions) / sessions, np.zeros(sessions, np.bool_))


@pytest.mark.slow
def test_runs_that_share_a_server_with_a_memory_are_rarely_called_different() -> None:
    """300 pairs without a difference: as if traces were independent 40 in 100 would be called different."""
    rng = np.random.default_rng(3)
    called, as_if_independent = 0, 0
    for _ in range(300):
        means = [dict(loaded(rng).contributions(np.arange(120)))["mean"] for _ in range(2)]
        change = abs(means[1].value - means[0].value)
        parts = [noise(mean.in_time, mean.of_sessions, cosines(120 / 8, LOAD_MEMORY) or 0) for mean in means]
        called += change > together(parts).half_width(0.95)
        as_if_independent += change > 1.96 * np.sqrt(sum((mean.of_sessions**2).sum() for mean in means))
    assert as_if_independent > 75
    assert called <= 27  # 9 in 100
