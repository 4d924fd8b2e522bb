"""The verdict on the client itself: one that is held up is called so, an honest slow server is not."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path

import pytest

from trie.config import ConcurrencyConfig, ProgressStyle, PromptConfig, RunConfig, SimConfig, WorkloadConfig
from trie.metrics.summary import Summary
from trie.run import execute_async

pytestmark = pytest.mark.slow  # a verdict on what happens in time needs time, and a machine that has some
CLIENT = ("client_on_time", "client_not_saturated")


async def run(directory: Path, sim: SimConfig) -> Summary:
    config = RunConfig(
        workload=WorkloadConfig(name="sample", bundled="sample.jsonl"),
        concurrency=ConcurrencyConfig(4),
        duration=3.0,
        progress=ProgressStyle.none,
        prompts=PromptConfig(calibrate=False, pool_tokens=4096),
        sim=sim,
    )
    return (await execute_async(config, directory)).summary


def failed(summary: Summary) -> dict[str, str]:
    return {check.id: check.advice for check in summary.verdict if not check.ok and check.id in CLIENT}


async def hold_up() -> None:
    """Other work on the client's own loop, such as too many streams are: 40 ms of every 50."""
    while True:
        time.sleep(0.04)  # noqa: ASYNC251 - it is to block
        await asyncio.sleep(0.01)


async def test_a_client_that_is_held_up_makes_the_run_invalid_and_says_what_to_do(tmp_path: Path) -> None:
    work = asyncio.create_task(hold_up())
    try:
        summary = await run(tmp_path / "run", SimConfig())
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
    assert not summary.valid
    assert "another host" in failed(summary)["client_on_time"]
    assert summary.facts["client"]["suspect_share"] > 0.5


async def test_an_honest_slow_server_is_not_taken_for_a_slow_client(tmp_path: Path) -> None:
    """One slot for four agents, a prefill of 0.3 s and 20 tokens a second: all of the waiting is the server's."""
    slow = SimConfig(max_running=1, prefill_tok_s=3000.0, decode_base_s=0.05)
    summary = await run(tmp_path / "run", slow)
    assert failed(summary) == {}
    assert summary.per_request["ttft_s"] is None or summary.per_request["ttft_s"].max > 0.3
