"""Whole runs into faults: the run goes on, each row is what the table says, and the totals add up."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from fault_table import FAULTS, WHOLE, Fault, counts, data, head, stream
from helpers.bounds import AtMost
from helpers.command_line import Command
from helpers.scripted_server import DONE, Script, event, plain_response, playing
from lab import KEY, certificate
from test_fault_table import check

from trie.config import Api, ConcurrencyConfig, EndpointConfig, ProgressStyle, PromptConfig, RunConfig, WorkloadConfig
from trie.errors import EndpointError
from trie.preflight import discovery
from trie.run import Result, execute_async
from trie.storage.record import RequestRecord
from trie.workload.trace import Trace, Workload

MODELS = plain_response("200 OK", b'{"data": [{"id": "m"}]}')
PLAYED = [fault for fault in FAULTS if fault.place == "scripted" and fault.before is None and fault.stream
          and fault.api is Api.completions
          and not fault.heavy and not fault.large and not fault.poisons and fault.stall_s is None]  # fmt: skip
LINES = [Trace(10, (2,), (5,), (0.0,), 2, row=0)]
SINGLE = [Trace(10, (), (), (), 2, row=0)]


async def run(url: str, folder: Path, traces: list[Trace], *, concurrency: int = 4, **given: Any) -> Result:
    settings: dict[str, Any] = {
        "workload": WorkloadConfig(path="w.jsonl"),
        "endpoint": EndpointConfig(base_url=url),
        "concurrency": ConcurrencyConfig(concurrency),
        "prompts": PromptConfig(pool_tokens=1 << 14, calibrate=False),
        "progress": ProgressStyle.none,
        "max_retries": 2,
    }
    workload = Workload("w", traces, "a test", "0" * 64)
    async with asyncio.timeout(60):
        return await execute_async(RunConfig(**{**settings, **given}), folder / "run", workload=workload, api_key=KEY)


def endpoint(answer: Callable[[int, int], Script]) -> Callable[[bytes], Script]:
    """Lists its model, and asks `answer` for what to play for a session's turn."""

    def play(request: bytes) -> Script:
        if request.startswith(b"GET /v1/models"):
            return (MODELS,)
        request_id = re.search(rb"X-Request-Id: [0-9a-f]+-(\d+)-(\d+)\r\n", request)
        assert request_id is not None
        return answer(int(request_id[1]), int(request_id[2]))

    return play


def rows_of(result: Result) -> list[RequestRecord]:
    frame = result.rows.drop(columns="suspect").astype(object).where(result.rows.notna(), None)
    columns = [column.name for column in fields(RequestRecord)]  # without those that are derived from them
    return [RequestRecord(**row) for row in frame[columns].to_dict("records")]


@pytest.mark.slow
async def test_a_run_into_every_fault_goes_on(tmp_path: Path) -> None:
    """Every other session fails in the first or the second turn, each with the next fault of the table."""

    def fault_of(session: int, turn: int) -> Fault | None:
        number = session // 2
        fault = PLAYED[number % len(PLAYED)]
        return fault if session % 2 and turn == number % 2 else None

    def answer(session: int, turn: int) -> Script:
        fault = fault_of(session, turn)
        return WHOLE if fault is None else fault.script

    async with playing(endpoint(answer)) as (url, _):
        result = await run(url, tmp_path, LINES, concurrency=32, duration=5.0, timeout=2.0)
    rows = [row for row in rows_of(result) if row.outcome != "cancelled"]
    met = set()
    for row in rows:
        fault = fault_of(row.session_id, row.turn)
        if fault is None:
            assert (row.outcome, row.attempts, row.chunks) == ("ok", 1, 2), row.error
        elif fault.error_kind == "disconnected" and fault.attempts < row.attempts <= 2 * fault.attempts:
            # On a connection that had lain idle an attempt is sent once more on a fresh one, and counted.
            met.add(fault.what)
            check(replace(row, attempts=fault.attempts), fault)
        elif not (fault.attempts == 3 and row.error_kind == "timeout"):  # a machine too slow for three attempts in 1 s
            met.add(fault.what)
            check(row, fault)
    assert met >= {fault.what for fault in PLAYED}
    hold(result, rows_of(result))


