"""A run as it goes on: a live display on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import asyncio
import sys

from rich.live import Live as Display
from rich.text import Text

from trie.config import ProgressStyle
from trie.replay.counters import Live, Point

REFRESH_S = 0.25
FIRST_LINE_S = 2.0
LINE_EVERY_S = 5.0
LATER_LINES_S = 30.0  # from the tenth minute on
BAR = 24  # columns of the bar
WINDOW_S = 30.0


async def follow(live: Live, style: ProgressStyle) -> None:
    """Show a run until cancelled; reads counters and costs the event loop one small string a refresh."""
    if style is ProgressStyle.auto:
        style = ProgressStyle.rich if sys.stdout.isatty() else ProgressStyle.plain
    if style is ProgressStyle.rich:
        await _live(live)
    elif style is ProgressStyle.plain:
        await _lines(live)


async def _live(live: Live) -> None:
    with Display(auto_refresh=False, transient=True) as display:
        while True:
            # In a thread: a terminal that stalls must not hold up the event loop, and with it the measurement.
            text = Text(f"{bar(live)}\n{outcomes(live)}\n{rates(live)}")
            await asyncio.to_thread(display.update, text, refresh=True)
            await asyncio.sleep(REFRESH_S)


async def _lines(live: Live) -> None:
    await asyncio.sleep(FIRST_LINE_S)
    while True:
        await asyncio.to_thread(_say, f"{live.now_s:.0f}/{live.duration_s:g} s | {outcomes(live)} | {rates(live)}")
        await asyncio.sleep(LINE_EVERY_S if live.now_s < 600 else LATER_LINES_S)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")  # in one call, so that no log line comes between
    sys.stdout.flush()


def bar(live: Live) -> str:
    """Elapsed time as a bar."""
    share = min(live.now_s / live.duration_s, 1.0)
    full = round(share * BAR)
    return f"{'━' * full}{'─' * (BAR - full)} {live.now_s:.0f}/{live.duration_s:g} s"


def outcomes(live: Live) -> str:
    """Traces and requests by what became of them."""
    traces = f"traces {live.traces_completed} completed, {live.traces_failed} failed, {live.traces_active} active"
    requests = f"requests {live.requests_ok} ok, {live.requests_failed} failed, {live.requests_in_flight} in flight"
    return f"{traces} | {requests}" + (f", {live.retries} retries" if live.retries else "")


def rates(live: Live) -> str:
    """Token rates over the run and over the last 30 s, by the trace's accounting."""
    overall = _rate(Point(0.0, 0, 0, 0), Point(live.now_s, *live.total[1:]))
    return f"tok/s prompt/completion: {overall} overall, {_rate(*_last_30_s(live))} last 30 s"


def _last_30_s(live: Live) -> tuple[Point, Point]:
    """Tokens at the window's two ends, of which the later is now: a server that stalls is seen to."""
    since = max(live.now_s - WINDOW_S, 0.0)
    start = live.recent[0]
    for point in live.recent:  # kept short by completions; walked further only while nothing completes
        if point.t > since:
            break
        start = point
    return Point(since, *start[1:]), Point(live.now_s, *live.total[1:])


def _rate(start: Point, end: Point) -> str:
    time = end.t - start.t
    if time <= 0:
        return "-"
    prompt = end.new_prompt_tokens + end.cached_prompt_tokens - start.new_prompt_tokens - start.cached_prompt_tokens
    return f"{prompt / time:,.0f}/{(end.completion_tokens - start.completion_tokens) / time:,.0f}"
