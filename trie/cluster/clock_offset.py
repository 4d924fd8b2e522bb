"""How far the clock of another host is ahead of ours, and within what that is known.

Theory of operation. Monotonic clocks of two hosts have zeros of their own and run at speeds that differ by some parts
in a million. In a ping exchange we note our clock, the other host reads its own, and we note ours again: it read its
clock at some moment between our two, however the delays of the two ways differ. So each exchange bounds the offset
from below and from above, for certain, and the bounds are as far apart as the round trip was long. Exchanges with the
least round trips bound it best. Between exchanges the bounds widen by as much as clocks can drift, and every exchange
tightens them again: the offset is followed through a run, whether its drift is linear or not. Half the distance of
the bounds is the error that is stated; no assumption about delays is in it, only one about drift.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf
from time import perf_counter

MAX_DRIFT = 200e-6  # quartz is within 100 ppm, and a clock that NTP disciplines is far below
BURST = 64  # exchanges that find the offset before a run, and again after it


@dataclass(frozen=True, slots=True)
class Ping:
    """One exchange; instants are seconds of the clock that is named."""

    sent_s: float  # ours
    remote_s: float  # the other host's, read between our two instants
    received_s: float  # ours

    @property
    def round_trip_s(self) -> float:
        return self.received_s - self.sent_s


@dataclass(slots=True)
class ClockOffset:
    """The other host's clock less ours, followed from ping to ping."""

    max_drift: float = MAX_DRIFT
    pings: int = 0
    least_round_trip_s: float = inf
    steps: int = 0  # times the clocks drifted faster than `max_drift` allows; the bounds began anew
    largest_step_s: float = 0.0  # by how much at least
    _low_s: float = -inf
    _high_s: float = inf
    _at_s: float = -inf  # our instant that the bounds hold for

    def add(self, ping: Ping) -> None:
        """Tighten the bounds by an exchange; exchanges come in the order in which they ended."""
        low, high = self._bounds(ping.received_s)
        # At the end of the exchange the offset may have drifted from what it was when the other clock was read.
        drift_s = self.max_drift * ping.round_trip_s
        ping_low, ping_high = ping.remote_s - ping.received_s - drift_s, ping.remote_s - ping.sent_s + drift_s
        low, high = max(low, ping_low), min(high, ping_high)
        if low > high:
            self.steps += 1
            self.largest_step_s = max(self.largest_step_s, low - high)
            low, high = ping_low, ping_high
        self._low_s, self._high_s, self._at_s = low, high, ping.received_s
        self.pings += 1
        self.least_round_trip_s = min(self.least_round_trip_s, ping.round_trip_s)

    def at(self, local_s: float) -> float:
        """The offset at an instant of ours, not before the last exchange; seconds."""
        low, high = self._bounds(local_s)
        return (low + high) / 2

    def error_s(self, local_s: float) -> float:
        """By how much `at` may be wrong; infinite before the first exchange."""
        low, high = self._bounds(local_s)
        return (high - low) / 2

    def _bounds(self, local_s: float) -> tuple[float, float]:
        if not self.pings:
            return -inf, inf
        drift_s = self.max_drift * max(local_s - self._at_s, 0.0)
        return self._low_s - drift_s, self._high_s + drift_s


async def burst(offset: ClockOffset, remote_clock: Callable[[], Awaitable[float]], count: int = BURST) -> None:
    """Tighten an offset by so many exchanges, one after the other.

    Args:
        offset: what is tightened.
        remote_clock: asks the other host for its clock.
        count: of exchanges.
    """
    for _ in range(count):
        sent_s = perf_counter()
        remote_s = await remote_clock()
        offset.add(Ping(sent_s, remote_s, perf_counter()))