def hold(result: Result, rows: list[RequestRecord]) -> None:
    """The summary counts what the rows say, counted here in plain Python."""
    summary = result.summary
    outcomes = Counter(str(row.outcome) for row in rows)
    assert dict(summary.requests) == {name: outcomes[name] for name in ("ok", "failed", "cancelled")}
    assert sum(summary.traces.values()) == len({row.session_id for row in rows})
    assert summary.traces["failed"] == outcomes["failed"]  # a failed request ends its session
    assert summary.facts["errors"] == Counter(row.error_kind for row in rows if row.outcome == "failed")
    assert summary.facts["retries"] == sum(max(row.attempts - 1, 0) for row in rows)


class Mortal:
    """A server on one port that can be killed, with its connections, and brought back."""

    def __init__(self) -> None:
        self.port = 0
        self.asked = asyncio.Event()  # for a completion
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def live(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def die(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                length = int(request.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
                await reader.readexactly(length)
                if request.startswith(b"POST"):
                    self.asked.set()
                await asyncio.sleep(0.01)
                writer.write(MODELS if request.startswith(b"GET") else b"".join(WHOLE))  # type: ignore[arg-type]
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


@pytest.mark.slow
async def test_a_server_that_dies_and_comes_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Out for 3 seconds: no storm of connections meanwhile, one line in the log for each thing, and on it goes."""
    caplog.set_level(logging.INFO, "trie")
    server, slots = Mortal(), 32
    await server.live()
    replay = asyncio.create_task(
        run(f"http://127.0.0.1:{server.port}/v1", tmp_path, LINES, concurrency=slots, duration=5.5)
    )
    await server.asked.wait()
    await asyncio.sleep(0.7)
    server.die()
    await asyncio.sleep(3.0)
    await server.live()
    result = await replay
    server.die()

    rows = rows_of(result)
    hold(result, rows)
    failed = [row for row in rows if row.outcome == "failed"]
    assert {row.error_kind for row in failed} <= {"connect", "disconnected", "reset"}
    first, last = min(row.end_s or 0.0 for row in failed), max(row.end_s or 0.0 for row in failed)
    ok = [row.end_s or 0.0 for row in rows if row.outcome == "ok"]
    assert min(ok) < first
    assert max(ok) > last + 0.5
    assert last - first > 1.5
    # Each slot's session at hand and perhaps one more, three attempts each; then one session a second for all of them.
    assert sum(row.attempts for row in failed) <= 3 * (2 * slots + 6)
    late = [row for row in failed if row.queued_s > first + 1.5]
    assert sum(row.attempts for row in late) <= 3 * 3
    refused = [record for record in caplog.messages if "Connection refused" in record]
    assert len(refused) == 2  # the first one, and the count
    assert re.match(r"failed \d+ times, connect: ", refused[1])
    assert len([record for record in caplog.messages if "start one a second" in record]) == 1
    assert len([record for record in caplog.messages if "all slots go on" in record]) == 1


@pytest.mark.parametrize(
    ("settings", "reason", "at_least"),
    [({"max_failures": 7}, "max_failures", 7), ({"max_failure_rate": 0.3}, "max_failure_rate", 30)],
)
async def test_a_limit_on_failures_ends_a_run(
    tmp_path: Path, settings: dict[str, Any], reason: str, at_least: int, at_most: AtMost
) -> None:
    """Every other session fails: 7 failures, or 100 requests with a share above 0.3, come within the first seconds."""
    refused = (plain_response("400 Bad", b'{"error": "too long"}'),)
    async with playing(endpoint(lambda session, _: refused if session % 2 else (0.02, *WHOLE))) as (url, _):
        result = await run(url, tmp_path, SINGLE, concurrency=8, duration=50.0, **settings)
    assert result.manifest["end"]["reason"] == result.stopped == reason
    assert result.summary.wall_time_s < at_most(40)
    rows = rows_of(result)
    hold(result, rows)
    assert at_least <= result.summary.requests["failed"] <= at_least + 40
    assert {row.error_kind for row in rows if row.outcome == "cancelled"} <= {reason}
    assert not result.summary.valid
    (check,) = [check for check in result.summary.verdict if check.id == "ran_its_duration"]
    assert check.level == "error"
    assert f"ended by {reason}=" in check.found


async def test_a_server_that_hangs_makes_a_run_invalid(tmp_path: Path) -> None:
    """After 40 answers none comes any more: no request fails, all 8 are cut off at the deadline."""
    script = endpoint(lambda session, _: (60.0 if session >= 40 else 0.02, *WHOLE))
    async with playing(script) as (url, _):
        result = await run(url, tmp_path, SINGLE, concurrency=8, duration=4.0)
    assert result.summary.requests == {"ok": 40, "failed": 0, "cancelled": 8}
    failed = {check.id for check in result.summary.verdict if not check.ok}
    assert {"answered_to_the_end", "none_stuck"} <= failed
    assert not result.summary.valid
    quiet = result.summary.silence
    assert quiet is not None
    assert quiet.at_end_s is not None
    assert (quiet.open_requests, quiet.stuck_requests, quiet.dead) == (8, 8, True)
    assert 2.0 < quiet.at_end_s < 4.0


async def test_usage_that_lies_makes_a_run_invalid(tmp_path: Path) -> None:
    """Twice the tokens asked for, and more cached tokens than the prompt has: neither passes for a good number."""
    many = stream(*[event(" a")] * 4, data(b'{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":4,'
                                           b'"cached_tokens":11}}'), DONE)  # fmt: skip
    async with playing(endpoint(lambda *_: (0.01, *many))) as (url, _):
        result = await run(url, tmp_path, SINGLE, concurrency=1, duration=0.5)
    failed = {check.id for check in result.summary.verdict if check.level == "error" and not check.ok}
    # What the machine that runs the tests makes of the client, and how many traces, is no matter of the server's usage.
    assert failed - {"client_on_time", "client_not_saturated", "enough_completed"} == {
        "completions_no_longer_than_asked",
        "possible_cache_figures",
    }
    assert result.summary.facts["drift"]["completion_long_ratio"] == 1.0
    assert result.summary.facts["cache"]["impossible_requests"] == result.summary.requests["ok"]


def counted_metrics(prompt: int, completion: int, started: float) -> bytes:
    text = (
        "# TYPE vllm:prompt_tokens_total counter\n"
        f"vllm:prompt_tokens_total {prompt}\n"
        "# TYPE vllm:generation_tokens_total counter\n"
        f"vllm:generation_tokens_total {completion}\n"
        f"process_start_time_seconds {started}\n"
    )
    return plain_response("200 OK", text.encode())


@pytest.mark.parametrize(
    ("others", "lost", "restart_s", "failed"),
    [
        (0, 0, 0.0, set()),
        (700, 0, 0.0, {"engine_served_this_run_alone"}),
        (0, 42, 0.0, {"engine_counted_all"}),
        (0, 0, 20.0, {"engine_ran_throughout"}),
    ],
)
async def test_an_engines_counters_are_judged(
    tmp_path: Path, others: int, lost: int, restart_s: float, failed: set[str]
) -> None:
    """12 requests of 7 prompt tokens each: the engine counts those, and tokens of others, or not all, or anew."""
    answered = 0

    def play(request: bytes) -> Script:
        nonlocal answered
        if b" /metrics " in request.split(b"\r\n")[0]:
            began = answered > 0
            prompt = 1000 + 7 * answered + (others - lost) * began
            return (counted_metrics(prompt, 500 + 2 * answered, 1.7e9 + restart_s * began),)
        answered += request.startswith(b"POST")
        return endpoint(lambda *_: WHOLE)(request)

    async with playing(play) as (url, _):
        result = await run(url, tmp_path, SINGLE, max_traces=12, idle_timeout=0.0)
    assert result.summary.requests["ok"] == 12
    ids = {"engine_served_this_run_alone", "engine_counted_all", "engine_ran_throughout"}
    assert {check.id for check in result.summary.verdict if check.id in ids and not check.ok} == failed
    assert not failed or not result.summary.valid


async def test_a_server_that_never_answers_the_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "TIMEOUT_S", 0.3)
    async with playing(lambda _: (9.0,)) as (url, _):
        with pytest.raises(EndpointError, match=r"/v1/models: no answer within 0\.3 s; has the server loaded"):
            await run(url, tmp_path, SINGLE)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("location", "words"),
    [
        (
            "https://elsewhere.invalid/v1/models?k=v",
            r"redirects to https://elsewhere\.invalid/v1/models; give the address",
        ),
        ("http://[", r"redirects to http://\[; give"),
        ("/v1/models/", "model is missing"),  # the same server: it may have no list of models, as others
    ],
)
async def test_an_endpoint_that_redirects_is_refused_before_the_run(tmp_path: Path, location: str, words: str) -> None:
    away = head(f"Location: {location}", "Content-Length: 0", status="308 Permanent Redirect")
    async with playing(lambda _: (away,)) as (url, _):
        with pytest.raises(EndpointError, match=words):
            await run(url, tmp_path, SINGLE)


@pytest.mark.slow
async def test_an_authority_in_ssl_cert_file_is_trusted(tmp_path: Path) -> None:
    """As a user has it: a private authority is named by the variable that OpenSSL reads, and refused without it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "w.jsonl").write_text(
        '{"num_turns": 0, "input_prompt_length": 9, "assistant_response_length": [], "tool_call_output_length": [],'
        ' "tool_call_latency": [], "final_assistant_response_length": 2}\n'
    )
    single = stream(event(" a"), event(" b", '"length"'), counts(2).replace(b":7", b":9"), DONE)
    async with playing(endpoint(lambda *_: single), tls=certificate("127.0.0.1", authority=authority)) as (url, _):
        command = [sys.executable, "-m", "trie", "workload=./w.jsonl", f"endpoint={url}", "duration=1", "progress=none",
                   "concurrency=1", "prompts.calibrate=false"]  # fmt: skip

        async def trie(**environment: str) -> tuple[int | None, str]:
            process = await asyncio.create_subprocess_exec(
                *command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            output, _ = await asyncio.wait_for(process.communicate(), 50)
            return process.returncode, output.decode()

        code, output = await trie()
        assert code == 1, output
        assert "certificate not trusted" in output
        assert "SSL_CERT_FILE" in output
        code, output = await trie(SSL_CERT_FILE=str(tmp_path / "ca.pem"))
        assert code == 0, output


def test_a_run_stopped_by_its_failures_exits_with_1(module: Command, tmp_path: Path) -> None:
    done = module("duration=30", "concurrency=32", "max_failures=9", "progress=none", "profile=fast", "max_retries=0",
                  "prompts.calibrate=false", "sim.fault_rate=0.2", "sim.faults=[http_500]")  # fmt: skip
    assert done.returncode == 1
    assert re.search(r"^trie: \d+ requests failed: http_status, \d+ times; max_failures ended the run after \d+ s; ",
                     done.stderr, re.MULTILINE), done.stderr  # fmt: skip
    assert re.search(r"ended after \d+\.\d s by max_failures", done.stdout)
    assert "ended by max_failures=9" in done.stdout
    (manifest,) = tmp_path.glob("outputs/*/*/manifest.json")
    assert json.loads(manifest.read_text())["end"]["reason"] == "max_failures"
