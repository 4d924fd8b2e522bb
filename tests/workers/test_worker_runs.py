"""A run that several processes replay is the run that one replays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from helpers.scripted_server import Script, plain_response, playing

from trie.config import (
    ClientConfig,
    ConcurrencyConfig,
    EndpointConfig,
    Priority,
    ProgressStyle,
    PromptConfig,
    RunConfig,
    WorkloadConfig,
)
from trie.run import Result, execute_async
from trie.workload.trace import Trace, Workload

TRACES = [Trace(50, (4, 6), (20, 30), (0.0, 0.0), 5, row=0), Trace(33, (), (), (), 3, row=1)]
TRACES += [Trace(64, (2,), (1,), (0.0,), 9, row=2)]
WORKLOAD = Workload("w", TRACES, "a test", "0" * 64)
MODELS = plain_response("200 OK", b'{"data": [{"id": "m"}]}')
ANSWER = b'{"choices": [{"text": " a", "finish_reason": "length"}], "usage": {"completion_tokens": 1}}'


def answer(raw: bytes) -> Script:
    return (plain_response("200 OK", ANSWER) if raw.startswith(b"POST") else MODELS,)


async def replayed(url: str, directory: Path, **given: Any) -> Result:
    settings: dict[str, Any] = {
        "workload": WorkloadConfig(path="w.jsonl"),
        "endpoint": EndpointConfig(base_url=url),
        "concurrency": ConcurrencyConfig(3),
        "client": ClientConfig(priority=Priority.normal),
        "prompts": PromptConfig(pool_tokens=1 << 14, calibrate=False),
        "progress": ProgressStyle.none,
        "duration": 30.0,
        "max_traces": 8,
        "max_retries": 0,
        "seed": 5,
        "html": False,
    }
    return await execute_async(RunConfig(**{**settings, **given}), directory, workload=WORKLOAD)


async def requests(workers: int, directory: Path) -> tuple[dict[bytes, bytes], Result]:
    """What a run sends, by the id of each request."""
    async with playing(answer) as (url, got):
        result = await replayed(url, directory, workers=str(workers), stream=False)
    posts = [raw.split(b"\r\n\r\n", 1) for raw in got if raw.startswith(b"POST")]
    return {head.lower().partition(b"x-request-id: ")[2].split(b"\r\n")[0]: body for head, body in posts}, result


async def test_every_request_is_the_same_whatever_the_number_of_workers(tmp_path: Path) -> None:
    alone, _ = await requests(1, tmp_path / "1")
    assert len(alone) == 3 + 1 + 2 + 3 + 1 + 2 + 3 + 1
    for workers in (2, 3):
        together, result = await requests(workers, tmp_path / str(workers))
        assert together == alone
        rows = result.rows
        assert (rows.worker_id == rows.session_id % workers).all()
        assert (rows.slot % workers == rows.worker_id).all()
        assert set(rows.node) == {result.manifest["host"]["name"]}
        assert [worker.slots for worker in result.manifest.end.workers] == [{2: 2, 3: 1}[workers], 1, 1][:workers]
        assert result.manifest.end.reason == "max_traces"
