"""The interpreter's own settings during runs: changed by the first, restored by the last, however they end."""

from __future__ import annotations

import asyncio
import gc
import sys
from pathlib import Path

import pytest
from helpers.replay_state import BEGUN, run_state, scheduler, trace
from helpers.scripted_server import playing

from trie.replay.event_loop import GC_THRESHOLDS, SWITCH_S, undisturbed

Settings = tuple[tuple[int, int, int], float]


def settings() -> Settings:
    return gc.get_threshold(), round(sys.getswitchinterval(), 6)


DURING: Settings = (GC_THRESHOLDS, SWITCH_S)


def test_one_run() -> None:
    before = settings()
    with undisturbed():
        assert settings() == DURING
        assert gc.get_freeze_count() > 0
    assert settings() == before
    assert gc.get_freeze_count() == 0


def test_an_error_restores_them_too() -> None:
    before = settings()
    with pytest.raises(ZeroDivisionError), undisturbed():
        raise ZeroDivisionError
    assert settings() == before


def test_of_two_runs_at_once_the_last_restores_them() -> None:
    """Whichever ends first: the other goes on undisturbed."""
    before = settings()
    first, second = undisturbed(), undisturbed()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert settings() == DURING
    assert gc.get_freeze_count() > 0
    second.__exit__(None, None, None)
    assert settings() == before
    assert gc.get_freeze_count() == 0


def test_settings_of_somebody_else_between_two_runs_are_kept() -> None:
    with undisturbed():
        pass
    before = settings()
    gc.set_threshold(777, 7, 7)
    try:
        with undisturbed():
            assert settings() == DURING
        assert gc.get_threshold() == (777, 7, 7)
    finally:
        gc.set_threshold(*before[0])


async def test_two_schedulers_in_one_loop(tmp_path: Path) -> None:
    """The first run begins first and ends first, at its deadline of 0.1 s; the second at 0.3 s."""
    before = settings()

    async def run(url: str, name: str, duration_s: float) -> Settings:
        async with (
            run_state(url, tmp_path / name) as state,
            scheduler(state, [trace()], duration_s=duration_s) as replay,
        ):
            assert await replay.run() == "deadline"
        return settings()

    async with playing(lambda _: BEGUN) as (url, _), asyncio.TaskGroup() as group:
        first = group.create_task(run(url, "a", 0.1))
        second = group.create_task(run(url, "b", 0.6))
    assert (first.result(), second.result()) == (DURING, before)
