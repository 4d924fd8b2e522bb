"""The coordinator's end of a worker on another machine, with an actor that is played: no Ray is needed."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

import pytest
from helpers.rows import row

from trie.cluster.clock_offset import ClockOffset, burst
from trie.cluster.ray_handle import RayHandle, moved, one_line
from trie.cluster.remote_worker import Host, Reply
from trie.replay.counters import Counters
from trie.storage.parquet_parts import to_table
from trie.workers.messages import Begin, Command, Ended, Message, Ready, Rows


class GoneError(Exception):
    """What Ray raises of an actor that has died."""


@dataclass
class PlayedActor:
    """Answers at once, by a clock that runs fast and has another zero."""

    ahead_s: float = 0.0
    drift: float = 0.0
    messages: list[Message] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    ending: str | None = None
    failure: Exception | None = None
    clock_failure: Exception | None = None
    silent: bool = False
    killed: bool = False
    began_s: float = field(default_factory=perf_counter)

    def shows(self, instant_s: float) -> float:
        return instant_s + (instant_s - self.began_s) * self.drift + self.ahead_s

    async def clock(self) -> float:
        if self.clock_failure is not None:
            raise self.clock_failure
        return self.shows(perf_counter())

    async def exchange(self, commands: Sequence[Command]) -> Reply:
        if self.silent:
            await asyncio.sleep(3600)
        if self.failure is not None:
            raise self.failure
        clock_s = self.shows(perf_counter())
        self.commands += commands
        messages, self.messages = self.messages, []
        return Reply(clock_s, [pickle.dumps(message) for message in messages], None if messages else self.ending)

    def kill(self) -> None:
        self.killed = True


async def handle_of(
    actor: PlayedActor, warnings: list[str], *, max_drift: float = 200e-6, **limits: float
) -> RayHandle:
    offset = ClockOffset(max_drift)
    await burst(offset, actor.clock)
    return RayHandle(actor, 1, Host("node1", "another", "1"), offset, failure=GoneError, warn=warnings.append, **limits)


async def test_instants_of_a_fast_clock_that_is_ahead_are_those_of_the_coordinator() -> None:
    """The clock gains 50 ms in a second and is 1,000 s ahead; a request ends 0.5 s after the run began."""
    actor = PlayedActor(ahead_s=1000.0, drift=0.05)
    handle = await handle_of(actor, [], max_drift=0.06)
    began_s = perf_counter()
    handle.send(Begin(began_s + handle.offset_s))
    await asyncio.sleep(0.5)
    ended_s = perf_counter()
    [begin] = actor.commands
    assert isinstance(begin, Begin)
    end_s = actor.shows(ended_s) - begin.at
    assert end_s - (ended_s - began_s) > 0.02  # what the worker wrote down is wrong by so much
    actor.messages = [Rows(to_table([row(end_s=end_s, first_token_s=None)])), Ended("deadline", Counters(), {})]
    rows, ended = await handle.receive(), await handle.receive()
    waited_s = perf_counter() - ended_s  # rows are moved by what the clock gained until they were asked for
    assert isinstance(rows, Rows)
    assert isinstance(ended, Ended)
    assert rows.table["end_s"][0].as_py() == pytest.approx(ended_s - began_s, abs=0.005 + 0.05 * waited_s)
    assert rows.table["first_token_s"][0].as_py() is None
    assert handle.clock["offset_begin_s"] == pytest.approx(1000.0, abs=0.1)
    assert handle.clock["drift"] == pytest.approx(0.05, abs=0.02)
    await handle.close()
    assert actor.killed


def test_no_request_of_the_run_moves_into_its_warm_up() -> None:
    table = to_table([row(queued_s=0.001, sent_s=0.5, end_s=None), row(queued_s=-3.0, sent_s=-2.5, end_s=-1.0)])
    later = moved(table, -0.002)
    assert later["queued_s"].to_pylist() == [0.0, pytest.approx(-3.002)]
    assert later["sent_s"].to_pylist() == [pytest.approx(0.498), pytest.approx(-2.502)]
    assert later["end_s"].to_pylist() == [None, pytest.approx(-1.002)]
    assert later.schema.equals(table.schema, check_metadata=True)


async def test_worker_that_has_ended_is_heard_to_the_end() -> None:
    actor = PlayedActor(messages=[Ready()], ending="exit code 1; no memory")
    handle = await handle_of(actor, [])
    assert [await handle.receive(), await handle.receive()] == [Ready(), None]
    assert await handle.ending() == "exit code 1; no memory"


async def test_worker_whose_node_dies_after_its_last_row_has_ended() -> None:
    actor = PlayedActor(messages=[Ended("deadline", Counters(), {})])
    handle = await handle_of(actor, [])
    actor.clock_failure = GoneError("It was killed")
    assert isinstance(await handle.receive(), Ended)
    assert handle.clock["error_end_s"] < 1.0  # as the exchanges before have left it
    await handle.close()


async def test_actor_that_has_died_is_gone_at_once_and_in_one_line() -> None:
    told = (
        "The actor died.\n\tclass_name: RemoteWorker\n\tactor_id: 1f\nIt was killed. Some common causes are: (1) one."
    )
    actor = PlayedActor(failure=GoneError(told))
    handle = await handle_of(actor, [])
    assert await handle.receive() is None
    assert await handle.ending() == "The actor died. It was killed"


def test_what_an_actor_raised_is_told_without_the_traceback() -> None:
    traceback = 'ray::RemoteWorker.start() (pid=1, ip=10.0.0.3, repr=<A>)\n  File "a.py", line 1\n'
    error = GoneError(f"{traceback}ModuleNotFoundError: No module named 'trie'")
    assert one_line(error) == "ModuleNotFoundError: No module named 'trie' (ip=10.0.0.3)"


async def test_node_that_is_silent_is_reported_and_then_taken_for_dead() -> None:
    warnings: list[str] = []
    actor = PlayedActor(silent=True)
    handle = await handle_of(actor, warnings, silent_s=0.05, lost_s=0.1)
    assert await handle.receive() is None
    assert warnings == ["worker 1: node1 has not answered for 0.05 s"]
    assert await handle.ending() == "its node has not answered for 0.1 s"
    assert actor.killed  # it may live, and must not go on sending
