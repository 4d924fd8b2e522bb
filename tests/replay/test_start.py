"""How slots begin: in steps, or inside traces after a warm-up, in virtual time and against a server."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import pytest
from helpers.replay_state import WHOLE, rows_in, run_state, scheduler, trace
from helpers.scripted_server import Script, playing

from trie.config import ConcurrencyConfig, EndpointConfig, RunConfig, SimConfig, Start, WorkloadConfig
from trie.preflight.pilot import simulated_pace
from trie.replay.start import steps
from trie.replay.virtual import VirtualReplay
from trie.storage.record import RequestRecord
from trie.workload.beginning import Beginning
from trie.workload.closed_loop import Pace
from trie.workload.trace import Trace

TOKEN, STEP, WAY_IN = 1 / 1024, 1 / 64, 1 / 256
SIM = SimConfig(
    prefill_tok_s=1024.0, decode_base_s=STEP, decode_per_request_s=0.0, request_overhead_s=WAY_IN, block_tokens=4
)


def config(start: Start, concurrency: int, **changed) -> RunConfig:
    return RunConfig(
        workload=WorkloadConfig(path="traces"),
        endpoint=EndpointConfig(name="sim", ignore_eos=True),
        concurrency=ConcurrencyConfig(concurrency),
        sim=changed.pop("sim", SIM),
        start=start,
        **{"duration": 8.0, **changed},
    )


def replayed(settings: RunConfig, traces: list[Trace], **about) -> tuple[VirtualReplay, list[RequestRecord]]:
    rows: list[RequestRecord] = []
    replay = VirtualReplay(settings, traces, write=rows.extend, **about)
    replay.run()
    return replay, rows


@pytest.mark.parametrize(
    ("start", "slots", "sizes"),
    [(Start.together, 20, [20]), (Start.spread, 20, [2, 3, 2, 3, 2, 3, 2, 3]), (Start.spread, 3, [1, 1, 1])],
)
def test_steps_are_as_equal_as_can_be(start: Start, slots: int, sizes: list[int]) -> None:
    taken = steps(start, slots)
    assert [len(step) for step in taken] == sizes
    assert [slot for step in taken for slot in step] == list(range(slots))


def test_a_slot_begins_when_the_one_before_has_its_first_token() -> None:
    """In virtual time: a first token comes after the way in and 64 tokens of prefill."""
    _, rows = replayed(config(Start.spread, 3, max_traces=3), [Trace(64, (), (), (), 100)])
    first = WAY_IN + 64 * TOKEN
    assert [row.queued_s for row in rows] == [0.0, first, 2 * first]
    assert not any(row.warm_up for row in rows)


def test_a_warm_up_ends_with_the_last_first_token_and_its_rows_are_before_the_run() -> None:
    """In both slots the last token of an answer and a part of a wait of 2 s are left: the wait is all there is."""
    pace = Pace(prompt_tok_s=1e9, answer_step_s=0.0)
    traces = [Trace(60, (2,), (4,), (2.0,), 3)]
    replay, rows = replayed(config(Start.stationary, 2), traces, pace=pace, seed=3)
    first = WAY_IN + 60 * TOKEN
    assert replay.warm_up_s == 2 * first
    assert replay.elapsed_s == 8.0
    warm_up = [row for row in rows if row.warm_up]
    assert [(row.queued_s, row.end_s, row.turn, row.new_prompt_tokens) for row in warm_up] == [
        (-2 * first, -first, 0, 60),
        (-first, 0.0, 0, 60),
    ]
    assert {row.requested_completion_tokens for row in warm_up} == {1}
    second = [row for row in rows if row.session_id < 2 and not row.warm_up]
    assert all(0 < row.queued_s < 2.0 and row.turn == 1 for row in second)
    assert {(row.usage_prompt_tokens, row.usage_cached_tokens) for row in second} == {(60 + 2 + 4, 60)}
    assert min(row.session_id for row in rows if row.turn == 0 and not row.warm_up) == 2


def test_a_pilot_tells_the_pace_of_the_model() -> None:
    """Four prompts of 1,024 tokens are prefilled one after the other; each token of an answer is a step."""
    pace = simulated_pace(config(Start.stationary, 4))
    assert pace.prompt_tok_s == pytest.approx(1024.0, rel=0.01)
    assert pace.answer_step_s == pytest.approx(STEP * 31 / 32)


async def test_a_session_says_before_what_it_would_have_said_and_its_first_request_is_warm_up(tmp_path: Path) -> None:
    inside = [(trace(0.0, 0.0), Beginning(1, 2, 1, 1.0)), (trace(), Beginning(0, 2, 1, 1.0))]
    arrived: list[float] = []

    def answer(_: bytes) -> Script:
        arrived.append(perf_counter())
        return WHOLE

    async with (
        playing(answer) as (url, requests),
        run_state(url, tmp_path / "r", concurrency=2) as state,
        scheduler(state, [trace()], concurrency=2, max_traces=3, inside=inside, start_mode=Start.stationary) as replay,
    ):
        assert await replay.run() == "max_traces"
    prompts = [json.loads(request.partition(b"\r\n\r\n")[2])["prompt"] for request in requests]
    assert prompts[0] == " p0 a p1"
    assert " p0 a p1 a p2" in prompts
    rows = rows_in(tmp_path / "r")
    first = {row["session_id"]: row for row in reversed(rows)}
    assert first[0]["warm_up"]
    assert first[1]["warm_up"]
    assert all(row["warm_up"] == (row["queued_s"] < 0) for row in rows)
    facts = replay.facts()
    begun_s = facts["began_monotonic_s"] - facts["warm_up_s"]
    assert begun_s <= facts["began_monotonic_s"] + first[0]["queued_s"] <= arrived[0]


def test_a_warm_up_holds_so_many_more_requests_of_each_slot() -> None:
    """Traces of one request: each slot makes its first and two more before the run begins."""
    settings = config(Start.inside, 2, warm_up_per_slot=2, max_traces=12)
    replay, rows = replayed(settings, [Trace(64, (), (), (), 64)], pace=Pace(1e9, 0.01))
    warm_up = [row for row in rows if row.warm_up]
    assert {slot: sum(row.slot == slot for row in warm_up) for slot in (0, 1)} == {0: 3, 1: 3}
    assert replay.warm_up_s is not None
    assert min(row.queued_s for row in rows if not row.warm_up) >= 0.0


def test_a_start_inside_takes_the_first_traces_between_two_shares_of_their_time() -> None:
    """An answer of 100 tokens is all of a trace's time: 25 to 75 of them are left, 50 on average."""
    traces = [Trace(4, (), (), (), 100, row=row) for row in range(400)]
    settings = config(Start.inside, 400, sim=replace(SIM, max_running=400))
    _, rows = replayed(settings, traces, pace=Pace(1e9, 0.01))
    left = [row.requested_completion_tokens for row in rows if row.session_id < 400]
    assert [row.trace_id for row in sorted(rows, key=lambda row: row.session_id)][:400] == list(range(400))
    assert 25 <= min(left) <= 27
    assert 73 <= max(left) <= 75
    assert sum(left) / 400 == pytest.approx(50.0, abs=4 * 50 / math.sqrt(12 * 400))


async def test_a_warm_up_of_several_requests_in_real_time(tmp_path: Path) -> None:
    inside = [(trace(), Beginning(0, 2, 1, 1.0))]
    async with (
        playing(lambda _: (0.02, *WHOLE)) as (url, _),
        run_state(url, tmp_path / "r") as state,
        scheduler(state, [trace()], max_traces=6, inside=inside, start_mode=Start.inside, warm_up_per_slot=2) as replay,
    ):
        await replay.run()
    rows = rows_in(tmp_path / "r")
    assert [row["warm_up"] for row in rows][:3] == [True] * 3
    assert not rows[-1]["warm_up"]
