"""Drifts, level shifts and MSER-5: worked by hand, against a second computation, and on runs with planted changes."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from helpers.manifests import manifest

from trie.config import ConcurrencyConfig, EndpointConfig, RunConfig, SimConfig, WorkloadConfig
from trie.config.shipped_groups import load
from trie.metrics.certainty.estimate import Estimate
from trie.metrics.certainty.section import Certainty, PopulationEstimates
from trie.metrics.checks.check import Check, Evidence
from trie.metrics.checks.steadiness import sample_checks
from trie.metrics.steadiness.changes import line, step
from trie.metrics.steadiness.truncation import mser5
from trie.metrics.summary import Summary, summarize
from trie.metrics.verdict import CONDITIONS
from trie.replay.virtual import VirtualReplay
from trie.storage.parquet_parts import to_table
from trie.storage.record import Outcome, RequestRecord
from trie.workload.synthetic import draw

DURATION_S, CHANGE_S = 1500.0, 900.0
SLOTS = 16


@cache
def rows(change: Callable[[VirtualReplay], None] | None = None, cache_blocks: int = 100_000) -> list[RequestRecord]:
    """A run of 25 minutes on the gpu profile, in which something changes after 15."""
    sim = SimConfig(**{**load("profile", "gpu"), "cache_blocks": cache_blocks})
    traces = draw("agentic", 400, 3)
    random.Random(1).shuffle(traces)
    config = RunConfig(
        workload=WorkloadConfig(path="traces"),
        endpoint=EndpointConfig(name="sim", ignore_eos=True),
        concurrency=ConcurrencyConfig(SLOTS),
        duration=DURATION_S,
        sim=sim,
    )
    found: list[RequestRecord] = []
    replay = VirtualReplay(config, traces, write=found.extend)
    if change is not None:
        replay._agenda.at(CHANGE_S, lambda _: change(replay), None)
    replay.run()
    return found


def judged(found: list[RequestRecord]) -> tuple[Summary, dict[str, Check]]:
    about: dict[str, Any] = {"end": {"wall_time_s": DURATION_S}, "concurrency": {"value": SLOTS}}
    summary = summarize(to_table(found), manifest(duration=DURATION_S, **about))
    return summary, {check.id: check for check in summary.verdict}


def worker_dies(replay: VirtualReplay) -> None:
    sim = replay.endpoint.config
    sim.prefill_tok_s /= 2
    sim.decode_base_s *= 2


def cache_shrinks(replay: VirtualReplay) -> None:
    replay.endpoint.model.cache.capacity = 2000


def gets_hot(replay: VirtualReplay) -> None:
    """Slower by 3 % every 30 s from then on."""
    replay.endpoint.config.decode_base_s *= 1.03
    replay._agenda.at(replay.now + 30.0, lambda _: gets_hot(replay), None)


def test_a_line_by_hand() -> None:
    """Slope 2 a block around 0, 2, 4, 6 with residuals 1, -1, -1, 1: neighbours are not alike, so rho is 0."""
    fit = line(np.array([1.0, 1.0, 3.0, 7.0]))
    assert fit.change == pytest.approx(6.0)
    assert fit.rest == pytest.approx(4.0)
    assert fit.t == pytest.approx(2.0 / (4.0 / 2 / 5) ** 0.5)


def test_a_value_that_is_missing_leaves_the_line_where_it_is() -> None:
    values = np.array([0.0, 1.0, 2.0, np.nan, 4.0, 5.0]) + np.array([0.1, -0.1, 0.1, 0.0, -0.1, 0.0])
    slope, _ = np.polyfit([0, 1, 2, 4, 5], values[[0, 1, 2, 4, 5]], 1)
    assert line(values).change == pytest.approx(5 * slope)


def test_a_step_is_put_where_it_is() -> None:
    noise = np.random.default_rng(1).normal(0.0, 0.5, 40)
    found = step(np.where(np.arange(40) < 13, 10.0, 14.0) + noise)
    assert found is not None
    assert found.at == 13
    assert found.change == pytest.approx(4.0, abs=0.5)
    assert found.sure


def test_neighbours_that_are_alike_make_a_change_less_sure() -> None:
    """The same values in an order in which each is like the one before: the same spread says less of the mean."""
    noise = np.sort(np.random.default_rng(2).normal(0.0, 1.0, 40))
    alike = np.concatenate([noise[::2], noise[::-2]])  # up and down again: no trend
    apart = np.random.default_rng(3).permutation(alike)
    rise = np.linspace(0.0, 4.0, 40)
    assert line(apart + rise).t > 2 * line(alike + rise).t


def test_mser5_by_hand() -> None:
    """Batches of five: 9, 5, 1, 1, ..., 1. Without the first two nothing is spread, and no batch more is left out."""
    assert mser5(np.repeat([9.0, 5.0, *([1.0] * 18)], 5)) == 10
    assert mser5(np.repeat(np.arange(20.0), 5)) is None  # a line never settles: the best place is in the second half
    assert mser5(np.ones(20)) is None


def test_a_steady_run_is_left_alone() -> None:
    summary, checks = judged(rows())
    assert [checks[name].ok for name in ("steady_rate", "steady_cache", "level_shift")] == [True] * 3
    steady = summary.steadiness
    assert steady is not None
    (plateau,) = steady.plateaus
    assert plateau.completion_tok_s == pytest.approx(summary.workload["completion_tok_s"].steady_state, rel=0.01)


def test_a_worker_that_dies_is_a_level_shift_with_two_plateaus() -> None:
    summary, checks = judged(rows(worker_dies))
    assert not checks["level_shift"].ok
    assert checks["level_shift"].level == "error"
    assert not summary.valid
    steady = summary.steadiness
    assert steady is not None
    tpot = next(shift for shift in steady.shifts if shift.metric == "tpot_s")
    assert tpot.at_s == pytest.approx(CHANGE_S, abs=60.0)
    before, after = steady.plateaus[0], steady.plateaus[-1]
    assert before.tpot_s is not None
    assert after.tpot_s is not None
    assert after.tpot_s - before.tpot_s == pytest.approx(0.012, rel=0.2)  # what a step takes longer
    assert "TPOT from" in checks["level_shift"].found


def test_a_cache_that_begins_to_evict_is_a_level_shift_of_hits() -> None:
    summary, checks = judged(rows(cache_shrinks))
    assert summary.steadiness is not None
    hits = next(shift for shift in summary.steadiness.shifts if shift.metric == "eligible_hit_rate_pct")
    assert hits.before > 99.0
    assert hits.after < 50.0
    assert checks["level_shift"].level == "error"


def test_a_server_that_gets_slower_and_slower_drifts() -> None:
    summary, checks = judged(rows(gets_hot))
    assert not checks["steady_rate"].ok
    assert summary.steadiness is not None
    assert summary.steadiness.drift["tpot_s"].change > 0.2


def test_hits_that_fell_before_steady_state_are_a_cold_cache() -> None:
    summary, checks = judged(rows(cache_blocks=8000))
    assert summary.steadiness is not None
    cold = summary.steadiness.cold_cache
    assert cold is not None
    assert cold.at_s <= 0.2 * DURATION_S
    assert not checks["steady_cache"].ok
    assert "before steady state" in checks["steady_cache"].found


def test_a_short_run_is_not_judged() -> None:
    found = [row for row in rows() if row.end_s is not None and row.end_s < 50.0]
    summary, checks = judged(found)
    assert summary.steadiness is not None
    assert summary.steadiness.why is not None
    assert summary.steadiness.why.startswith("steady state has ")
    assert not checks.keys() & {"steady_rate", "steady_cache", "level_shift"}


def test_the_numbers_by_block_against_plain_loops() -> None:
    """Rate, TPOT, hits and context of the whole window, request by request."""
    found = rows()
    steady = judged(found)[0].steadiness
    assert steady is not None
    (plateau,) = steady.plateaus
    assert steady.window_s is not None
    since, until = steady.window_s
    ok = [row for row in found if row.outcome is Outcome.ok]
    inside = [row for row in ok if since < row.end_s <= until]
    assert until == max(row.end_s for row in ok)
    assert since == pytest.approx(0.2 * until)
    rate = sum(row.requested_completion_tokens for row in inside) / (until - since)
    assert plateau.completion_tok_s == pytest.approx(rate)
    several = [row for row in inside if row.usage_completion_tokens > 1]
    decode_s = sum(row.last_token_s - row.first_token_s for row in several)
    assert plateau.tpot_s == pytest.approx(decode_s / sum(row.usage_completion_tokens - 1 for row in several))
    requests = {(row.session_id, row.turn): row for row in found}
    cached = eligible = context = 0.0
    for (session, turn), row in requests.items():
        before, after = requests.get((session, turn - 1)), requests.get((session, turn + 1))
        if before is not None and row.outcome is Outcome.ok and since < row.first_token_s <= until:
            cached += row.usage_cached_tokens
            eligible += before.usage_prompt_tokens + before.usage_completion_tokens
        end = after.queued_s if after else row.end_s if row.is_final or row.outcome is not Outcome.ok else until
        active = max(0.0, min(end, until) - max(row.queued_s, since))
        context += active * (row.new_prompt_tokens + row.cached_prompt_tokens)
    assert plateau.eligible_hit_rate_pct == pytest.approx(100 * cached / eligible)
    assert plateau.context_tokens == pytest.approx(context / (until - since))


def test_titles() -> None:
    titles = {condition.id: (condition.holds, condition.fails) for condition in CONDITIONS}
    checks = [*judged(rows())[1].values(), *judged(rows(worker_dies))[1].values()]
    assert all(check.title == titles[check.id][not check.ok] for check in checks)


def test_estimates_of_other_traces_than_those_that_ran_are_warned_of() -> None:
    """An error of 1 with 9 degrees of freedom is 2.82 to 98 %: the two may be 4 apart."""
    steady = {"completion_tok_s": Estimate(100.0, 97.7, 102.3, 1.0, 9.0)}
    for value, ok in ((103.0, True), (105.0, False)):
        whole = PopulationEstimates(completion_tok_s=Estimate(value, value - 2.3, value + 2.3, 1.0, 9.0))
        summary = replace(judged(rows())[0], certainty=Certainty(steady_state=steady, population=whole))
        (check,) = sample_checks(Evidence(summary, manifest(), manifest().settings))
        assert (check.id, check.ok) == ("traces_are_a_sample", ok)
    assert "estimated as 105.0, +5.0% from the 100.0 ±2.3 measured" in check.found
