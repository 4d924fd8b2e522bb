"""Whole runs against the embedded endpoint: known server in, known numbers out."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from helpers.bounds import AtMost
from helpers.scripted_server import plain_response, scripted
from helpers.simulator import QUICK, Serve
from tokenizers import Tokenizer, models, pre_tokenizers

from trie.config import (
    Api,
    Clock,
    ConcurrencyConfig,
    EndpointConfig,
    ProgressStyle,
    PromptConfig,
    RunConfig,
    SimConfig,
    WorkloadConfig,
)
from trie.engines.counters import Meter
from trie.errors import EndpointError, PromptError
from trie.metrics.evaluate_run import evaluate, write_summary
from trie.run import Result, execute_async
from trie.storage.run_dir import RunDir
from trie.workload.trace import Trace, Workload

TRACES = [
    Trace(50, (4, 6), (20, 30), (0.02, 0.01), 5, row=0),
    Trace(33, (), (), (), 3, row=1),
    Trace(64, (2,), (1,), (0.0,), 9, row=2),
]
WORKLOAD = Workload("w", TRACES, "a test", "0" * 64)


async def replayed(url: str, tmp_path: Path, **given: Any) -> Result:
    settings: dict[str, Any] = {
        "workload": WorkloadConfig(path="w.jsonl"),
        "endpoint": EndpointConfig(base_url=url, **given.pop("endpoint", {})),
        "concurrency": ConcurrencyConfig(given.pop("concurrency", 2)),
        "prompts": PromptConfig(pool_tokens=1 << 14),
        "progress": ProgressStyle.none,
        "duration": 60.0,
        "max_traces": 12,
        "max_retries": 0,
        "html": False,
    }
    return await execute_async(RunConfig(**{**settings, **given}), tmp_path / "run", workload=WORKLOAD)


async def test_rows_are_the_traces_in_order(sim: Serve, tmp_path: Path) -> None:
    async with sim(SimConfig(**QUICK)) as url:
        result = await replayed(url, tmp_path, concurrency=1)
    rows = result.rows.sort_values(["session_id", "turn"])
    assert result.summary.valid
    for session, frame in rows[rows.outcome == "ok"].groupby("session_id"):
        trace = TRACES[int(session) % 3]  # type: ignore[call-overload]
        plan = list(trace.requests())[: len(frame)]
        assert list(frame.trace_id.unique()) == [trace.row]
        assert list(frame.new_prompt_tokens) == [request.new_prompt_tokens for request in plan]
        assert list(frame.cached_prompt_tokens) == [request.cached_prompt_tokens for request in plan]
        assert list(frame.usage_completion_tokens) == [request.completion_tokens for request in plan]
    assert (rows.usage_prompt_tokens == rows.new_prompt_tokens + rows.cached_prompt_tokens)[rows.outcome == "ok"].all()


@pytest.mark.parametrize(("most", "concurrency"), [(2, 4), (7, 2)])
async def test_a_run_ends_when_the_last_of_its_traces_has(
    sim: Serve, tmp_path: Path, most: int, concurrency: int
) -> None:
    async with sim(SimConfig(**QUICK)) as url:
        result = await replayed(url, tmp_path, concurrency=concurrency, max_traces=most, duration=60.0)
    assert result.manifest["end"]["reason"] == "max_traces"
    assert result.summary.traces == {"completed": most, "failed": 0, "cancelled": 0}
    requests = sum(TRACES[session % 3].num_turns + 1 for session in range(most))
    assert result.summary.requests == {"ok": requests, "failed": 0, "cancelled": 0}
    assert "ran_its_duration" not in {check.id for check in result.summary.verdict}


async def test_tool_waits_are_slept_from_the_end_of_the_response(sim: Serve, tmp_path: Path, at_most: AtMost) -> None:
    async with sim(SimConfig(**QUICK)) as url:
        rows = (await replayed(url, tmp_path, concurrency=1, max_traces=1)).rows
    trace = rows[(rows.session_id == 0)].sort_values("turn")
    waits = (trace.sent_s - trace.end_s.shift()).iloc[1:]
    for wait, planned in zip(waits, (0.02, 0.01), strict=True):
        assert planned - 0.002 <= wait < planned + at_most(0.05)


async def test_cache_hits_are_the_servers(sim: Serve, tmp_path: Path) -> None:
    """Blocks of 16: turn 1 of the first trace finds 50 + 4 - 1 = 53 tokens with KV, so 48; turn 2 finds 79, so 64."""
    async with sim(SimConfig(**QUICK, block_tokens=16)) as url:
        rows = (await replayed(url, tmp_path, concurrency=1)).rows
    first = rows[rows.session_id == 0].sort_values("turn")
    assert list(first.usage_cached_tokens) == [0, 48, 64]


async def test_no_token_is_earlier_than_the_model(sim: Serve, tmp_path: Path) -> None:
    """As in the slow test below, without what depends on the machine."""
    model = SimConfig(prefill_tok_s=10_000.0, decode_base_s=0.010, decode_per_request_s=0.0, request_overhead_s=0.02)
    async with sim(model) as url:
        rows = (await replayed(url, tmp_path, concurrency=1, max_traces=3)).rows
    uncached = rows.usage_prompt_tokens - rows.usage_cached_tokens
    assert (rows.first_token_s - rows.sent_s >= 0.02 + uncached / 10_000.0).all()
    assert (rows.end_s - rows.sent_s >= 0.02 + uncached / 10_000.0 + 0.010 * (rows.usage_completion_tokens - 1)).all()


@pytest.mark.slow
async def test_numbers_agree_with_the_model(sim: Serve, tmp_path: Path) -> None:
    """One at a time: TTFT is overhead + uncached / prefill, a token comes every step; lateness is the machine's."""
    slow = SimConfig(prefill_tok_s=1000.0, decode_base_s=0.010, decode_per_request_s=0.0, request_overhead_s=0.02)
    async with sim(slow) as url:
        rows = (await replayed(url, tmp_path, concurrency=1, duration=2.5, max_traces=None)).rows
    done = rows[rows.outcome == "ok"]
    uncached = done.usage_prompt_tokens - done.usage_cached_tokens
    late = (done.first_token_s - done.sent_s) - (0.02 + uncached / 1000.0)
    assert late.median() == pytest.approx(0.002, abs=0.003)
    several = done[done.usage_completion_tokens > 1]
    step = (several.last_token_s - several.first_token_s) / (several.usage_completion_tokens - 1)
    assert step.median() == pytest.approx(0.010, rel=0.1)


