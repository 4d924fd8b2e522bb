"""The event loop of a run: what is kept off it, and how late it was in spite of that.

Theory of operation. The client reads many streams in one loop, and whatever else happens in that loop makes it read
late: it would measure itself. Three things are done about it. Many responses can end, and many sessions begin, in one
pass of the loop; if each were decoded, recorded and followed by its next request at once, the first tokens of requests
already sent would wait for all of that. So all work beside the reads of sockets passes a gate, which lets one caller
through in each pass. Python's garbage collector would stop the loop to walk over all objects, and a thread that writes
rows or makes prompts may hold the interpreter for 5 ms: `undisturbed` keeps both short. The lateness that is left is
sampled, so that each row can say what its request may have suffered.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import chain, pairwise
from time import perf_counter, process_time
from typing import Any, TypeVar

INTERVAL_S = 0.002
NOTICEABLE_S = 0.001  # a lag below this is no lag: timers themselves are as coarse
SWITCH_S = 0.0005  # after which another thread hands the interpreter back
GC_THRESHOLDS = (50_000, 20, 100)


T = TypeVar("T")


def in_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in an event loop of its own, the fastest there is here."""
    runner = asyncio.run
    with suppress(ImportError):
        import uvloop  # not there on every platform

        runner = uvloop.run
    return runner(main)


@asynccontextmanager
async def beside(main: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run something while the block lasts."""
    task = asyncio.create_task(main)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


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


class LoopHealth:
    """Samples the running loop's lateness every 2 ms between `start` and `stop`; instants are `perf_counter` seconds.

    What the server's bytes suffered at most is the lateness of the loop while a request was open.
    """

    def __init__(self) -> None:
        self._lags = array("f")
        self._late_at = array("d")
        self._late_by = array("f")
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._cpu_s = 0.0

    def start(self) -> None:
        """Begin sampling on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._cpu_s = process_time()
        self._wait(perf_counter())

    def restart(self) -> None:
        """Count CPU time and lateness from now on; standstills of before stay readable."""
        self._cpu_s = process_time()
        del self._lags[:]

    def stop(self) -> None:
        """End sampling; what was sampled stays readable."""
        if self._timer is not None:
            self._timer.cancel()
        self._cpu_s = process_time() - self._cpu_s

    def _wait(self, now: float) -> None:
        self._due = now + INTERVAL_S
        self._timer = self._loop.call_later(INTERVAL_S, self._sample)

    def _sample(self) -> None:
        now = perf_counter()
        lag = max(now - self._due, 0.0)
        self._lags.append(lag)
        if lag > NOTICEABLE_S:
            self._late_at.append(now)
            self._late_by.append(lag)
        self._wait(now)

    def worst(self, start: float, end: float, *, unseen_s: float = 0.0) -> float:
        """The longest time that the loop stood still between two instants, in seconds; 0.0 for none worth noting.

        A standstill is seen from the moment that a sample was due. It may have begun right after the sample before:
        `unseen_s=INTERVAL_S` counts that time in, for a bound that is never too small.

        Of a standstill that had begun before, or went on after, only the part between them counts. One that no beat has
        shown yet counts too: after it the loop may handle a response before the beat.
        """
        first = bisect_left(self._late_at, start)
        last = bisect_right(self._late_at, end)
        inside = max(self._late_by[first + 1 : last], default=-unseen_s) + unseen_s
        edges = [
            (self._late_at[at] - self._late_by[at] - unseen_s, self._late_at[at])
            for at in (first, last)
            if at < len(self._late_at)
        ]
        if (now := perf_counter()) - self._due > NOTICEABLE_S:
            edges.append((self._due - unseen_s, now))
        return float(max(inside, *(min(until, end) - max(due, start) for due, until in edges), 0.0))

    def facts(self) -> dict[str, Any]:
        """Figures for the manifest, once stopped: this process's CPU time and percentiles of the lag, in seconds."""
        p50, p99 = lateness_percentiles(self._lags, (0.50, 0.99))
        return {
            "cpu_s": round(self._cpu_s, 6),
            "loop_lag_p50_s": round(p50, 6),
            "loop_lag_p99_s": round(p99, 6),
            "loop_lag_max_s": round(max(self._lags, default=0.0), 6),
            "samples": len(self._lags),
        }


def lateness_percentiles(lags: Sequence[float], shares: Sequence[float]) -> list[float]:
    """By how much an event at a random moment is noticed late, at these percentiles, in seconds.

    A beat that is late by `lag` means that the loop stood still for so long: an event of that time waits for what is
    left of it. So a standstill weighs by its length; percentiles of the beats alone hardly see it, since a loop that
    stands still has none. With all lags L and the whole time T, the share of time with a wait of more than x is
    sum(max(L - x, 0)) / T.

    Args:
        lags: of all beats, in seconds; a beat is due INTERVAL_S after the one before.
        shares: such as 0.99 for the 99th percentile.
    """
    longest_first = sorted(lags, reverse=True)
    total = sum(longest_first) + INTERVAL_S * len(longest_first)
    return [_wait_exceeded(longest_first, (1.0 - share) * total) for share in shares]


def _wait_exceeded(longest_first: Sequence[float], seconds: float) -> float:
    """The wait x for which sum(max(lag - x, 0)) is so many seconds; 0.0 where all lags together are less."""
    longer_s = 0.0
    for count, (lag, shorter) in enumerate(pairwise(chain(longest_first, (0.0,))), 1):
        longer_s += lag
        wait = (longer_s - seconds) / count
        if wait >= shorter:
            return min(max(wait, 0.0), lag)
    return 0.0


class _Interpreter:
    """Collector and switching of threads, which belong to the process: set by the first run, restored by the last."""

    def __init__(self) -> None:
        self._runs = 0
        self._lock = threading.Lock()  # runs may go on in loops of several threads
        self._thresholds = gc.get_threshold()
        self._switch_s = sys.getswitchinterval()

    def quiet(self) -> None:
        with self._lock:
            self._runs += 1
            if self._runs > 1:  # a collection now would hold up the others
                return
            self._thresholds, self._switch_s = gc.get_threshold(), sys.getswitchinterval()
            sys.setswitchinterval(SWITCH_S)
            gc.collect()
            gc.freeze()
            gc.set_threshold(*GC_THRESHOLDS)

    def restore(self) -> None:
        with self._lock:
            self._runs -= 1
            if self._runs:
                return
            gc.set_threshold(*self._thresholds)
            gc.unfreeze()
            sys.setswitchinterval(self._switch_s)


_interpreter = _Interpreter()  # one for the process, as what it sets is


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keep the loop going: the collector passes rarely and over little, other threads hold the interpreter briefly."""
    _interpreter.quiet()
    try:
        yield
    finally:
        _interpreter.restore()
