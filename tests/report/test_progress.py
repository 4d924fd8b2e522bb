"""Progress: what its strings say, and that following a run ends when it is told to."""

from __future__ import annotations

import asyncio

import pytest

from trie.config import ProgressStyle
from trie.replay.live import Live
from trie.report import progress


def live() -> Live:
    found = Live(duration_s=10.0, concurrency=2, now_s=5.0, traces_completed=3, requests_in_flight=1)
    found.completed(2.0, new=100, cached=0, completion=50)
    found.completed(4.0, new=100, cached=100, completion=50)
    return found


def test_strings() -> None:
    assert progress.bar(live()).endswith(" 5/10 s")
    assert "traces 3 completed" in progress.outcomes(live())
    assert progress.rates(live()) == "tok/s prompt/completion: 60/20 overall, 75/25 last 30 s"


def test_the_last_30_seconds_forget() -> None:
    found = Live(duration_s=100.0, concurrency=1)
    for second in range(0, 100, 10):
        found.completed(float(second), new=10, cached=0, completion=0)
    assert [point.t for point in found.recent] == [60.0, 70.0, 80.0, 90.0]


@pytest.mark.parametrize("style", [ProgressStyle.rich, ProgressStyle.plain])
async def test_following_ends_when_cancelled(
    style: ProgressStyle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "FIRST_LINE_S", 0.0)
    task = asyncio.create_task(progress.follow(live(), style))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert style is ProgressStyle.rich or "5/10 s | traces 3 completed" in capsys.readouterr().out


async def test_no_progress_returns_at_once() -> None:
    await asyncio.wait_for(progress.follow(live(), ProgressStyle.none), 1.0)
