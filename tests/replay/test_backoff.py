"""Pauses after failures: per slot while others go well, in turns while nothing does."""

from __future__ import annotations

import asyncio
import time

import pytest
from helpers.bounds import AtMost

from trie.replay import failure_policy
from trie.replay.failure_policy import Backoff


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundredth of the real pauses."""
    monkeypatch.setattr(failure_policy, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(failure_policy, "MAX_PAUSE_S", 0.05)
    monkeypatch.setattr(failure_policy, "OUTAGE_EVERY_S", 0.02)


async def took(work: asyncio.Future[None] | asyncio.Task[None]) -> float:
    began = time.monotonic()
    await work
    return time.monotonic() - began


@pytest.mark.usefixtures("short")
async def test_a_slot_alone_doubles_its_pause_to_a_limit(at_most: AtMost) -> None:
    """Other slots' requests go well in between; the 5,000th power of two is no float, and the pause none the longer."""
    pauses = Backoff(8)
    for failed, expected in ((0, 0.001), (4, 0.016), (6, 0.05), (5000, 0.05)):
        pauses.succeeded()
        lasted = await took(asyncio.ensure_future(pauses.pause(failed)))
        assert expected <= lasted < expected + at_most(0.1)


@pytest.mark.usefixtures("short")
async def test_while_nothing_goes_well_the_slots_take_turns() -> None:
    """40 slots fail at once: the first 39 pause on their own, then turns are 20 ms apart."""
    pauses = Backoff(40)
    await asyncio.gather(*(pauses.pause(0) for _ in range(39)))
    began = asyncio.get_running_loop().time()
    ends = []

    async def slot() -> None:
        await pauses.pause(0)
        ends.append(asyncio.get_running_loop().time() - began)

    await asyncio.gather(*(slot() for _ in range(10)))
    assert [end >= 0.02 * turn for turn, end in enumerate(ends)] == [True] * 10


async def test_a_request_that_goes_well_lets_all_slots_go_on(at_most: AtMost) -> None:
    """With the real pauses: the twentieth slot would wait for 20 s."""
    pauses = Backoff(4)
    waiting = [asyncio.ensure_future(pauses.pause(0)) for _ in range(24)]
    await asyncio.sleep(0.01)
    pauses.succeeded()
    async with asyncio.timeout(at_most(2)):
        await asyncio.gather(*waiting)
    again = asyncio.ensure_future(pauses.pause(0))
    assert await took(again) < at_most(1.0)  # what was counted before is forgotten
