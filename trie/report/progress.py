"""A run as it goes on: a live display on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from rich.live import Live as Display
from rich.text import Text

from trie.config import ProgressStyle
from trie.replay.counters import ORIGIN, RECENT_S, Counters, Point
from trie.replay.run_state import Clock, RunState

REFRESH_S = 0.25
FIRST_LINE_S = 2.0
LINE_EVERY_S = 5.0
LATER_LINES_S = 30.0  # from the tenth minute on
BAR = 24  # columns of the bar


@asynccontextmanager
async def shown(state: RunState, style: ProgressStyle, *, duration_s: float, position: str = "") -> AsyncIterator[None]:
    """Show a run while the block lasts; reads its counters and costs the event loop one small string a refresh."""
    task = asyncio.create_task(follow(state.counters, state.clock, style, duration_s, position))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def follow(counters: Counters, clock: Clock, style: ProgressStyle, duration_s: float, position: str = "") -> None:
    """Show a run until cancelled."""
    if style is ProgressStyle.auto:
        style = ProgressStyle.rich if sys.stdout.isatty() else ProgressStyle.plain
    if style is ProgressStyle.rich:
        await _display(counters, clock, duration_s, position)
    elif style is ProgressStyle.plain:
        await _lines(counters, clock, duration_s)


async def _display(counters: Counters, clock: Clock, duration_s: float, position: str) -> None:
    with Display(auto_refresh=False, transient=True) as display:
        while True:
            now_s = clock.now_s
            # In a thread: a terminal that stalls must not hold up the event loop, and with it the measurement.
            first = f"{position}  {bar(now_s, duration_s)}".lstrip()
            text = Text(f"{first}\n{outcomes(counters)}\n{rates(counters, now_s)}")
            await asyncio.to_thread(display.update, text, refresh=True)
            await asyncio.sleep(REFRESH_S)


async def _lines(counters: Counters, clock: Clock, duration_s: float) -> None:
    await asyncio.sleep(FIRST_LINE_S)
    while True:
        now_s = clock.now_s
        line = f"{now_s:.0f}/{duration_s:g} s | {outcomes(counters)} | {rates(counters, now_s)}"
        await asyncio.to_thread(_write, line)
        await asyncio.sleep(LINE_EVERY_S if now_s < 600 else LATER_LINES_S)


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")  # in one call, so that no log line comes between
    sys.stdout.flush()


def bar(now_s: float, duration_s: float) -> str:
    """Elapsed time as a bar."""
    share = min(now_s / duration_s, 1.0)
    full = round(share * BAR)
    return f"{'━' * full}{'─' * (BAR - full)} {now_s:.0f}/{duration_s:g} s"


def outcomes(counters: Counters) -> str:
    """Traces and requests by what became of them."""
    traces = (
        f"traces {counters.traces_completed} completed, {counters.traces_failed} failed, "
        f"{counters.traces_active} active"
    )
    requests = (
        f"requests {counters.requests_ok} ok, {counters.requests_failed} failed, "
        f"{counters.requests_in_flight} in flight"
    )
    return f"{traces} | {requests}" + (f", {counters.retries} retries" if counters.retries else "")


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
