"""One session against a scripted server: what each request holds, when it is due, and that each has one row."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.replay_state import BEGUN, WHOLE, prompts_of, rows_in, run_state, trace
from helpers.scripted_server import Script, plain_response, playing, scripted

from trie.prompts.builder import SessionPrompts
from trie.replay.event_loop import LoopGate
from trie.replay.run_state import RunState
from trie.replay.session import replay
from trie.storage.record import Outcome

BUSY: Script = (plain_response("500 Internal Server Error", b'{"error": "no"}'),)
LATER: Script = (plain_response("503 Service Unavailable", b'{"error": "later"}', "Retry-After: 30"),)


def bodies(requests: list[bytes]) -> list[dict[str, Any]]:
    return [json.loads(request.partition(b"\r\n\r\n")[2]) for request in requests]


def header(request: bytes, name: str) -> str:
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return next(value for line in lines for key, _, value in [line.partition(": ")] if key == name)


async def replayed(state: RunState, prompts: SessionPrompts) -> Outcome:
    """A session to its end, its rows on disk."""
    state.clock.start()
    try:
        return await replay(state, prompts, 0)
    finally:
        await state.rows.close()


async def cancelled_when(state: RunState, prompts: SessionPrompts, is_time: Callable[[], bool]) -> None:
    """A session that is cancelled as soon as `is_time` says so."""
    task = asyncio.create_task(replayed(state, prompts))
    async with asyncio.timeout(10):
        while not is_time():  # noqa: ASYNC110 - the rows and counters that it looks at have no event
            await asyncio.sleep(0.002)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_request_holds_all_that_was_said_before(tmp_path: Path) -> None:
    """Answers are "ab": the server's own words go back to it."""
    async with scripted(*[WHOLE] * 3) as (url, requests), run_state(url, tmp_path / "r") as state:
        assert await replayed(state, prompts_of(trace(0.0, 0.0))) is Outcome.ok
    assert [body["prompt"] for body in bodies(requests)] == [" p0", " p0ab p1", " p0ab p1ab p2"]
    assert [body["max_tokens"] for body in bodies(requests)] == [2, 2, 2]


async def test_recorded_answers_stand_in_the_place_of_the_servers(tmp_path: Path) -> None:
    async with scripted(*[WHOLE] * 2) as (url, requests), run_state(url, tmp_path / "r") as state:
        await replayed(state, prompts_of(trace(0.0), answers=(b" x", b" y")))
    assert [body["prompt"] for body in bodies(requests)] == [" p0", " p0 x p1"]


async def test_a_request_has_its_own_id_and_its_sessions(tmp_path: Path) -> None:
    async with (
        scripted(*[WHOLE] * 2) as (url, requests),
        run_state(url, tmp_path / "r", session_header="X-Session") as state,
    ):
        await replayed(state, prompts_of(trace(0.0), session_id=7))
    assert [header(request, "X-Request-Id") for request in requests] == ["r-7-0", "r-7-1"]
    assert [header(request, "X-Session") for request in requests] == ["r-7", "r-7"]


async def test_a_row_says_what_was_planned(tmp_path: Path) -> None:
    """Prompt 3, answer 2, tool output 1, answer 2: the second request finds 3 + 2 tokens of before."""
    async with scripted(*[WHOLE] * 2) as (url, _), run_state(url, tmp_path / "r") as state:
        await replayed(state, prompts_of(trace(0.0, row=4), session_id=9))
    names = ("trace_id", "session_id", "turn", "num_turns", "is_final", "new_prompt_tokens", "cached_prompt_tokens")
    assert [tuple(row[name] for name in names) for row in rows_in(tmp_path / "r")] == [
        (4, 9, 0, 1, False, 3, 0),
        (4, 9, 1, 1, True, 1, 5),
    ]
    assert [row["requested_completion_tokens"] for row in rows_in(tmp_path / "r")] == [2, 2]
    assert state.counters.total[1:] == (3 + 1, 0 + 5, 2 + 2)


class SlowGate(LoopGate):
    """A client that is busy for 30 ms whenever it has to work beside its reads."""

    async def enter(self) -> None:
        await asyncio.sleep(0.03)
        await super().enter()


async def test_a_tool_wait_counts_from_the_end_of_the_response(tmp_path: Path) -> None:
    """Decoding takes the client 30 ms here, after the response: the next request is due 50 ms after its end anyway."""
    async with scripted(*[WHOLE] * 3) as (url, _), run_state(url, tmp_path / "r", gate=SlowGate()) as state:
        await replayed(state, prompts_of(trace(0.05, 0.05)))
    first, second, third = rows_in(tmp_path / "r")
    timer_s = 0.0015  # by which a timer may ring early
    for before, after in ((first, second), (second, third)):
        assert 0.05 - timer_s <= after["queued_s"] - before["end_s"] <= 0.05 + 1e-9
        assert after["sent_s"] >= after["queued_s"] + 0.03 - timer_s  # the client's own delay stands in the row


