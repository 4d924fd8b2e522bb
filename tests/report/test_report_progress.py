"""Live progress: plain lines, a terminal that is left clean, rates that see a stall."""

from __future__ import annotations

import asyncio
import io
import logging
import sys
from contextlib import suppress

import pytest
import rich
from rich.console import Console

from trie.config import ProgressStyle
from trie.replay.counters import Counters
from trie.replay.run_state import Clock
from trie.report import progress
from trie.report.progress import bar, follow, outcomes, rates


def counted() -> Counters:
    """1,000 new, 500 cached and 200 completion tokens at 5 s."""
    counters = Counters(traces_active=3, requests_in_flight=2, retries=1, traces_completed=7)
    counters.completed(5.0, 1000, 500, 200)
    return counters


async def show(style: ProgressStyle) -> None:
    """A run that stands at 10 of 60 s."""
    await follow(counted(), Clock(began=0.0, ended=10.0), style, 60.0)


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
