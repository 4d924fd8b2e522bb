"""A run that several workers replay is the run that one replays; the workers are tasks here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from helpers import worker_tasks
from helpers.scripted_server import HEAD, Script, plain_response, playing
from helpers.simulator import QUICK, Serve
from helpers.worker_tasks import Channel, TaskHandle, tasks

from trie import Client
from trie.cli.hydra_app import refuse_failed
from trie.cluster import places
from trie.config import (
    ClientConfig,
    ConcurrencyConfig,
    EndpointConfig,
    LoadConfig,
    Priority,
    ProgressStyle,
    PromptConfig,
    RunConfig,
    SimConfig,
    Start,
    WorkloadConfig,
)
from trie.errors import ConfigError, RunDirError, WorkerError
from trie.metrics.evaluate_run import evaluate
from trie.replay.share import Share
from trie.run import Result, execute_async
from trie.storage.parquet_parts import PartsWriter
from trie.storage.run_dir import RunDir
from trie.workers import coordinator
from trie.workers.assignment import Assignment, worker_count
from trie.workers.handle import Placement
from trie.workers.member import Member
from trie.workers.messages import Begin, Ended, Measure, Ready, WarmedUp
from trie.workload.trace import Trace, Workload

TRACES = [Trace(50, (4, 6), (20, 30), (0.0, 0.0), 5, row=0), Trace(33, (), (), (), 3, row=1)]
TRACES += [Trace(64, (2,), (1,), (0.0,), 9, row=2)]
WORKLOAD = Workload("w", TRACES, "a test", "0" * 64)
MODELS = plain_response("200 OK", b'{"data": [{"id": "m"}]}')
ANSWER = b'{"choices": [{"text": " a", "finish_reason": "length"}], "usage": {"completion_tokens": 1}}'
TIMER_S = 0.002  # by which a timer of the event loop may ring early
WORDS = PromptConfig(pool_tokens=1 << 14, calibrate=False)


@pytest.fixture(autouse=True)
def _workers_are_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "processes", tasks)


def settings(url: str, **given: Any) -> RunConfig:
    usual: dict[str, Any] = {
        "workload": WorkloadConfig(path="w.jsonl"),
        "endpoint": EndpointConfig(base_url=url),
        "concurrency": ConcurrencyConfig(given.pop("concurrency", 3)),
        "client": ClientConfig(priority=Priority.normal, max_in_flight=given.pop("max_in_flight", None)),
        "prompts": WORDS,
        "progress": ProgressStyle.none,
        "duration": 30.0,
        "max_retries": 0,
        "seed": 5,
        "html": False,
        "workers": "2",
    }
    return RunConfig(**{**usual, **given})


async def replayed(url: str, directory: Path, **given: Any) -> Result:
    return await execute_async(settings(url, **given), directory, workload=WORKLOAD)


async def requests(workers: int, directory: Path) -> tuple[dict[bytes, bytes], Result]:
    """What a run sends, by the id of each request."""

    def answer(raw: bytes) -> Script:
        return (plain_response("200 OK", ANSWER) if raw.startswith(b"POST") else MODELS,)

    async with playing(answer) as (url, got):
        result = await replayed(url, directory, workers=str(workers), stream=False, max_traces=8)
    posts = [raw.split(b"\r\n\r\n", 1) for raw in got if raw.startswith(b"POST")]
    return {head.lower().partition(b"x-request-id: ")[2].split(b"\r\n")[0]: body for head, body in posts}, result


async def test_every_request_is_the_same_whatever_the_number_of_workers(tmp_path: Path) -> None:
    alone, _ = await requests(1, tmp_path / "1")
    assert len(alone) == 3 + 1 + 2 + 3 + 1 + 2 + 3 + 1
    for workers in (2, 3):
        together, result = await requests(workers, tmp_path / str(workers))
        assert together == alone
        rows = result.rows
        assert all(Share(row.worker_id, workers).has(row.session_id) for row in rows.itertuples())
        assert (rows.slot % workers == rows.worker_id).all()
        assert result.manifest.end is not None
        assert [worker.slots for worker in result.manifest.end.workers] == [{2: 2, 3: 1}[workers], 1, 1][:workers]
        assert result.manifest.end.reason == "max_traces"


def test_each_worker_has_its_share_of_every_kind_of_trace() -> None:
    """A workload whose traces take turns, such as long and short ones, is no workload of one kind for each worker."""
    shares = [Share(index, 4) for index in range(4)]
    sessions = [[session for session in range(4000) if share.has(session)] for share in shares]
    for turn in range(1000):
        assert sorted(own[turn] for own in sessions) == list(range(4 * turn, 4 * turn + 4))  # one of four in a row
    for own in sessions:
        kinds = [sum(session % 4 == kind for session in own) for kind in range(4)]
        assert kinds == pytest.approx([250] * 4, abs=70)  # 5 standard deviations of 1,000 draws of one in four


def crossing(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, object]]:
    """What the coordinator and the workers tell each other, in order, and when."""
    crossed: list[tuple[float, object]] = []

    def recorded(send: Callable[[Any, object], None]) -> Callable[[Any, object], None]:
        def send_and_note(self: Any, message: object) -> None:
            crossed.append((perf_counter(), message))
            send(self, message)

        return send_and_note

    for end in (TaskHandle, Channel):
        monkeypatch.setattr(end, "send", recorded(end.send))
    return crossed


async def test_all_begin_to_be_measured_at_one_instant(
    sim: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None before the last has warmed up. All rows have one zero: those of the warm-up, some of each, are before it."""
    crossed = crossing(monkeypatch)
    async with sim(SimConfig(**QUICK)) as url:
        result = await replayed(url, tmp_path / "run", start=Start.stationary, duration=0.6, concurrency=4)
    turning = [message for _, message in crossed if isinstance(message, Begin | WarmedUp | Measure)]
    begin, measure = turning[0], turning[-1]
    assert isinstance(begin, Begin)
    assert isinstance(measure, Measure)
    assert turning == [begin, begin, WarmedUp(), WarmedUp(), measure, measure]
    ended = [(instant, message.facts) for instant, message in crossed if isinstance(message, Ended)]
    assert [facts["began_monotonic_s"] for _, facts in ended] == [measure.at] * 2
    rows, end = result.rows, result.manifest.end
    assert set(rows[rows.warm_up].worker_id) == {0, 1}
    assert set(rows[~rows.warm_up].worker_id) == {0, 1}
    assert (rows[~rows.warm_up].queued_s >= 0).all()
    assert (rows.groupby("slot").first_token_s.min() < 0).tolist() == [True] * 4
    assert end is not None
    assert end.began_monotonic_s == measure.at
    assert end.warm_up_s == pytest.approx(measure.at - begin.at)
    assert (rows[rows.warm_up].queued_s.between(-end.warm_up_s, 0, inclusive="left")).all()
    assert 0.6 - TIMER_S < end.wall_time_s < max(instant for instant, _ in ended) - measure.at