async def test_a_failure_ends_the_trace(tmp_path: Path) -> None:
    async with scripted(WHOLE, BUSY, WHOLE) as (url, requests), run_state(url, tmp_path / "r") as state:
        assert await replayed(state, prompts_of(trace(0.0, 0.0))) is Outcome.failed
    rows = rows_in(tmp_path / "r")
    assert [(row["turn"], row["outcome"], row["error_kind"]) for row in rows] == [
        (0, "ok", None),
        (1, "failed", "http_status"),
    ]
    assert len(requests) == 2
    counters = state.counters
    assert (counters.requests_ok, counters.requests_failed, counters.requests_in_flight) == (1, 1, 0)


async def test_a_cancelled_request_has_one_row_with_what_had_come(tmp_path: Path) -> None:
    async with scripted(WHOLE, BEGUN) as (url, requests), run_state(url, tmp_path / "r") as state:
        state.stop_reason = "deadline"
        await cancelled_when(state, prompts_of(trace(0.0, 0.0)), lambda: len(requests) == 2)
    whole, cut_off = rows_in(tmp_path / "r")
    assert (whole["outcome"], cut_off["outcome"], cut_off["error_kind"]) == ("ok", "cancelled", "deadline")
    assert cut_off["turn"] == 1
    counters = state.counters
    assert (counters.requests_ok, counters.requests_cancelled, counters.requests_in_flight) == (1, 1, 0)


async def test_a_request_cancelled_in_the_pause_before_a_retry_ended_then(tmp_path: Path) -> None:
    """The server asks for a pause of 30 s; the request waits 0.3 s of it, and is open until then."""
    async with scripted(LATER) as (url, requests), run_state(url, tmp_path / "r", max_retries=1) as state:
        asked: list[float] = []

        def is_time() -> bool:
            asked.extend([time.perf_counter()] if requests and not asked else [])
            return bool(asked) and time.perf_counter() > asked[0] + 0.3

        await cancelled_when(state, prompts_of(trace()), is_time)
    (row,) = rows_in(tmp_path / "r")
    assert (row["outcome"], row["http_status"]) == ("cancelled", 503)
    assert row["end_s"] - row["sent_s"] >= 0.29


async def test_a_session_that_is_cancelled_for_no_reason_of_the_run_says_so(tmp_path: Path) -> None:
    async with scripted(BEGUN) as (url, requests), run_state(url, tmp_path / "r") as state:
        await cancelled_when(state, prompts_of(trace()), lambda: bool(requests))
    assert [row["error_kind"] for row in rows_in(tmp_path / "r")] == ["cancelled"]


async def test_a_request_that_waits_for_its_tool_has_not_started(tmp_path: Path) -> None:
    async with scripted(WHOLE) as (url, _), run_state(url, tmp_path / "r") as state:
        await cancelled_when(state, prompts_of(trace(60.0)), lambda: state.counters.requests_ok == 1)
    assert [(row["turn"], row["outcome"]) for row in rows_in(tmp_path / "r")] == [(0, "ok")]


async def test_a_cancellation_between_two_attempts_is_no_failure(tmp_path: Path) -> None:
    """The server asks to come back in 30 s; the run ends before: nobody knows how the request would have ended."""
    async with scripted(LATER) as (url, _), run_state(url, tmp_path / "r", max_retries=3) as state:
        state.stop_reason = "interrupted"
        await cancelled_when(state, prompts_of(trace()), lambda: state.counters.retries == 1)
    (row,) = rows_in(tmp_path / "r")
    assert (row["outcome"], row["error_kind"], row["attempts"]) == ("cancelled", "interrupted", 1)
    assert (state.counters.requests_failed, state.counters.requests_cancelled) == (0, 1)


async def test_a_row_says_how_late_the_loop_was_meanwhile(tmp_path: Path) -> None:
    def stand_still(_: bytes) -> Script:
        time.sleep(0.05)  # the loop is the client's too
        return WHOLE

    async with playing(stand_still) as (url, _), run_state(url, tmp_path / "r") as state:
        state.health.start()
        await replayed(state, prompts_of(trace()))
        state.health.stop()
    (row,) = rows_in(tmp_path / "r")
    assert row["loop_lag_s"] > 0.03
    assert row["first_token_lag_s"] > 0.03


async def test_sessions_take_turns_on_the_servers_and_stay_with_theirs(tmp_path: Path) -> None:
    async with run_state("http://127.0.0.1:9/v1", tmp_path / "a") as state:
        other = object()
        state.requesters = [*state.requesters, other]  # type: ignore[list-item]
        first = state.requesters[0]
        assert [state.requester(session) for session in range(4)] == [first, other, first, other]
