"""Offsets of clocks whose truth is known: a simulated channel with asymmetric delays, jitter and drift."""

from __future__ import annotations

from random import Random
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trie.cluster.clock_offset import MAX_DRIFT, ClockOffset, Ping, burst


def exchange(now_s: float, out_s: float, back_s: float, *, offset_s: float, drift: float = 0.0) -> Ping:
    """What an exchange brings when the other clock shows `now * (1 + drift) + offset`."""
    read_s = now_s + out_s
    return Ping(now_s, read_s * (1 + drift) + offset_s, read_s + back_s)


def test_one_exchange_bounds_the_offset_by_half_its_round_trip() -> None:
    """Sent at 10.0, read 110.003, received at 10.004: between 99.999 and 110.003 - 10 = 100.003."""
    offset = ClockOffset(max_drift=0.0)
    offset.add(Ping(10.0, 110.003, 10.004))
    assert offset.at(10.004) == pytest.approx(100.001)
    assert offset.error_s(10.004) == pytest.approx(0.002)


def test_exchanges_of_opposite_delays_bound_better_than_the_best_of_them() -> None:
    """4 ms out and none back, then none out and 4 ms back: each alone leaves 2 ms, both leave nothing."""
    offset = ClockOffset(max_drift=0.0)
    offset.add(exchange(0.0, 0.004, 0.0, offset_s=5.0))
    assert offset.error_s(1.0) == pytest.approx(0.002)
    offset.add(exchange(1.0, 0.0, 0.004, offset_s=5.0))
    assert (offset.at(2.0), offset.error_s(2.0)) == (pytest.approx(5.0), pytest.approx(0.0, abs=1e-12))


@given(
    seed=st.integers(0, 2**32),
    offset_s=st.floats(-1e6, 1e6),
    drift=st.floats(-MAX_DRIFT, MAX_DRIFT),
    delays_s=st.tuples(st.floats(0, 0.05), st.floats(0, 0.05)),
    jitter_s=st.floats(1e-6, 0.2),
)
def test_truth_is_within_the_stated_error_whatever_the_channel_does(
    seed: int, offset_s: float, drift: float, delays_s: tuple[float, float], jitter_s: float
) -> None:
    (out_s, back_s), random, offset, now_s = delays_s, Random(seed), ClockOffset(), 100.0
    for _ in range(50):
        ping = exchange(
            now_s,
            out_s + random.expovariate(1 / jitter_s),
            back_s + random.expovariate(1 / jitter_s),
            offset_s=offset_s,
            drift=drift,
        )
        offset.add(ping)
        now_s = ping.received_s + random.uniform(0, 5)  # and the offset is asked for between exchanges
        truth_s = now_s * drift + offset_s
        assert abs(offset.at(now_s) - truth_s) <= offset.error_s(now_s) + 1e-9
        assert offset.error_s(ping.received_s) <= ping.round_trip_s * (0.5 + MAX_DRIFT) + 1e-9
    assert offset.steps == 0


def test_drift_of_an_hour_is_followed_within_the_round_trip() -> None:
    """50 ppm move it by 180 ms in an hour; a ping a second of 1 ms, every tenth of 20 ms, knows it within 1.2 ms."""
    offset, drift = ClockOffset(), 50e-6
    for second in range(3600):
        back_s = 0.020 if second % 10 == 9 else 0.0005
        offset.add(exchange(float(second), 0.0005, back_s, offset_s=7.0, drift=drift))
        now_s = second + 1.0
        assert abs(offset.at(now_s) - (7.0 + now_s * drift)) < 0.0012
    assert offset.error_s(3600.0) < 0.0012


def test_clock_that_is_set_anew_begins_new_bounds_and_is_counted() -> None:
    offset = ClockOffset()
    offset.add(exchange(0.0, 0.001, 0.001, offset_s=5.0))
    offset.add(exchange(1.0, 0.001, 0.001, offset_s=9.0))
    assert offset.steps == 1
    assert offset.largest_step_s == pytest.approx(4.0, abs=0.003)
    assert offset.at(1.002) == pytest.approx(9.0, abs=0.001)


async def test_burst_finds_the_offset_of_a_clock_that_is_ahead() -> None:
    async def ahead() -> float:
        return perf_counter() + 1000.0

    offset = ClockOffset()
    await burst(offset, ahead)
    now_s = perf_counter()
    assert offset.pings == 64
    assert abs(offset.at(now_s) - 1000.0) <= offset.error_s(now_s)
    assert offset.least_round_trip_s <= 2 * offset.error_s(now_s) + 1e-3
