"""What a plan says of a cell before it runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trie.config import Clock, ConcurrencyConfig, EndpointConfig, RunConfig, SimConfig, Start, WorkloadConfig
from trie.run import execute
from trie.sweep.cell_forecast import forecast
from trie.workload.closed_loop import Held
from trie.workload.load import from_traces, load
from trie.workload.trace import Trace

SAMPLE = WorkloadConfig("sample", bundled="sample.jsonl")
SLOW = SimConfig(profile="slow", prefill_tok_s=5000, decode_base_s=0.03, max_running=4, cache_blocks=1024)


@pytest.mark.parametrize("start", ["together", "stationary"])
def test_it_is_what_the_run_in_virtual_time_then_gives(tmp_path: Path, start: str) -> None:
    more = {"clock": Clock.virtual, "start": Start[start], "html": False, "seed": 5}
    config = RunConfig(SAMPLE, concurrency=ConcurrencyConfig(6), duration=60.0, sim=SLOW, **more)
    expected = forecast(config, load(SAMPLE))
    summary = execute(config, tmp_path / "run").summary
    assert expected.lasts_s == summary.wall_time_s == 60.0
    assert expected.traces_completed == summary.traces["completed"] > 0
    assert expected.cut_off_share == pytest.approx(summary.censoring.share)
    assert expected.completion_tok_s == pytest.approx(summary.workload["completion_tok_s"].overall)
    assert 100 * expected.cache_hit_rate == pytest.approx(summary.cache.hit_rate_pct)
    assert expected.in_flight_requests == pytest.approx(summary.concurrency.in_flight_requests)


def test_a_real_endpoint_is_forecast_with_the_model_and_stays_real() -> None:
    endpoint = EndpointConfig(base_url="http://127.0.0.1:9/v1")
    virtual = RunConfig(
        SAMPLE, duration=60.0, sim=SLOW, clock=Clock.virtual, endpoint=EndpointConfig("sim", ignore_eos=True)
    )
    real = RunConfig(SAMPLE, endpoint=endpoint, duration=60.0, sim=SLOW, stall_timeout=0.001)
    assert forecast(real, load(SAMPLE)) == forecast(virtual, load(SAMPLE))
    assert real.clock is Clock.real


def test_kv_tokens_of_one_trace_by_hand() -> None:
    """Two requests of 10 tokens at 1 token a second, prompts at 100 a second, a wait of 8 s between them.

    Steps begin with the first token: request 0 holds 100 tokens from 1 s, 110 from 10 s; request 1 (50 new) is sent at
    18 s. The last token of the first answer has no KV, so that 51 tokens are computed: request 1 holds 160 from 18.51 s
    to its end at 27.51 s. The first fifth, 5.502 s, does not count.
    """
    traces = from_traces([Trace(100, (10,), (50,), (8.0,), 10)])
    sim = SimConfig(prefill_tok_s=100, decode_base_s=1.0, request_overhead_s=0.0, block_tokens=1)
    config = RunConfig(SAMPLE, concurrency=ConcurrencyConfig(1), max_traces=1, sim=sim, clock=Clock.virtual)
    kv = forecast(config, traces).kv_tokens
    held = [(10 - 5.502, 100), (8.51, 110), (9.0, 160)]
    assert kv.max == 160
    assert kv.mean == pytest.approx(sum(lasts * tokens for lasts, tokens in held) / (27.51 - 5.502))


def test_held_tokens_count_for_as_long_as_they_are_held() -> None:
    held = Held.over(np.array([0.0, 10.0, 20.0]), np.array([5.0, 10.0, 0.0]), since=5.0, until=25.0)
    assert held == Held(mean=(5 * 5 + 10 * 10) / 20, p95=10.0, max=10.0)
