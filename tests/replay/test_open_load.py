"""Open loads, ramps and the end of a run, in virtual time and against servers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.manifests import manifest
from helpers.replay_state import WHOLE, rows_in, run_state, scheduler, trace
from helpers.scripted_server import Script, playing

from trie.config import ConcurrencyConfig, EndpointConfig, LoadConfig, RunConfig, SimConfig, WorkloadConfig
from trie.metrics.summary import Summary, summarize
from trie.replay.virtual import VirtualReplay
from trie.storage.manifest import Manifest
from trie.storage.parquet_parts import to_table
from trie.storage.record import RequestRecord
from trie.workload.arrivals import due_until
from trie.workload.trace import Trace

# A request of 32 tokens and 33 of an answer takes 1/32 s and 32 steps of 1/64 s: 17/32 s, alone or not.
SIM = SimConfig(prefill_tok_s=1024.0, decode_base_s=1 / 64, decode_per_request_s=0.0, request_overhead_s=0.0)
TRACE = Trace(32, (), (), (), 33)
SERVICE_S = 1 / 32 + 32 / 64
TIMER_S = 0.002  # by which a timer of the event loop may ring early


def config(load: LoadConfig, **changed) -> RunConfig:
    return RunConfig(
        workload=WorkloadConfig(path="traces"),
        endpoint=EndpointConfig(name="sim", ignore_eos=True),
        concurrency=ConcurrencyConfig(2),
        sim=changed.pop("sim", SIM),
        load=load,
        **{"duration": 8.0, **changed},
    )


def replayed(settings: RunConfig, traces: list[Trace] | None = None) -> tuple[VirtualReplay, list[RequestRecord]]:
    rows: list[RequestRecord] = []
    replay = VirtualReplay(settings, traces or [TRACE], write=rows.extend)
    replay.run()
    return replay, sorted(rows, key=lambda row: (row.session_id, row.turn))


def about(settings: RunConfig, replay: VirtualReplay) -> Manifest:
    due = due_until(settings.load, [TRACE], 0, until_s=min(replay.elapsed_s, settings.duration))
    end = {"wall_time_s": replay.elapsed_s, "traces_due": len(due), "waiting_since_s": due[replay.begun :]}
    load = {name: getattr(settings.load, name) for name in ("shape", "rate", "max_active", "levels")}
    return manifest(load=load, duration=settings.duration, end={**end, "drain_s": replay.drain_s})


def summary(settings: RunConfig) -> Summary:
    replay, rows = replayed(settings)
    return summarize(to_table(rows), about(settings, replay))


def test_traces_begin_when_they_are_due_in_the_lowest_free_slot() -> None:
    """One every 1/4 s, each takes 17/32 s: three are active at a time."""
    _, rows = replayed(config(LoadConfig("constant", rate=4.0)))
    assert [row.due_s for row in rows[:4]] == [row.sent_s for row in rows[:4]] == [0.0, 0.25, 0.5, 0.75]
    assert [row.slot for row in rows[:4]] == [0, 1, 2, 0]
    assert {row.end_s - row.sent_s for row in rows if row.outcome == "ok"} == {SERVICE_S}


def test_without_a_slot_traces_wait_and_their_times_count_from_when_they_were_due() -> None:
    """One slot serves 32/17 of 4 traces a second: trace n begins at n * 17/32, and was due at n / 4."""
    numbers = summary(config(LoadConfig("constant", rate=4.0, max_active=1), duration=16.0))
    begun = int(16.0 / SERVICE_S) + 1
    completed = begun - 1
    latencies = [(n + 1) * SERVICE_S - n / 4 for n in range(completed)]
    assert numbers.per_trace["latency_s"].max == pytest.approx(max(latencies))
    assert numbers.per_trace["latency_s"].mean == pytest.approx(sum(latencies) / completed)
    assert numbers.per_trace["ttft_s"].max == pytest.approx(latencies[-1] - 0.5)
    assert numbers.per_request["ttft_s"].max == pytest.approx(1 / 32)
    load = numbers.load
    assert load is not None
    assert (load.traces_due, load.waited, load.not_begun) == (64, begun - 1, 64 - begun)
    assert load.waited_share == pytest.approx(63 / 64)
    failing = {check.id for check in numbers.verdict if not check.ok}
    assert {"load_admitted", "load_served"} <= failing


def test_a_load_that_is_served_is_said_to_be() -> None:
    numbers = summary(config(LoadConfig("constant", rate=4.0), duration=16.0))
    ids = {check.id: check.ok for check in numbers.verdict}
    assert (ids["load_admitted"], ids["load_served"]) == (True, True)


def test_a_ramp_changes_the_number_of_active_traces_and_marks_its_rows() -> None:
    """1 for 4 s, 3 for 4 s, 1 for 4 s: each slot serves one trace after the other."""
    settings = config(LoadConfig("ramp", levels=[1, 3, 1]), duration=12.0)
    replay, rows = replayed(settings)
    begun = [[row.queued_s for row in rows if row.load_step == step] for step in range(3)]
    assert [len({row.slot for row in rows if row.load_step == step}) for step in range(3)] == [1, 3, 1]
    assert len(begun[0]) == int(4.0 / SERVICE_S) + 1
    load = summarize(to_table(rows), about(settings, replay)).load
    assert load is not None
    assert [(level.active_traces, level.from_s, level.to_s) for level in load.levels] == [
        (1, 0.0, 4.0), (3, 4.0, 8.0), (1, 8.0, 12.0)
    ]  # fmt: skip
    assert load.levels[1].completion_tok_s == pytest.approx(3 * 33 / SERVICE_S, rel=0.1)


def test_at_the_deadline_a_drain_lets_traces_end_and_the_rates_end_before_it() -> None:
    long = Trace(32, (33,), (4,), (6.0,), 33)
    replay, rows = replayed(config(LoadConfig(), at_deadline="drain", duration=2.0), [long])
    assert [row.outcome for row in rows] == ["ok"] * 4
    assert replay.stop_reason == "deadline"
    assert replay.drain_s == pytest.approx(rows[-1].end_s - 2.0)
    settings = config(LoadConfig(), at_deadline="drain", duration=2.0)
    numbers = summarize(to_table(rows), about(settings, replay))
    assert numbers.traces["completed"] == 2
    assert numbers.workload["completion_tok_s"].steady_state == 33 * 32  # of the two requests before it, 1/32 s apart
    replay, rows = replayed(config(LoadConfig(), at_deadline="drain", drain_timeout=1.0, duration=2.0), [long])
    assert replay.elapsed_s == 3.0


async def test_a_server_that_stalls_holds_up_no_arrival_and_its_stall_is_in_the_times_of_all_that_were_due(
    tmp_path: Path,
) -> None:
    """The first answer takes 0.5 s. A closed loop of one would send nothing meanwhile: one slow trace of many.

    Of an open load with one slot all that were due in the stall have waited for the rest of it.
    """
    answered: list[bytes] = []

    def stalling(request: bytes) -> Script:
        answered.append(request)
        return (0.5, *WHOLE) if len(answered) == 1 else WHOLE

    load = LoadConfig("constant", rate=20.0, max_active=1)
    async with (
        playing(stalling) as (url, _),
        run_state(url, tmp_path / "r") as state,
        scheduler(state, [trace()], load=load, max_traces=20) as replay,
    ):
        assert await replay.run() == "max_traces"
    rows = rows_in(tmp_path / "r")
    latencies = np.array([row["end_s"] - row["due_s"] for row in rows])
    assert [row["due_s"] for row in rows] == [pytest.approx(n / 20) for n in range(20)]
    assert all(latency >= 0.5 - n / 20 for n, latency in enumerate(latencies[:10]))
    alone = np.array([row["end_s"] - row["sent_s"] for row in rows])
    assert (alone > 0.25).sum() == 1
    assert (latencies > 0.25).sum() >= 5
    assert replay.facts()["traces_due"] is None  # nobody told when: `build` does


async def test_arrivals_and_a_ramp_in_real_time(tmp_path: Path) -> None:
    async with (
        playing(lambda _: (0.02, *WHOLE)) as (url, _),
        run_state(url, tmp_path / "r") as state,
        scheduler(state, [trace()], load=LoadConfig("ramp", levels=[1, 3]), concurrency=3, duration_s=0.6) as replay,
    ):
        assert await replay.run() == "deadline"
    rows = rows_in(tmp_path / "r")
    first = {slot: min(row["queued_s"] for row in rows if row["slot"] == slot) for slot in range(3)}
    assert first[0] < 0.3
    assert min(first[1], first[2]) > 0.3 - TIMER_S


async def test_a_drain_in_real_time_waits_for_what_is_open(tmp_path: Path) -> None:
    async with (
        playing(lambda _: (0.4, *WHOLE)) as (url, _),
        run_state(url, tmp_path / "r") as state,
        scheduler(state, [trace()], duration_s=0.1, drain_s=30.0) as replay,
    ):
        assert await replay.run() == "deadline"
    rows = rows_in(tmp_path / "r")
    assert [row["outcome"] for row in rows] == ["ok"]
    facts = replay.facts()
    assert facts["drain_s"] == pytest.approx(facts["wall_time_s"] - 0.1)
    assert rows[0]["end_s"] < facts["wall_time_s"] < 30.0
