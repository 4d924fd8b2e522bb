"""Tool waits that are cut where no request is in flight, in both clocks."""

from __future__ import annotations

import asyncio
from time import perf_counter

import pytest

from trie.config import ConcurrencyConfig, EndpointConfig, LoadConfig, RunConfig, SimConfig, WorkloadConfig
from trie.replay.tool_waits import ToolWaits
from trie.replay.virtual import VirtualReplay
from trie.storage.record import RequestRecord
from trie.workload.trace import Trace

NO_TIME = SimConfig(prefill_tok_s=1e9, decode_base_s=0.0, decode_per_request_s=0.0, request_overhead_s=0.0)


def due(traces: list[Trace], cap_s: float | None) -> list[float]:
    """When the requests behind the first ones are due, with one slot for each trace."""
    rows: list[RequestRecord] = []
    config = RunConfig(
        workload=WorkloadConfig(path="traces"),
        endpoint=EndpointConfig(name="sim", ignore_eos=True),
        concurrency=ConcurrencyConfig(len(traces)),
        load=LoadConfig(idle_gap_cap_s=cap_s),
        sim=NO_TIME,
        duration=1000.0,
        max_traces=len(traces),
    )
    VirtualReplay(config, traces, write=rows.extend).run()
    return [round(row.queued_s, 6) for row in sorted(rows, key=lambda row: row.session_id) if row.turn]


def test_without_a_request_in_flight_all_waits_are_cut_by_the_same_time() -> None:
    """Waits of 30 and 40 s: the first request comes after 10 s, and the other 10 s behind it, as before."""
    traces = [Trace(1, (1,), (1,), (wait_s,), 1) for wait_s in (30.0, 40.0)]
    assert due(traces, None) == [30.0, 40.0]
    assert due(traces, 10.0) == [10.0, 20.0]
    assert due(traces, 50.0) == [30.0, 40.0]


async def test_waits_are_cut_in_real_time_too() -> None:
    waits, began = ToolWaits(0.05), perf_counter()
    waits.in_flight(1)
    tasks = [asyncio.create_task(waits.until(began + wait_s)) for wait_s in (30.0, 30.1)]
    await asyncio.sleep(0.01)
    before = perf_counter()
    waits.in_flight(0)
    after = perf_counter()
    first, second = await asyncio.gather(*tasks)
    assert before + 0.05 <= first <= after + 0.05
    assert second - first == pytest.approx(0.1)


async def test_a_request_in_flight_keeps_waits_as_they_are() -> None:
    waits, began = ToolWaits(0.01), perf_counter()
    waits.in_flight(0)
    waits.in_flight(1)
    assert await waits.until(began + 0.05) == began + 0.05
