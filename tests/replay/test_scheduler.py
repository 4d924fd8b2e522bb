"""The scheduler against scripted servers: how many sessions go on at once, and each way in which a run ends."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from copy import copy
from itertools import pairwise
from pathlib import Path

import pytest
from helpers.replay_state import BEGUN, WHOLE, rows_in, run_state, scheduler, trace
from helpers.scripted_server import Script, plain_response, playing

from trie.errors import PromptError, RunDirError
from trie.prompts.builder import SessionPrompts
from trie.replay import failure_policy
from trie.replay.prompt_queue import PromptQueue
from trie.replay.scheduler import Scheduler
from trie.replay.session_order import PlannedSession, SessionOrder
from trie.storage import row_writer

TRACES = [trace(row=0), trace(0.0, row=1)]
REFUSED: Script = (plain_response("500 Internal Server Error", b'{"error": "no"}'),)


def whole(_: bytes) -> Script:
    return WHOLE


def begun(_: bytes) -> Script:
    return BEGUN


async def until(is_time: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_time():  # noqa: ASYNC110 - counters have no event
            await asyncio.sleep(0.002)


async def test_a_run_ends_when_the_last_of_its_traces_has(tmp_path: Path) -> None:
    """Five sessions of the two traces in turn: those with a tool turn, 1 and 3, have two requests."""
    async with (
        playing(whole) as (url, _),
        run_state(url, tmp_path / "r", concurrency=2) as state,
        scheduler(state, TRACES, concurrency=2, max_traces=5) as replay,
    ):
        assert await replay.run() == "max_traces"
    rows = rows_in(tmp_path / "r")
    assert [(row["session_id"], row["turn"]) for row in rows] == [
        (0, 0),
        (1, 0),
        (1, 1),
        (2, 0),
        (3, 0),
        (3, 1),
        (4, 0),
    ]
    assert {row["outcome"] for row in rows} == {"ok"}
    counters = state.counters
    assert (counters.traces_completed, counters.traces_active, counters.requests_ok) == (5, 0, 7)


async def test_the_deadline_cancels_what_is_in_flight(tmp_path: Path) -> None:
    async with (
        playing(begun) as (url, _),
        run_state(url, tmp_path / "r", concurrency=3) as state,
        scheduler(state, TRACES, concurrency=3, duration_s=0.3) as replay,
    ):
        assert await replay.run() == "deadline"
    rows = rows_in(tmp_path / "r")
    assert [(row["session_id"], row["outcome"], row["error_kind"]) for row in rows] == [
        (session, "cancelled", "deadline") for session in range(3)
    ]
    assert [row["slot"] for row in rows] == [0, 1, 2]
    assert all(row["first_token_s"] is not None for row in rows)  # what had come is kept
    assert (state.counters.traces_cancelled, state.counters.traces_failed, state.counters.traces_active) == (3, 0, 0)
    assert replay.facts()["wall_time_s"] == state.clock.now_s >= 0.3


async def test_as_many_sessions_go_on_as_there_are_slots(tmp_path: Path) -> None:
    """The server answers in 10 ms, four at a time; a slot begins its next session when its last has ended."""
    open_at_once: list[int] = []

    async with (
        playing(lambda _: (0.01, *WHOLE)) as (url, _),
        run_state(url, tmp_path / "r", concurrency=4) as state,
        scheduler(state, [trace()], concurrency=4, max_traces=20) as replay,
    ):
        running = asyncio.create_task(replay.run())
        while not running.done():
            open_at_once.append(state.counters.traces_active)
            await asyncio.sleep(0.001)
    assert max(open_at_once) == 4
    rows = rows_in(tmp_path / "r")
    assert {row["slot"] for row in rows} == {0, 1, 2, 3}
    for slot in range(4):
        spans = sorted((row["queued_s"], row["end_s"]) for row in rows if row["slot"] == slot)
        assert all(begin >= end for (_, end), (begin, _) in pairwise(spans))


async def test_the_first_reason_to_stop_stands(tmp_path: Path) -> None:
    async with (
        playing(begun) as (url, requests),
        run_state(url, tmp_path / "r") as state,
        scheduler(state, TRACES) as replay,
    ):
        running = asyncio.create_task(replay.run())
        await until(lambda: bool(requests))
        replay.stop("interrupted")
        replay.stop("endpoint_died")
        assert await running == "interrupted"
        replay.stop("endpoint_died")  # and after the end
    assert [row["error_kind"] for row in rows_in(tmp_path / "r")] == ["interrupted"]
    assert state.stop_reason == "interrupted"


async def test_a_run_that_was_stopped_before_it_began_sends_nothing(tmp_path: Path) -> None:
    async with (
        playing(whole) as (url, requests),
        run_state(url, tmp_path / "r") as state,
        scheduler(state, TRACES) as replay,
    ):
        replay.stop("interrupted")
        assert await replay.run() == "interrupted"
    assert requests == []
    assert rows_in(tmp_path / "r") == []


async def test_a_run_that_is_cancelled_from_outside_has_its_rows_on_disk(tmp_path: Path) -> None:
    async def run() -> None:
        async with run_state(url, tmp_path / "r") as state, scheduler(state, TRACES) as replay:
            try:
                await replay.run()
            finally:
                replay.stop("endpoint_died")  # which comes too late to matter

    async with playing(begun) as (url, requests):
        running = asyncio.create_task(run())
        await until(lambda: bool(requests))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert [(row["outcome"], row["error_kind"]) for row in rows_in(tmp_path / "r")] == [("cancelled", "cancelled")]


async def test_too_many_failures_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failure_policy, "FIRST_PAUSE_S", 0.001)
    async with (
        playing(lambda _: REFUSED) as (url, requests),
        run_state(url, tmp_path / "r", max_failures=3) as state,
        scheduler(state, TRACES) as replay,
    ):
        assert await replay.run() == "max_failures"
    assert len(requests) == 3
    assert [row["outcome"] for row in rows_in(tmp_path / "r")] == ["failed"] * 3
    assert state.counters.traces_failed == 3


async def test_a_failed_session_gives_its_slot_to_the_next_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every second answer is an error: of four sessions of one request each, two complete."""
    monkeypatch.setattr(failure_policy, "FIRST_PAUSE_S", 0.001)
    answers = iter([REFUSED, WHOLE, REFUSED, WHOLE])
    async with (
        playing(lambda _: next(answers)) as (url, _),
        run_state(url, tmp_path / "r") as state,
        scheduler(state, [trace()], max_traces=4) as replay,
    ):
        assert await replay.run() == "max_traces"
    assert [row["outcome"] for row in rows_in(tmp_path / "r")] == ["failed", "ok", "failed", "ok"]
    assert (state.counters.traces_completed, state.counters.traces_failed) == (2, 2)