async def test_the_deadline_cancels_and_is_no_failure(sim: Serve, tmp_path: Path, at_most: AtMost) -> None:
    async with sim(SimConfig(**{**QUICK, "decode_base_s": 0.5})) as url:
        result = await replayed(url, tmp_path, duration=0.6)
    rows = result.rows
    assert set(rows.outcome) == {"cancelled"}
    assert set(rows.error_kind) == {"deadline"}
    assert (rows.end_s >= 0.6).all()
    assert (rows.end_s < at_most(0.9)).all()
    assert rows.first_token_s.notna().all()  # what had come until then is kept
    assert not result.summary.valid
    assert result.summary.requests == {"ok": 0, "failed": 0, "cancelled": 2}


async def test_a_second_run_does_not_hit_the_firsts_cache(sim: Serve, tmp_path: Path) -> None:
    async with sim(SimConfig(**QUICK)) as url:
        first = await replayed(url, tmp_path / "a")
        second = await replayed(url, tmp_path / "b")
        again = await replayed(url, tmp_path / "c", seed=first.manifest["seed"])
    assert first.manifest["seed"] != second.manifest["seed"]
    turn0 = [run.rows[run.rows.turn == 0].usage_cached_tokens.max() for run in (first, second, again)]
    assert turn0[:2] == [0, 0]
    assert turn0[2] > 0
    assert "cold_start" in {check.id for check in again.summary.verdict if not check.ok}


FAULTS = {
    "http_500": "http_status",
    "reset": "reset",
    "error_event": "error_event",
    "truncated": "truncated",
    "empty": "no_tokens",
    "disconnect": "disconnected",
}


@pytest.mark.parametrize(("fault", "kind"), FAULTS.items())
async def test_faults_are_counted_and_the_run_goes_on(sim: Serve, tmp_path: Path, fault: str, kind: str) -> None:
    async with sim(SimConfig(**QUICK, fault_rate=0.3, faults=[fault])) as url:
        prompts = PromptConfig(pool_tokens=1 << 14, calibrate=False)
        result = await replayed(url, tmp_path, prompts=prompts, concurrency=8, max_traces=32)
    assert set(result.summary.facts["errors"]) - {"deadline"} == {kind}
    assert result.summary.traces["failed"] > 0
    assert result.summary.requests["ok"] > 0
    assert not result.summary.valid


async def test_retries_rescue_what_can_be_rescued(sim: Serve, tmp_path: Path) -> None:
    async with sim(SimConfig(**QUICK, fault_rate=0.3, faults=["http_429"])) as url:
        result = await replayed(url, tmp_path, max_retries=20, concurrency=8, max_traces=32)
    assert result.summary.requests["failed"] == 0
    assert result.summary.facts["retries"] > 0


