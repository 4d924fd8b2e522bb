"""The event loop of a run: the gate that spreads work over its passes, and how late it was.

Theory of operation. Many responses can end, and many sessions begin, in one pass of the loop. If each were decoded,
recorded and followed by its next request at once, the first tokens of requests already sent would wait for all of that,
and the client would measure itself. So all work beside the reads of sockets passes a gate, which lets one caller
through in each pass of the loop.
"""

from __future__ import annotations

import asyncio
from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable
from time import perf_counter, process_time
from typing import Any


class LoopGate:
    """Lets one caller through in each pass of the loop; the others wait in line."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closed = False  # somebody went through in this pass

    async def enter(self) -> None:
        """Return when the caller may work: at once where nobody else went through in this pass."""
        loop = asyncio.get_running_loop()
        if not self._closed:
            self._closed = True
            loop.call_soon(self._open, loop)
            return
        opened = loop.create_future()
        self._waiting.append(opened)
        await opened

    def _open(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            opened = self._waiting.popleft()
            if not opened.done():  # its caller was cancelled
                opened.set_result(None)
                loop.call_soon(self._open, loop)
                return
        self._closed = False


INTERVAL_S = 0.005
NOTICEABLE_S = 0.001  # a lag below this is no lag: timers themselves are as coarse


class LoopHealth:
    """Samples the running loop's lateness every 5 ms between `start` and `stop`; instants are `perf_counter` seconds.

    What the server's bytes suffered at most is the lateness of the loop while a request was open.
    """

    def __init__(self, *, on_beat: Callable[[float], None] | None = None) -> None:
        self._on_beat = on_beat
        self._lags = array("f")
        self._late_at = array("d")
        self._late_by = array("f")
        self._due = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin sampling on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._cpu = process_time()
        self._arm(perf_counter())

    def stop(self) -> None:
        """End sampling; what was sampled stays readable."""
        if self._handle is not None:
            self._handle.cancel()
        self._cpu = process_time() - self._cpu

    def _arm(self, now: float) -> None:
        self._due = now + INTERVAL_S
        self._handle = self._loop.call_later(INTERVAL_S, self._beat)

    def _beat(self) -> None:
        now = perf_counter()
        lag = max(now - self._due, 0.0)
        self._lags.append(lag)
        if lag > NOTICEABLE_S:
            self._late_at.append(now)
            self._late_by.append(lag)
        if self._on_beat is not None:
            self._on_beat(now)
        self._arm(now)

    def worst(self, start: float, end: float) -> float:
        """The worst lag, in seconds, that was felt between two instants; 0.0 for none worth noting."""
        first = bisect_left(self._late_at, start)
        last = bisect_right(self._late_at, end + INTERVAL_S)
        felt = self._late_by[first:last]
        return float(max(felt)) if felt else 0.0

    def facts(self) -> dict[str, Any]:
        """Figures for the manifest, once stopped: this process's CPU time and percentiles of the lag, in seconds."""
        lags = sorted(self._lags) or [0.0]
        last = len(lags) - 1
        return {
            "cpu_s": round(self._cpu, 6),
            "loop_lag_p50_s": round(lags[last // 2], 6),
            "loop_lag_p99_s": round(lags[int(last * 0.99)], 6),
            "loop_lag_max_s": round(lags[last], 6),
            "samples": len(self._lags),
        }
