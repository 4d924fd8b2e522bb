"""A run as it goes on: a live display on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil, inf

from rich.live import Live as Display
from rich.text import Text

from trie.config import ProgressStyle
from trie.metrics.checks.outcomes import LEAST_COMPLETED
from trie.one_line import lasting
from trie.replay.counters import ORIGIN, RECENT_S, Counters, Point
from trie.replay.event_loop import beside
from trie.replay.live_numbers import Forecast, forecast
from trie.replay.run_state import Clock

REFRESH_S = 0.25
FIRST_LINE_S = 2.0
LINE_EVERY_S = 5.0
LATER_LINES_S = 30.0  # from the tenth minute on
BAR = 24  # columns of the bar
LONG_S = 600.0  # a run from which on people count in hours and minutes
FORECAST_FROM_S, FORECAST_EVERY_S = 60.0, 10.0
KINDS = 3  # of failures that are named


@dataclass
class Watched:
    """A run that goes on, and what its progress says."""

    counters: Counters
    clock: Clock
    duration_s: float
    concurrency: int = 1
    position: str = ""  # in its sweep
    _forecast: str = ""
    _forecast_at_s: float = inf

    def line(self) -> str:
        """All in one line."""
        now_s = self.clock.now_s
        first = f"{self.position}  {self._where(elapsed(now_s, self.duration_s, datetime.now().astimezone()))}".lstrip()
        counters, forecast = self.counters, self.forecast(now_s)
        parts = (first, outcomes(counters), latencies(counters), rates(counters, now_s), forecast, counters.precision)
        return " | ".join(part for part in parts if part)

    def lines(self) -> str:
        """For a terminal."""
        now_s = self.clock.now_s
        first = f"{self.position}  {self._where(bar(now_s, self.duration_s))}".lstrip()
        counters, forecast = self.counters, self.forecast(now_s)
        parts = (first, outcomes(counters), latencies(counters), rates(counters, now_s), forecast, counters.precision)
        return "\n".join(part for part in parts if part)

    def _where(self, in_the_run: str) -> str:
        return "warming up" if self.clock.warming_up else in_the_run

    def forecast(self, now_s: float) -> str:
        """How many traces complete in time, from the first minute on; empty before."""
        if self._forecast_at_s <= now_s < self._forecast_at_s + FORECAST_EVERY_S or now_s < FORECAST_FROM_S:
            return self._forecast
        self._forecast_at_s = now_s
        ahead = forecast(
            self.counters.live,
            now=self.clock.began + now_s,
            completed=self.counters.traces_completed,
            deadline=self.clock.began + self.duration_s,
            needed=max(LEAST_COMPLETED, self.concurrency),
        )
        self._forecast = "" if ahead is None else foreseen(ahead, self.clock.began)
        return self._forecast


@asynccontextmanager
async def shown(watched: Watched, style: ProgressStyle) -> AsyncIterator[None]:
    """Show a run while the block lasts; reads its counters and costs the event loop one small string a refresh."""
    async with beside(follow(watched, style)):
        yield


async def follow(watched: Watched, style: ProgressStyle) -> None:
    """Show a run until cancelled."""
    if style is ProgressStyle.auto:
        style = ProgressStyle.rich if sys.stdout.isatty() else ProgressStyle.plain
    if style is ProgressStyle.rich:
        await _display(watched)
    elif style is ProgressStyle.plain:
        await _lines(watched)


async def _display(watched: Watched) -> None:
    with Display(auto_refresh=False, transient=True) as display:
        while True:
            # In a thread: a terminal that stalls must not hold up the event loop, and with it the measurement.
            await asyncio.to_thread(lambda: display.update(Text(watched.lines()), refresh=True))
            await asyncio.sleep(REFRESH_S)


async def _lines(watched: Watched) -> None:
    await asyncio.sleep(FIRST_LINE_S)
    with suppress(BrokenPipeError):  # nobody reads any more
        while True:
            await asyncio.to_thread(lambda: _write(watched.line()))
            await asyncio.sleep(LINE_EVERY_S if watched.clock.now_s < 600 else LATER_LINES_S)


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")  # in one call, so that no log line comes between
    sys.stdout.flush()


def bar(now_s: float, duration_s: float) -> str:
    """Elapsed time as a bar."""
    share = min(now_s / duration_s, 1.0)
    full = round(share * BAR)
    return f"{'━' * full}{'─' * (BAR - full)} {elapsed(now_s, duration_s, datetime.now().astimezone())}"


def elapsed(now_s: float, duration_s: float, now: datetime) -> str:
    """How much of a run is over; of a long one what is left, and when it ends."""
    if duration_s < LONG_S:
        return f"{now_s:.0f}/{duration_s:g} s"
    left_s = max(duration_s - now_s, 0.0)
    end = now + timedelta(seconds=left_s)
    return f"{hours(now_s)} of {hours(duration_s)} h, {hours(left_s)} left, until {end:%H:%M}"


def hours(seconds: float) -> str:
    """Seconds as h:mm."""
    return "{}:{:02}".format(*divmod(round(seconds / 60), 60))


def outcomes(counters: Counters) -> str:
    """Traces and requests by what became of them."""
    traces = (
        f"traces {counters.traces_completed} completed, {counters.traces_failed} failed, "
        f"{counters.traces_active} active"
    )
    kinds = ", ".join(f"{kind} {count}" for kind, count in counters.live.failures.most_common(KINDS))
    requests = (
        f"requests {counters.requests_ok} ok, {counters.requests_failed} failed{kinds and f' ({kinds})'}, "
        f"{counters.requests_in_flight} in flight"
    )
    return f"{traces} | {requests}" + (f", {counters.retries} retries" if counters.retries else "")


def latencies(counters: Counters) -> str:
    """Times and the hit rate over all requests so far; empty until there are some."""
    live = counters.live
    p50, p99, tpot = live.ttft.percentile(0.5), live.ttft.percentile(0.99), live.tpot.percentile(0.5)
    parts = (
        "" if p50 is None or p99 is None else f"TTFT p50/p99 {_ms(p50)}/{_ms(p99)} ms",
        "" if tpot is None else f"TPOT p50 {_ms(tpot)} ms",
        "" if live.hit_rate is None else f"cache {live.hit_rate:.1%}",
    )
    return ", ".join(part for part in parts if part)


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:,.{0 if seconds >= 0.1 else 1}f}"


def foreseen(ahead: Forecast, began: float) -> str:
    """What is to come, and what to do where it is too little."""
    if ahead.by_deadline >= ahead.needed:
        return f"forecast: about {ahead.by_deadline} traces will have completed by the deadline"
    enough = lasting(60 * ceil((ahead.needed_at - began) / 60))
    return (
        f"forecast: {ahead.by_deadline} of the {ahead.needed} traces that a valid run takes will complete by the "
        f"deadline: run at least {enough}"
    )


def rates(counters: Counters, now_s: float) -> str:
    """Token rates over the run and over the last 30 s, by the trace's accounting."""
    now = Point(now_s, *counters.total[1:])
    overall = _rate(ORIGIN, now)
    return f"tok/s prompt/completion: {overall} overall, {_rate(_start_of_window(counters, now_s), now)} last 30 s"


def _start_of_window(counters: Counters, now_s: float) -> Point:
    """The tokens 30 s ago; the window ends now, so that a server that stalls is seen to."""
    since = max(now_s - RECENT_S, 0.0)
    start = counters.recent[0]
    for point in counters.recent:  # kept short by completions; walked further only while nothing completes
        if point.t > since:
            break
        start = point
    return Point(since, *start[1:])


def _rate(start: Point, end: Point) -> str:
    time = end.t - start.t
    if time <= 0:
        return "-"
    prompt = end.new_prompt_tokens + end.cached_prompt_tokens - start.new_prompt_tokens - start.cached_prompt_tokens
    return f"{prompt / time:,.0f}/{(end.completion_tokens - start.completion_tokens) / time:,.0f}"
