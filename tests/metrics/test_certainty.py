"""Intervals by hand and against printed tables, and estimates for the whole workload against servers that are known."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.manifests import manifest
from helpers.rows import row

from trie.metrics.certainty.blocks import Blocks, blocks_over
from trie.metrics.certainty.estimate import Estimate, at_least_as_wide, difference, groupings, jackknife
from trie.metrics.certainty.population import Population
from trie.metrics.certainty.regression import BlockSums
from trie.metrics.certainty.section import Certainty
from trie.metrics.certainty.student import t_quantile
from trie.metrics.certainty.whole_workload import Distribution
from trie.metrics.evaluate_run import evaluate
from trie.metrics.first_numbers import first_numbers
from trie.metrics.summary import Summary, summarize
from trie.storage.parquet_parts import to_table
from trie.storage.record import Outcome, RequestRecord
from trie.storage.run_dir import RunDir
from trie.workload.trace import Trace


@pytest.mark.parametrize(
    ("freedom", "two_sided_95", "two_sided_99"),
    [(1, 12.706, 63.657), (3, 3.182, 5.841), (7, 2.365, 3.499), (30, 2.042, 2.750), (120, 1.980, 2.617)],
)
def test_t_quantiles_are_those_of_the_printed_tables(freedom: int, two_sided_95: float, two_sided_99: float) -> None:
    assert t_quantile(0.975, freedom) == pytest.approx(two_sided_95, abs=5e-4)
    assert t_quantile(0.995, freedom) == pytest.approx(two_sided_99, abs=5e-4)


def test_the_jackknife_of_a_mean_is_the_batch_means_interval() -> None:
    blocks = np.array([1.0, 2.0, 4.0, 5.0])  # mean 3, variance 10 / 3, standard error sqrt(10 / 12)
    estimate = jackknife(3.0, (blocks.sum() - blocks) / 3)
    assert estimate is not None
    assert estimate.standard_error == pytest.approx(sqrt(10 / 12))
    assert estimate.degrees_of_freedom == 3
    assert estimate.high == pytest.approx(3.0 + 3.18244631 * sqrt(10 / 12))
    assert estimate.low == pytest.approx(3.0 - 3.18244631 * sqrt(10 / 12))


def test_blocks_that_resemble_their_neighbours_are_taken_together() -> None:
    """Eight blocks in pairs: four of twice the length have a wider interval, and fewer degrees of freedom."""
    assert groupings(4) == [4]
    assert groupings(7) == [7, 4]
    assert groupings(18) == [18, 9, 5]
    blocks = np.repeat([1.0, 2.0, 4.0, 5.0], 2)
    estimate = jackknife(3.0, (blocks.sum() - blocks) / 7)
    assert estimate is not None
    assert estimate.degrees_of_freedom == 3
    assert estimate.standard_error == pytest.approx(sqrt(10 / 12))
    alternating = np.tile([1.0, 5.0], 4)  # in pairs they are all the same
    estimate = jackknife(3.0, (alternating.sum() - alternating) / 7)
    assert estimate is not None
    assert estimate.degrees_of_freedom == 7


def test_an_interval_as_wide_as_another_in_relation_to_the_values() -> None:
    narrow, wide = Estimate(100.0, 99.0, 101.0, 0.4, 5), Estimate(50.0, 45.0, 55.0, 5.0 / 2.570582, 5)
    widened = at_least_as_wide(narrow, wide)
    assert widened is not None
    assert (widened.low, widened.high) == (pytest.approx(90.0), pytest.approx(110.0))
    assert at_least_as_wide(wide, narrow) is wide
    assert at_least_as_wide(narrow, None) is narrow


def test_a_difference_has_the_degrees_of_freedom_of_welch() -> None:
    change = difference(Estimate(10.0, 9.0, 11.0, 0.3, 4), Estimate(11.0, 9.0, 13.0, 0.4, 6))
    assert change is not None
    assert change.value == pytest.approx(1.0)
    assert change.standard_error == pytest.approx(0.5)
    assert change.degrees_of_freedom == pytest.approx(0.25**2 / (0.09**2 / 4 + 0.16**2 / 6))
    assert difference(Estimate(1.0), Estimate(2.0, 1.0, 3.0, 0.5, 4)) is None


def test_blocks_last_three_cycles_and_there_are_four() -> None:
    assert blocks_over(20.0, 139.9, 10.0) is None  # room for 3.99
    blocks = blocks_over(20.0, 140.0, 10.0)
    assert blocks == Blocks(20.0, 140.0, 4)
    assert blocks.of(np.array([19.9, 20.0, 49.9, 50.0, 140.0, 140.1, np.nan])).tolist() == [-1, 0, 0, 1, 3, -1, -1]


def test_a_fit_without_a_block_is_the_fit_of_the_others() -> None:
    rng = np.random.default_rng(1)
    x = np.column_stack([np.ones(60), rng.normal(200, 50, 60), rng.normal(3000, 900, 60)])
    y = x @ [0.5, 0.01, 1e-4] + rng.normal(0, 0.1, 60)
    block = np.arange(60) % 4
    fit = BlockSums.of(x, y, block, 4).fit([0, 1, 2])
    for left_out in range(4):
        others, *_ = np.linalg.lstsq(x[block != left_out], y[block != left_out], rcond=None)
        assert fit.without[left_out] == pytest.approx(others)
    whole, *_ = np.linalg.lstsq(x, y, rcond=None)
    assert fit.coefficients == pytest.approx(whole)
    assert fit.r2 == pytest.approx(1 - ((y - x @ whole) ** 2).sum() / ((y - y.mean()) ** 2).sum())


TRACES = (
    Trace(100, (10,), (50,), (2.0,), 20, row=0),
    Trace(200, (), (), (), 30, row=1),
)


def test_the_sums_of_a_workload_by_hand(tmp_path: Path) -> None:
    population = Population.of(TRACES)
    # requests, completion, new, context, context x completion, first
    assert population.whole.tolist() == [[2, 30, 150, 110, 110 * 20, 1], [1, 30, 200, 0, 0, 1]]
    assert population.first.tolist() == [[1, 10, 100, 0, 0, 1], [1, 30, 200, 0, 0, 1]]
    assert population.last.tolist() == [[1, 20, 50, 110, 110 * 20, 0], [1, 30, 200, 0, 0, 1]]
    assert population.wait_s.tolist() == [2.0, 0.0]
    shared = Population.of([replace(trace, shared_prefix_id=1, shared_prefix_length=80) for trace in TRACES])
    assert shared.first.tolist() == [[1, 10, 100, 0, 0, 1], [1, 30, 120, 80, 80 * 30, 1]], "as rows count it"
    assert population.places(np.array([1.0, 0.0, 7.0])).tolist() == [1, 0, -1]
    run, _ = RunDir.create(tmp_path / "run")
    assert run.population() is None
    run.write_population(population.table())
    table = run.population()
    assert table is not None
    again = Population.of_table(table)
    assert again is not None
    assert again.whole.tolist() == population.whole.tolist()
    assert Population.of_table(table.drop_columns(["whole_first"])) is None  # of another version


def workload(count: int) -> list[Trace]:
    rng = np.random.default_rng(5)
    traces = []
    for index in range(count):
        turns = int(rng.integers(1, 9))
        answers, tools = rng.integers(20, 300, turns), rng.integers(10, 900, turns)
        waits = rng.uniform(0.1, 2.0, turns)
        lengths = tuple(map(int, answers)), tuple(map(int, tools)), tuple(map(float, waits))
        traces.append(Trace(int(rng.integers(500, 3000)), *lengths, int(rng.integers(50, 400)), row=index))
    return traces


def took_s(completion: int, new: int, context: int) -> float:
    """The server of these tests: it takes so long, exactly."""
    return 0.05 + 0.01 * completion + 2e-5 * new + 1e-6 * context


def replayed(traces: list[Trace], slots: int, duration_s: float) -> list[RequestRecord]:
    """A closed loop against that server."""
    rows, session = [], 0
    at = [0.0] * slots
    while min(at) < duration_s:
        slot = at.index(min(at))
        trace, now = traces[session % len(traces)], at[slot]
        for plan in trace.requests():
            now += plan.wait_s
            if now >= duration_s:
                break
            took = took_s(plan.completion_tokens, plan.new_prompt_tokens, plan.cached_prompt_tokens)
            ended = now + took < duration_s
            cut: dict[str, Any] = {} if ended else {"outcome": Outcome.cancelled, "end_s": duration_s}
            ttft = 0.02 + 2e-5 * plan.new_prompt_tokens
            held = plan.cached_prompt_tokens
            fields = {"trace_id": trace.row, "cached_prompt_tokens": held, "usage_cached_tokens": held, **cut}
            fields |= {"usage_prompt_tokens": held + plan.new_prompt_tokens}
            about = (session, plan.turn, trace.num_turns)
            lengths = {"prompt": plan.new_prompt_tokens, "completion": plan.completion_tokens}
            rows.append(row(*about, sent=now, ttft=ttft, latency=took, **lengths, **fields))
            now += took
        at[slot], session = now, session + 1
    return rows


def certainty(
    rows: list[RequestRecord], traces: list[Trace] | None, slots: int, duration_s: float, kv: int | None = None
) -> Certainty:
    end, facts = {"wall_time_s": duration_s}, {"kv_cache_size_tokens": kv} if kv else {}
    about = manifest(end=end, server={"facts": facts}, concurrency={"value": slots})
    found = summarize(to_table(rows), about, None if traces is None else Population.of(traces)).certainty
    assert found is not None
    return found


def test_a_server_without_noise_is_known_exactly() -> None:
    traces, slots, duration_s = workload(300), 6, 400.0
    found = certainty(replayed(traces, slots, duration_s), traces, slots, duration_s)
    latencies = np.array(
        [sum(plan.wait_s + took_s(plan.completion_tokens, plan.new_prompt_tokens, plan.cached_prompt_tokens)
             for plan in trace.requests()) for trace in traces]
    )  # fmt: skip
    completion = np.mean([sum(plan.completion_tokens for plan in trace.requests()) for trace in traces])
    rate, times = found.population.completion_tok_s, found.population.latency_s
    assert rate is not None
    assert times is not None
    assert rate.value == pytest.approx(slots * completion / latencies.mean())
    assert rate.half_width == pytest.approx(0.0, abs=1e-6)
    for name, expected in (
        ("mean", latencies.mean()),
        ("p50", np.median(latencies)),
        ("p99", np.quantile(latencies, 0.99)),
    ):
        estimate = times[name]
        assert estimate is not None
        assert estimate.value == pytest.approx(expected, rel=0.01 if name != "mean" else 1e-9)
    first = found.population.ttft_s
    assert first is not None
    assert first["mean"] is not None
    assert first["mean"].value == pytest.approx(np.mean([0.02 + 2e-5 * trace.input_prompt_length for trace in traces]))
    assert found.model is not None
    assert found.model.check.ok
    steady = found.steady_state["completion_tok_s"]
    assert steady is not None
    assert steady.low is not None
    assert steady.low < rate.value < steady.high  # type: ignore[operator]
    assert found.why == {}


def test_a_fit_that_does_not_describe_the_run_gives_no_estimate() -> None:
    """Between requests the traces wait four times as long as the workload says."""
    traces = workload(300)
    waiting = [replace(trace, tool_call_latency=tuple(4 * s for s in trace.tool_call_latency)) for trace in traces]
    rows = replayed(waiting, 6, 500.0)
    found = certainty(rows, traces, 6, 500.0)
    assert found.model is not None
    assert not found.model.check.ok
    assert found.population.completion_tok_s is None
    assert "the fit does not describe the run" in found.why["population"]
    assert certainty(rows, waiting, 6, 500.0).population.completion_tok_s is not None


def test_estimates_of_a_cache_that_loses_are_no_surer_than_the_steady_state() -> None:
    traces = workload(300)
    rows = replayed(traces, 6, 400.0)
    kept, lost = ([replace(record, usage_cached_tokens=int(share * record.cached_prompt_tokens)) for record in rows]
                  for share in (0.97, 0.9))  # fmt: skip
    sure, unsure = certainty(kept, traces, 6, 400.0), certainty(lost, traces, 6, 400.0)
    for found, widened in ((sure, False), (unsure, True)):
        steady, whole = found.steady_state["completion_tok_s"], found.population.completion_tok_s
        assert steady is not None
        assert whole is not None
        assert steady.half_width is not None
        assert whole.half_width is not None
        same = whole.half_width / whole.value == pytest.approx(steady.half_width / steady.value)
        assert same is widened
    assert "the cache lost 10% of what" in unsure.why["population.intervals"]
    for found, bounded in ((sure, True), (unsure, False)):
        for times, name in ((found.population.latency_s, "p99"), (found.population.ttft_s, "mean")):
            assert times is not None
            estimate = times[name]
            assert estimate is not None
            assert (estimate.low is not None) is bounded


def test_a_run_at_the_limit_of_the_cache_says_nothing_of_the_server_s_other_state() -> None:
    """Six traces of about 4,000 tokens each; where the cache does lose, the run has met that state."""
    traces = workload(300)
    rows = replayed(traces, 6, 400.0)
    losing = [replace(record, usage_cached_tokens=int(0.9 * record.cached_prompt_tokens)) for record in rows]
    for of_run, capacity, given in ((rows, 100_000, True), (rows, 10_000, False), (losing, 10_000, True)):
        found = certainty(of_run, traces, 6, 400.0, kv=capacity)
        whole, steady = found.population.completion_tok_s, found.steady_state["completion_tok_s"]
        assert whole is not None
        assert (whole.low is not None) is given
        assert (steady is not None) is given
        for key in ("steady_state", "population.intervals"):
            assert ("the cache has room for 10,000" in found.why.get(key, "")) is not given


def test_a_short_run_says_how_long_it_would_have_to_be() -> None:
    traces = workload(300)
    found = certainty(replayed(traces, 6, 60.0), traces, 6, 60.0)
    assert found.blocks is None
    assert found.needs_s is not None
    assert found.cycle_s is not None
    assert found.needs_s > 12 * found.cycle_s / 0.8
    assert found.steady_state == {}
    assert f"a run of {found.needs_s:.0f} s" in found.why["steady_state"]
    rate = found.population.completion_tok_s
    assert rate is not None  # the estimate stands alone
    assert rate.low is None
    longer = found.needs_s * 1.1
    assert certainty(replayed(traces, 6, longer), traces, 6, longer).blocks is not None


def test_a_run_without_the_sums_of_its_workload_has_intervals_all_the_same(tmp_path: Path) -> None:
    traces = workload(300)
    rows = replayed(traces, 6, 400.0)
    run, writer = RunDir.create(tmp_path / "run")
    writer.write(rows)
    run.write_manifest(manifest(end={"wall_time_s": 400.0}, concurrency={"value": 6}))
    found = evaluate(run).summary
    assert found.certainty is not None
    assert found.certainty.population.completion_tok_s is None
    assert "older versions" in found.certainty.why["population"]
    assert found.certainty.per_trace["latency_s"]["p50"] is not None
    assert Summary.from_json(found.to_json()) == found


@pytest.mark.parametrize(("share", "bounded"), [("p50", True), ("p99", False)])
def test_a_percentile_of_few_values_lies_between_those_that_its_share_may_be_at(share: str, bounded: bool) -> None:
    """Times are even between 0 and 1: the time of a share is the share."""

    def even(time_s: float, off: float = 0.0) -> float:
        return float(np.clip(time_s + off, 0.0, 1.0))

    offs = (-0.03, -0.01, 0.01, 0.03)  # standard error: sqrt(3 / 4 x 0.002)
    without = [partial(even, off=off) for off in offs]
    times = Distribution(0.5, np.full(4, 0.5), even, without, (0.0, 1.0), stepped=50)
    estimate = times.estimates()[share]
    assert estimate is not None
    assert estimate.value == pytest.approx(int(share[1:]) / 100, abs=1e-6)
    if bounded:
        assert estimate.low == pytest.approx(0.5 - 3.18244631 * sqrt(0.0015), abs=1e-6)
        assert estimate.high == pytest.approx(0.5 + 3.18244631 * sqrt(0.0015), abs=1e-6)
    else:
        assert estimate.low is None


def test_times_of_the_traces_that_did_not_fail_get_no_interval_where_many_did() -> None:
    """Every trace of more than four turns fails at its last request."""
    traces = workload(300)
    rows = [
        replace(record, outcome=Outcome.failed) if record.is_final and record.turn > 4 else record
        for record in replayed(traces, 6, 400.0)
    ]
    found = certainty(rows, None, 6, 400.0)
    assert found.blocks is not None
    assert "latency_s" not in found.per_trace
    assert "cache_hit_rate_pct" in found.per_trace
    assert "of the traces were cut off or failed" in found.why["per_trace.latency_s"]


def test_the_first_numbers_of_a_run_have_these_intervals() -> None:
    traces = workload(300)
    rows = replayed(traces, 6, 400.0)
    about = manifest(end={"wall_time_s": 400.0}, concurrency={"value": 6})
    summary = summarize(to_table(rows), about, Population.of(traces))
    assert summary.certainty is not None
    steady = summary.certainty.steady_state["completion_tok_s"]
    assert steady is not None
    throughput = next(number for number in first_numbers(summary.to_json()) if "throughput" in number.name)
    assert (throughput.low, throughput.high) == (steady.low, steady.high)
