"""The gate of the event loop: one caller a pass of the loop, in the order they came."""

from __future__ import annotations

import asyncio

from trie.replay.event_loop import LoopGate


async def test_one_caller_a_pass_in_order() -> None:
    """A marker that runs once a pass stands between any two callers."""
    gate, seen = LoopGate(), []

    async def work(name: int) -> None:
        await gate.enter()
        seen.append(name)

    def mark() -> None:
        seen.append("pass")
        if len(seen) < 30:
            asyncio.get_running_loop().call_soon(mark)

    tasks = [asyncio.create_task(work(name)) for name in range(5)]
    asyncio.get_running_loop().call_soon(mark)
    await asyncio.gather(*tasks)
    assert [name for name in seen if name != "pass"] == [0, 1, 2, 3, 4]
    assert all("pass" in seen[seen.index(n) : seen.index(n + 1)] for n in range(4))


async def test_a_cancelled_caller_holds_nobody_up() -> None:
    gate, seen = LoopGate(), []

    async def work(name: str) -> None:
        await gate.enter()
        seen.append(name)

    tasks = [asyncio.create_task(work(name)) for name in "abc"]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await gate.enter()
    assert seen == ["a", "c"]


async def test_an_open_gate_lets_through_at_once() -> None:
    gate = LoopGate()
    await asyncio.sleep(0)
    coroutine = gate.enter()
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise AssertionError("waited")
