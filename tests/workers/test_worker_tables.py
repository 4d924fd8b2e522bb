"""The tables of a run are the same for one worker and for two, where the server is the same for each request."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from trie.config import (
    ClientConfig,
    ConcurrencyConfig,
    Priority,
    ProgressStyle,
    PromptConfig,
    RunConfig,
    SimConfig,
    WorkloadConfig,
)
from trie.run import Result, execute_async
from trie.workload.trace import Trace, Workload

# 300 ms to a first token and 300 ms a token, whatever else the server does: 5 % are more than a busy machine adds.
SIM = SimConfig(prefill_tok_s=1e9, decode_base_s=0.300, decode_per_request_s=0.0, request_overhead_s=0.300)
# A trace lasts 4 first tokens of 300 ms, 4 answers of 2 tokens and 3 waits of 50 ms: 2.55 s. Prompts differ.
TRACES = [Trace(200 + 16 * row, (2,) * 3, (48,) * 3, (0.05,) * 3, 2, row=row) for row in range(16)]
TRACE_S = 4 * 0.300 + 4 * 0.300 + 3 * 0.05
COUNTED = ("trace_id", "outcome", "new_prompt_tokens", "cached_prompt_tokens", "usage_prompt_tokens")
COUNTED += ("usage_cached_tokens", "usage_completion_tokens")
MEDIANS = ("per_request.ttft_s.p50", "per_request.tpot_s.p50", "per_request.latency_s.p50", "per_trace.latency_s.p50")


async def replayed(workers: int, directory: Path) -> Result:
    config = RunConfig(
        workload=WorkloadConfig(path="w.jsonl"),
        concurrency=ConcurrencyConfig(8),
        client=ClientConfig(priority=Priority.normal),
        prompts=PromptConfig(pool_tokens=1 << 14),
        progress=ProgressStyle.none,
        max_traces=16,
        seed=3,
        html=False,
        sim=SIM,
        workers=str(workers),
    )
    return await execute_async(config, directory, workload=Workload("w", TRACES, "a test", "0" * 64))


@pytest.mark.slow
async def test_tables_of_one_worker_and_of_two(tmp_path: Path) -> None:
    """All counts are the same; medians of times agree within 5 %, and the rate within the time of one trace.

    Both go on at once, so that a busy machine holds them up alike.
    """
    alone, together = await asyncio.gather(*(replayed(workers, tmp_path / str(workers)) for workers in (1, 2)))
    one, two = (run.rows.set_index(["session_id", "turn"]).sort_index()[list(COUNTED)] for run in (alone, together))
    pd.testing.assert_frame_equal(one, two)
    for section in ("traces", "requests", "drift", "cache", "censoring.incomplete_share"):
        values = [select(run.summary.to_json(), section) for run in (alone, together)]
        assert values[0] == values[1], section
    for key in MEDIANS:
        medians = [select(run.summary.to_json(), key) for run in (alone, together)]
        assert medians[1] == pytest.approx(medians[0], rel=0.05), key
    assert together.summary.wall_time_s == pytest.approx(alone.summary.wall_time_s, abs=TRACE_S)


def select(summary: dict[str, Any], key: str) -> Any:
    for name in key.split("."):
        summary = summary[name]
    return summary