async def test_an_open_load_is_due_as_it_is_with_one_worker(sim: Serve, tmp_path: Path) -> None:
    load = LoadConfig(shape="constant", rate=20.0, max_active=3)
    async with sim(SimConfig(**QUICK)) as url:
        result = await replayed(url, tmp_path / "run", load=load, duration=0.48)
    first = result.rows[result.rows.turn == 0].sort_values("session_id")
    assert first.due_s.tolist() == pytest.approx([0.05 * session for session in first.session_id])
    assert all(Share(row.worker_id, 2).has(row.session_id) for row in first.itertuples())
    assert set(result.rows.slot) <= {0, 1, 2}
    assert result.manifest.end is not None
    assert result.manifest.end.traces_due == 10  # 0, 0.05, ... 0.45


async def test_a_prefix_that_traces_share_is_new_once(sim: Serve, tmp_path: Path) -> None:
    """Of 8 first prompts with 32 tokens in common one sends them as new, whichever worker has it."""
    shared = [replace(trace, shared_prefix_id="a", shared_prefix_length=32) for trace in TRACES]
    async with sim(SimConfig(**QUICK)) as url:
        config = settings(url, max_traces=8, workers="3")
        result = await execute_async(config, tmp_path / "run", workload=replace(WORKLOAD, traces=shared))
    first = result.rows[result.rows.turn == 0].sort_values("session_id")
    assert first.cached_prompt_tokens.tolist() == [0, *[32] * 7]


async def test_a_ramp_has_its_levels_over_all_workers(sim: Serve, tmp_path: Path) -> None:
    load = LoadConfig(shape="ramp", levels=[1, 3])
    async with sim(SimConfig(**QUICK)) as url:
        result = await replayed(url, tmp_path / "run", load=load, duration=0.8)
    assert set(result.rows[result.rows.queued_s < 0.39].slot) == {0}
    assert set(result.rows[result.rows.queued_s > 0.41].slot) == {0, 1, 2}


async def test_a_limit_on_failures_is_that_of_the_run(sim: Serve, tmp_path: Path) -> None:
    async with sim(SimConfig(**QUICK, faults=["http_500"], fault_rate=1.0)) as url:
        result = await replayed(url, tmp_path / "run", max_failures=4, duration=20.0, concurrency=4)
    assert result.stopped == "max_failures"
    assert set(result.rows.worker_id) == {0, 1}
    assert result.summary.requests["failed"] >= 4


async def test_a_run_that_is_stopped_ends_with_the_reason_in_its_rows(tmp_path: Path) -> None:
    all_sent, posts = asyncio.Event(), count(1)

    def begun(raw: bytes) -> Script:
        if not raw.startswith(b"POST"):
            return (MODELS,)
        if next(posts) == 4:
            all_sent.set()
        return (HEAD, 60.0)

    async with playing(begun) as (url, _):
        running = asyncio.create_task(replayed(url, tmp_path / "run", concurrency=4))
        await all_sent.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    ended = evaluate(RunDir.open(tmp_path / "run"))
    assert ended.manifest.end is not None
    assert ended.manifest.end.reason == "cancelled"
    assert set(ended.frame().error_kind) == {"cancelled"}
    assert set(ended.frame().slot) == {0, 1, 2, 3}