async def test_rows_that_can_not_be_written_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder goes in mid-run; the error is the writer's own, not a group of errors, and comes again at the end."""
    monkeypatch.setattr(row_writer, "FLUSH_EVERY_S", 0.05)
    folder = tmp_path / "r"
    async with playing(whole) as (url, requests), run_state(url, folder) as state:
        replay = await scheduler(state, TRACES).__aenter__()
        running = asyncio.create_task(replay.run())
        await until(lambda: len(requests) > 1)
        shutil.rmtree(folder)
        with pytest.raises(RunDirError, match="can't write rows"):
            await running
        assert state.stop_reason == "error"
        with pytest.raises(RunDirError, match="can't write rows"):
            await replay.__aexit__(None, None, None)


async def test_prompts_that_can_not_be_made_end_the_run(tmp_path: Path) -> None:
    def make(planned: PlannedSession) -> SessionPrompts:
        raise PromptError(f"no text for session {planned.session_id}")

    async with run_state("http://127.0.0.1:9/v1", tmp_path / "r") as state:
        with pytest.raises(PromptError, match="no text for session 0"):
            async with Scheduler(state, PromptQueue(SessionOrder(TRACES), make, ahead=1), slots=1, duration_s=1.0):
                raise AssertionError("entered")


@pytest.mark.parametrize(("servers", "traces"), [(2, 4), (2, 5), (3, 6), (4, 3), (3, 1), (1, 2), (5, 9)])
async def test_every_trace_visits_every_server(servers: int, traces: int, tmp_path: Path) -> None:
    """Over as many cycles of the workload as there are servers, each trace is once with each."""
    async with playing(lambda _: WHOLE) as (url, _), run_state(url, tmp_path / "r", traces=traces) as state:
        requesters = [copy(state.requesters[0]) for _ in range(servers)]
        state.requesters = requesters
        dealt = [requesters.index(state.requester(session)) for session in range(servers * traces)]
    for first in range(traces):
        assert sorted(dealt[first::traces]) == list(range(servers))
    first_cycle = [dealt[:traces].count(server) for server in range(servers)]
    assert max(first_cycle) - min(first_cycle) <= 1