async def test_plain_responses_and_chat(sim: Serve, tmp_path: Path) -> None:
    async with sim(SimConfig(**QUICK)) as url:
        plain = await replayed(url, tmp_path / "plain", stream=False)
        chat = await replayed(url, tmp_path / "chat", endpoint={"api": Api.chat})
    assert plain.summary.per_trace["ttft_s"] is None
    assert plain.summary.per_trace["latency_s"] is not None
    assert chat.summary.requests["failed"] == 0
    assert chat.manifest["prompts"]["offset_tokens"] == 2  # the template's two role words


async def test_the_engines_own_counters_are_the_rows(sim: Serve, tmp_path: Path) -> None:
    """To the last token where nothing was cut off; what was prepared and warmed up before the clock is not in it."""
    async with sim(SimConfig(**{**QUICK, "request_overhead_s": 0.002})) as url:
        result = await replayed(url, tmp_path, max_traces=6, duration=60.0, warm_up=3)
    engine = result.summary.facts["engine"]
    assert engine["comparable"]
    assert engine["counted"]["requests"] == len(result.rows)
    assert [
        engine["difference"][key] for key in ("prompt_tokens", "cached_tokens", "completion_tokens", "requests")
    ] == [0.0] * 4
    assert engine["rows"]["prompt_tokens"] == result.rows.usage_prompt_tokens.sum()
    assert 0 < engine["counted"]["queue_s"] <= engine["counted"]["ttft_s"] < engine["counted"]["e2e_s"]
    assert engine["difference"]["ttft_s"] > 0  # the client sees a token no earlier than the server makes it
    assert result.manifest["end"]["engine"]["settled"]
    assert result.manifest["config"]["endpoint"]["name"] == "sim"


async def test_what_was_cut_off_is_in_the_engines_counters_alone(sim: Serve, tmp_path: Path) -> None:
    async with sim(SimConfig(**{**QUICK, "decode_base_s": 0.5})) as url:
        engine = (await replayed(url, tmp_path, duration=0.6)).summary.facts["engine"]
    assert not engine["comparable"]
    assert engine["beside_rows"]["cancelled"] == 2
    assert (engine["counted"]["requests"], engine["rows"]["requests"]) == (0.0, 0)
    assert engine["counted"]["prompt_tokens"] == 50 + 33


async def test_several_servers_of_one_model_share_the_sessions(sim: Serve, tmp_path: Path) -> None:
    async with sim(SimConfig(**QUICK)) as first, sim(SimConfig(**QUICK)) as second:
        result = await replayed(first, tmp_path, endpoint={"replicas": [second]}, max_traces=6, duration=60.0)
    served = result.rows.groupby("session_id").worker.unique()
    # Three traces, in file order; the second cycle begins with the second server.
    assert [list(workers) for workers in served] == [[first], [second], [first], [second], [first], [second]]
    assert result.manifest["server"]["replicas"] == [second]
    assert len(set(result.manifest["server"]["engines"])) == 1
    assert next(check.ok for check in result.summary.verdict if check.id == "one_engine")
    assert result.summary.facts["engine"]["difference"]["prompt_tokens"] == 0.0  # of both together


async def test_a_bos_is_taken_off_the_first_prompt(sim: Serve, tmp_path: Path) -> None:
    async with sim(SimConfig(**QUICK, add_bos=True)) as url:
        result = await replayed(url, tmp_path)
    assert result.manifest["prompts"]["offset_tokens"] == 1
    assert result.summary.facts["drift"]["prompt_tokens"] == 0


async def test_a_server_without_usage_is_not_measured_as_zero(sim: Serve, tmp_path: Path) -> None:
    async with sim(SimConfig(**QUICK, report_usage=False)) as url:
        result = await replayed(url, tmp_path)
    assert result.summary.per_trace["cache_hit_rate_pct"] is None
    assert not result.manifest["prompts"]["calibrated"]


async def test_nothing_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(EndpointError, match="Connection refused; is the server running"):
        await replayed("http://127.0.0.1:9/v1", tmp_path)
    assert not (tmp_path / "run").exists()


async def test_a_foreign_tokenizer_is_refused_before_the_run(sim: Serve, tmp_path: Path) -> None:
    """A server that counts every letter: the word list is not its vocabulary."""
    tokenizer = Tokenizer(models.WordLevel({chr(i): i for i in range(128)}, unk_token=" "))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    async with sim(SimConfig(**QUICK, tokenizer=str(tmp_path))) as url:
        with pytest.raises(PromptError, match="the server counts"):
            await replayed(url, tmp_path)


async def test_the_embedded_endpoint_is_the_default(tmp_path: Path) -> None:
    config = RunConfig(
        workload=WorkloadConfig(path="w.jsonl"), sim=SimConfig(**QUICK), duration=0.3, progress=ProgressStyle.none
    )
    result = await execute_async(config, tmp_path / "run", workload=WORKLOAD)
    assert result.manifest["server"]["embedded"]
    assert result.manifest["server"]["model"] == "sim"


