"""Live progress: plain lines, a terminal that is left clean, rates that see a stall."""

from __future__ import annotations

import asyncio
import io
import logging
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
import rich
from helpers.rows import row
from rich.console import Console

from trie.config import ProgressStyle
from trie.replay.counters import Counters
from trie.replay.live_numbers import LiveNumbers, OpenSession, forecast
from trie.replay.run_state import Clock
from trie.report import progress
from trie.report.progress import Watched, bar, elapsed, follow, foreseen, latencies, outcomes, rates
from trie.storage.record import Outcome, RequestRecord
from trie.workload.trace import Trace


def counted() -> Counters:
    """1,000 new, 500 cached and 200 completion tokens at 5 s."""
    counters = Counters(traces_active=3, requests_in_flight=2, retries=1, traces_completed=7)
    counters.completed(5.0, 1000, 500, 200)
    return counters


async def show(style: ProgressStyle) -> None:
    """A run that stands at 10 of 60 s."""
    await follow(Watched(counted(), Clock(began=0.0, ended=10.0), 60.0), style)


async def shown_for(seconds: float, style: ProgressStyle) -> None:
    task = asyncio.create_task(show(style))
    await asyncio.sleep(seconds)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def test_rates_over_the_run_and_the_last_30_s():
    assert rates(counted(), 10.0) == "tok/s prompt/completion: 150/20 overall, 150/20 last 30 s"


def test_a_stalled_server_shows_in_the_last_30_s():
    assert rates(counted(), 50.0) == "tok/s prompt/completion: 30/4 overall, 0/0 last 30 s"


def test_nothing_yet():
    assert rates(Counters(), Clock().now_s).endswith("- overall, - last 30 s")


def test_outcomes_and_bar():
    assert (
        outcomes(counted())
        == "traces 7 completed, 0 failed, 3 active | requests 1 ok, 0 failed, 2 in flight, 1 retries"
    )
    assert bar(10.0, 60.0).endswith("10/60 s")
    assert "─" not in bar(61.0, 60.0)


def test_a_long_run_says_how_long_it_still_takes():
    now = datetime(2026, 1, 5, 19, 26, tzinfo=UTC)
    assert elapsed(720.0, 7200.0, now) == "0:12 of 2:00 h, 1:48 left, until 21:14"


def ended(turn: int, end_s: float, **fields: Any) -> RequestRecord:
    """A request of 0.5 s to the first token, and 0.1 s for each of the 10 after it."""
    times = {"sent_s": end_s - 1.5, "first_token_s": end_s - 0.5 - 0.5, "last_token_s": end_s, "end_s": end_s}
    return row(turn=turn, chunks=11, requested_completion_tokens=11, **{**times, **fields})


def test_times_hit_rate_and_kinds_of_failures():
    """Times are kept to 1 %: 0.1 s are shown as 101 ms."""
    counters = Counters()
    for seconds in range(100):
        counters.live.note(ended(0, 10.0 + seconds, usage_prompt_tokens=100, usage_cached_tokens=75), 0.0)
    counters.live.note(row(outcome=Outcome.failed, error_kind="timeout"), 0.0)
    assert latencies(counters) == "TTFT p50/p99 500/500 ms, TPOT p50 101 ms, cache 75.0%"
    assert "0 failed (timeout 1)" in outcomes(counters)  # the watch counts them


def test_a_forecast_by_hand():
    """Two slots with traces of 3 requests, each 0.5 s to its first token and 11 tokens of 0.1 s, and two waits of 10 s.

    A trace lasts 3 * 1.6 + 20 = 24.8 s. Slot 0 has ended its first request at 2 s, so that 2 * 1.6 + 20 s are left and
    it ends at 25.2 s; slot 1 began at 20 s and ends at 44.8 s. Both last 25 s on average, and the ends to come are
    25.2, 44.8, 50.2, 69.8, 75.2: three by the deadline of 60 s, and the fifth at 75.2 s.
    """
    live = LiveNumbers()
    trace = Trace(100, (11, 11), (5, 5), (10.0, 10.0), 11)
    live.open = {0: OpenSession(trace, 0.0), 1: OpenSession(trace, 20.0, at=20.0)}
    live.note(ended(0, 2.0, session_id=0), 2.0)
    ahead = forecast(live, now=21.0, completed=0, deadline=60.0, needed=5)
    assert ahead is not None
    assert (ahead.by_deadline, ahead.needed_at) == (3, pytest.approx(75.2))
    assert foreseen(ahead, 0.0) == (
        "forecast: 3 of the 5 traces that a valid run takes will complete by the deadline: run at least 2 min"
    )


async def test_plain_lines_in_a_pipe(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "FIRST_LINE_S", 0.02)
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.05)
    await shown_for(0.2, ProgressStyle.auto)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 2
    assert lines[0].startswith("10/60 s | traces 7 completed")
    assert lines[0].isascii()


async def test_style_none_says_nothing(capsys: pytest.CaptureFixture[str]):
    await asyncio.wait_for(show(ProgressStyle.none), 1.0)
    assert capsys.readouterr().out == ""


class CurrentStdout(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        sys.stdout.write(self.format(record) + "\n")


async def test_a_terminal_is_left_clean_and_log_lines_whole(monkeypatch: pytest.MonkeyPatch):
    file = io.StringIO()
    monkeypatch.setattr(rich, "_console", Console(file=file, force_terminal=True, width=80, height=20))
    before = sys.stdout
    log = logging.getLogger("test.progress")
    handler = CurrentStdout()
    log.addHandler(handler)
    try:
        task = asyncio.create_task(show(ProgressStyle.rich))
        await asyncio.sleep(0.1)
        log.warning("a line in between")
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    finally:
        log.removeHandler(handler)
    text = file.getvalue()
    assert task.cancelled()
    assert "a line in between\n" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # the cursor is back
    assert sys.stdout is before
