"""How late the event loop was: between two instants, and weighed by time; worked by hand."""

from __future__ import annotations

import asyncio
from time import perf_counter, sleep

import pytest

from trie.replay.event_loop import INTERVAL_S, LoopHealth, lateness_percentiles


def test_a_standstill_weighs_by_its_length() -> None:
    """Nine beats on time and one late by 0.98 s make 1 s, in which an event waits for 0.98 s at most."""
    lags = [0.0] * 9 + [0.98]
    p50, p99, most = lateness_percentiles(lags, (0.50, 0.99, 1.0))
    assert p50 == pytest.approx(0.48)
    assert p99 == pytest.approx(0.97)
    assert most == pytest.approx(0.98)


def test_several_standstills_share_the_time() -> None:
    """Above x = 0.1 the two long ones have 0.2 + 0.1 s of the 0.6 + 3 x 0.002 s; the short one none."""
    (p,) = lateness_percentiles([0.3, 0.2, 0.1], (1 - 0.3 / 0.606,))
    assert p == pytest.approx(0.1)


def test_no_beat_and_no_lag_are_no_lateness() -> None:
    assert lateness_percentiles([], (0.5, 0.99)) == [0.0, 0.0]
    assert lateness_percentiles([0.0] * 100, (0.5, 0.99)) == [0.0, 0.0]


def test_percentiles_agree_with_waits_drawn_at_random_moments() -> None:
    lags = [0.0, 0.004, 0.0, 0.03, 0.001, 0.2]
    waits = []
    for lag in lags:
        period = INTERVAL_S + lag
        moments = [period * (step + 0.5) / 20_000 for step in range(int(period * 1e6 / 50))]
        moments = [period * (step + 0.5) / len(moments) for step in range(len(moments))]
        waits += [(min(period - moment, lag)) if moment > INTERVAL_S else 0.0 for moment in moments]
    waits.sort()
    (p90,) = lateness_percentiles(lags, (0.9,))
    assert p90 == pytest.approx(waits[int(0.9 * len(waits))], abs=1e-3)


async def stood_still(seconds: float) -> tuple[LoopHealth, float, float]:
    """A loop that stands still once, and the instants around that."""
    health = LoopHealth()
    health.start()
    await asyncio.sleep(4 * INTERVAL_S)
    before = perf_counter()
    sleep(seconds)  # noqa: ASYNC251 - the loop has to stand still
    after = perf_counter()
    return health, before, after


async def test_a_standstill_counts_before_any_beat_has_shown_it() -> None:
    health, before, after = await stood_still(0.1)
    assert health.worst(before - 1.0, after) > 0.1 - 2 * INTERVAL_S
    health.stop()


async def test_a_standstill_may_have_begun_right_after_the_sample_before() -> None:
    health, before, after = await stood_still(0.1)
    await asyncio.sleep(4 * INTERVAL_S)
    health.stop()
    seen = health.worst(before - 1.0, after + 1.0)
    assert health.worst(before - 1.0, after + 1.0, unseen_s=INTERVAL_S) == pytest.approx(seen + INTERVAL_S)
    assert health.worst(before, after, unseen_s=INTERVAL_S) >= 0.1
    assert health.worst(before - 2.0, before - 1.0, unseen_s=INTERVAL_S) == 0.0


async def test_only_the_part_between_the_instants_counts() -> None:
    health, before, after = await stood_still(0.1)
    await asyncio.sleep(4 * INTERVAL_S)
    health.stop()
    assert health.worst(before - 1.0, after + 1.0) > 0.1 - 2 * INTERVAL_S
    late, early = before + 0.06, before + 0.03
    assert after - late - INTERVAL_S < health.worst(late, after) <= after - late
    assert early - before - INTERVAL_S < health.worst(before, early) <= early - before
    assert health.worst(after + 2 * INTERVAL_S, after + 2 * INTERVAL_S) == 0.0