def placing() -> tuple[list[TaskHandle], Placement]:
    """A placement, and the handles that it will have made."""
    handles: list[TaskHandle] = []

    @asynccontextmanager
    async def placed(given: Sequence[Assignment]) -> AsyncIterator[list[TaskHandle]]:
        async with tasks(given) as started:
            handles.extend(started)
            yield started

    return handles, placed


async def test_a_run_of_which_every_worker_dies_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handles, placed = placing()

    def answer(raw: bytes) -> Script:
        if not raw.startswith(b"POST"):
            return (MODELS,)
        for handle in handles:
            handle.kill()
        return (60.0,)

    monkeypatch.setattr(places, "processes", placed)
    async with playing(answer) as (url, _):
        result = await replayed(url, tmp_path / "run")
    assert [worker["died"] for worker in result.manifest["end"]["workers"]] == ["cancelled", "cancelled"]
    assert not result.summary.valid
    with pytest.raises(WorkerError, match="all workers died"):
        refuse_failed(result)


async def test_a_worker_that_falls_silent_makes_the_run_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handles, placed = placing()

    def answer(raw: bytes) -> Script:
        if not raw.startswith(b"POST"):
            return (MODELS,)
        monkeypatch.setattr(coordinator, "SILENT_S", 1.0)
        monkeypatch.setattr(handles[1], "receive", asyncio.Event().wait)
        return (60.0,)

    monkeypatch.setattr(places, "processes", placed)
    async with playing(answer) as (url, _):
        result = await replayed(url, tmp_path / "run", duration=0.3)
    assert [worker["died"] for worker in result.manifest["end"]["workers"]] == [None, "nothing was heard of it for 1 s"]
    lived_s = result.manifest["end"]["workers"][0]["wall_time_s"]
    assert result.summary.wall_time_s == lived_s  # without the second of silence
    assert not result.summary.valid


async def test_a_time_in_which_the_coordinator_stood_still_is_no_silence_of_a_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop, messages = asyncio.get_running_loop(), asyncio.Queue[Any]()

    def stand_still() -> None:
        time.sleep(0.1)
        loop.call_soon(messages.put_nowait, Ready())  # it lay in the pipe all the while

    monkeypatch.setattr(coordinator, "SILENT_S", 0.05)
    loop.call_later(0.002, stand_still)
    handle = TaskHandle.__new__(TaskHandle)
    monkeypatch.setattr(handle, "receive", messages.get, raising=False)
    assert await coordinator._next_message(Member(0, handle, 1)) == Ready()


async def test_rows_that_cannot_be_written_end_the_run_with_the_reason(
    sim: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_table(self: PartsWriter, table: object) -> None:
        raise RunDirError("the disk is full")

    monkeypatch.setattr(PartsWriter, "write_table", write_table)
    async with sim(SimConfig(**QUICK)) as url:
        with pytest.raises(RunDirError, match=r"^the disk is full$"):
            await replayed(url, tmp_path / "run")


async def test_a_worker_that_does_not_start_is_one_line(
    sim: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(assignment: Assignment, channel: object) -> None:
        raise OSError

    monkeypatch.setattr(worker_tasks, "work", fails)
    async with sim(SimConfig(**QUICK)) as url:
        with pytest.raises(WorkerError, match=r"^workers=2: worker 0 did not start: "):
            await replayed(url, tmp_path / "run")


async def test_workers_go_on_to_the_ends_of_their_traces(sim: Serve, tmp_path: Path) -> None:
    async with sim(SimConfig(**{**QUICK, "decode_base_s": 0.1})) as url:
        result = await replayed(url, tmp_path / "run", at_deadline="drain", duration=0.3, concurrency=4)
    assert result.summary.traces["cancelled"] == 0
    assert result.summary.traces["completed"] >= 4
    assert result.manifest.end is not None
    assert result.manifest.end.reason == "deadline"
    assert result.manifest.end.drain_s == pytest.approx(result.manifest.end.wall_time_s - 0.3)


async def test_workers_in_the_python_api(sim: Serve, tmp_path: Path) -> None:
    async with sim(SimConfig(**QUICK)) as url:
        client = Client(url, tokenizer_model="words")
        given: dict[str, Any] = {"concurrency": 4, "duration": 0.3, "progress": "none", "live": 0, "show": False}
        result = await client.run(TRACES, workers=2, directory=tmp_path / "run", **given)
    assert set(result.rows.worker_id) == {0, 1}


def test_there_are_no_more_workers_than_have_something_to_do() -> None:
    url = "http://127.0.0.1:1/v1"
    assert worker_count(settings(url, workers="8", concurrency=5)) == 5
    assert worker_count(settings(url, workers="8", concurrency=5, max_traces=3)) == 3
    assert worker_count(settings(url, workers="8", concurrency=5, max_in_flight=2)) == 2


@pytest.mark.parametrize("given", [{"workers": "0"}, {"workers": "two"}, {"load": LoadConfig(idle_gap_cap_s=1.0)}])
def test_a_number_of_workers_that_is_not_allowed(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"^workers="):
        settings("http://127.0.0.1:1/v1", **given)