async def test_a_run_directory_holds_what_it_should(sim: Serve, tmp_path: Path) -> None:
    async with sim(SimConfig(**QUICK)) as url:
        result = await replayed(url, tmp_path, endpoint={"headers": {"X-Api-Token": "tok-123"}}, html=True)
    names = sorted(path.name for path in result.directory.iterdir())
    assert names == ["manifest.json", "population.parquet", "report.html", "requests", "summary.json"]
    manifest = json.loads((result.directory / "manifest.json").read_text())
    assert manifest["end"]["reason"] == "max_traces"
    assert manifest["workload"]["sha256"] == "0" * 64
    assert not [path for path in result.directory.glob("*.*") if b"tok-123" in path.read_bytes()]
    again = write_summary(RunDir.open(result.directory))
    assert again.to_json() == result.summary.to_json()


async def test_a_cancelled_caller_leaves_every_row(sim: Serve, tmp_path: Path) -> None:
    async with sim(SimConfig(**QUICK)) as url:
        task = asyncio.create_task(replayed(url, tmp_path, max_traces=None))
        while not list((tmp_path / "run").glob("requests/part-*.parquet")):  # noqa: ASYNC110 - what a run writes
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    run = RunDir.open(tmp_path / "run")
    assert run.records().num_rows > 10
    assert not list((tmp_path / "run" / "requests").glob("*.tmp"))
    end = run.manifest().end
    assert end is not None
    assert (end.reason, end.wall_time_s > 0.5) == ("cancelled", True)
    assert end.client is not None
    assert end.client.loop_lag_p99_s is not None
    checks = {check.id: check for check in evaluate(run).summary.verdict if not check.ok}
    assert "ended_in_order" not in checks
    assert checks["ran_its_duration"].found.startswith("cancelled after ")
    assert {row["error_kind"] for row in run.records().to_pylist() if row["outcome"] == "cancelled"} <= {"cancelled"}


async def test_a_run_that_is_cancelled_before_its_clock_starts_has_an_end(
    sim: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = asyncio.Event()

    async def start(_: Meter) -> None:
        reading.set()
        await asyncio.sleep(60)

    monkeypatch.setattr(Meter, "start", start)
    async with sim(SimConfig(**QUICK)) as url:
        task = asyncio.create_task(replayed(url, tmp_path))
        await reading.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    end = RunDir.open(tmp_path / "run").manifest().end
    assert end is not None
    assert (end.reason, end.wall_time_s, end.began_monotonic_s) == ("cancelled", 0.0, None)


async def test_a_run_in_virtual_time_that_is_cancelled_has_an_end(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"clock": Clock.virtual, "progress": ProgressStyle.none, "duration": 1e7}
    config = RunConfig(WorkloadConfig(path="w.jsonl"), concurrency=ConcurrencyConfig(64), **settings)
    task = asyncio.create_task(execute_async(config, tmp_path / "run", workload=WORKLOAD))
    while not list((tmp_path / "run").glob("requests/part-*.parquet")):  # noqa: ASYNC110 - what a run writes
        await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    run = RunDir.open(tmp_path / "run")
    end, rows = run.manifest().end, run.records()
    assert end is not None
    assert end.reason == "cancelled"
    await asyncio.sleep(0.3)
    assert RunDir.open(tmp_path / "run").records().num_rows == rows.num_rows  # nothing goes on in a thread


async def test_a_session_keeps_its_header_and_requests_their_own(tmp_path: Path) -> None:
    """A router tells sessions apart by the header that a setting names; each request has an id of its own."""
    body = b'{"choices": [{"text": " a", "finish_reason": "length"}], "usage": {"completion_tokens": 1}}'
    models = plain_response("200 OK", b'{"data": [{"id": "m"}]}')
    async with scripted(*[(models,)] + [(plain_response("200 OK", body),)] * 50) as (url, got):
        await replayed(
            url,
            tmp_path,
            endpoint={"session_header": "X-SMG-Routing-Key"},
            prompts=PromptConfig(pool_tokens=1 << 14, calibrate=False),
            concurrency=1,
            stream=False,
            max_traces=2,
        )
    heads = [
        dict(line.split(": ", 1) for line in raw.decode().split("\r\n\r\n")[0].split("\r\n")[1:])
        for raw in got
        if raw.startswith(b"POST")
    ]
    sessions = [head["X-SMG-Routing-Key"] for head in heads]
    assert sessions[0] == sessions[1] == sessions[2] != sessions[3]  # the first trace makes three requests
    assert len({head["X-Request-Id"] for head in heads}) == len(heads)
