"""Objectives, goodput and cost of runs that were made up so that the answers are known."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.manifests import manifest
from helpers.rows import row

from trie.metrics.certainty.estimate import Estimate
from trie.metrics.certainty.section import Certainty, PopulationEstimates
from trie.metrics.columns import Columns
from trie.metrics.definitions.metric import RunRows
from trie.metrics.slo.evaluate import Judged, Run, judge, wilson
from trie.metrics.slo.expression import parse
from trie.metrics.summary import Summary, summarize
from trie.metrics.traces import traces as all_traces
from trie.storage.parquet_parts import to_table
from trie.storage.record import Outcome, RequestRecord


def summary(rows: list[RequestRecord], slo: Any, **about: Any) -> Summary:
    ends = max(row.end_s for row in rows if row.end_s is not None)
    settings = {"slo": slo, "concurrency": {"value": 4}, "end": {"wall_time_s": ends}, **about}
    return summarize(to_table(rows), manifest(**settings))


def one(rows: list[RequestRecord], slo: str) -> Judged:
    (judged,) = summary(rows, slo).slo
    return judged


def traces(count: int, *, ttft: float = 0.5, slow_every: int = 0, **fields: Any) -> list[RequestRecord]:
    """One request a trace, four at a time, 2 s each; every so many of them has its first token after 1.5 s."""
    return [
        row(i, sent=2.0 * (i // 4), latency=2.0, ttft=1.5 if slow_every and i % slow_every == 0 else ttft, **fields)
        for i in range(count)
    ]


def test_a_percentile_far_from_its_limit_is_sure_and_one_at_its_limit_is_not():
    rows = traces(400, slow_every=10)  # a tenth of them is slow
    assert one(rows, "request_ttft_s<1@p50").met == "yes"
    assert one(rows, "request_ttft_s<1@p99").met != "yes"
    assert one(rows, "request_ttft_s<0.1@p50").met == "no"
    assert one(traces(400, slow_every=10), "request_ttft_s<1@p90").met == "unsure"  # a tenth is just above


def test_a_run_too_short_for_intervals_is_not_sure():
    judged = one(traces(8), "request_ttft_s<1@p50")
    assert (judged.value, judged.low, judged.met) == (0.5, None, "unsure")


def test_of_a_maximum_what_was_seen_is_all_there_is_to_know():
    assert one(traces(8), "request_ttft_s<1@max").met == "yes"
    assert one(traces(8, slow_every=4), "request_ttft_s<1@max").met == "no"


def test_wilsons_interval_by_hand():
    # 0 of 100: high end z^2 / (n + z^2) = 3.8415 / 103.8415.
    estimate = wilson(0.0, 100.0)
    assert (estimate.low, estimate.high) == (0.0, pytest.approx(3.8415 / 103.8415, rel=1e-4))


def test_failures_that_come_together_are_less_sure_than_as_many_that_come_alone():
    failed = {"outcome": Outcome.failed, "error_kind": "http_500", "first_token_s": None}
    alone = [row(i, sent=2.0 * (i // 4), latency=2.0, **(failed if i % 40 == 0 else {})) for i in range(400)]
    together = [row(i, sent=2.0 * (i // 4), latency=2.0, **(failed if i < 10 else {})) for i in range(400)]
    first, second = (one(rows, "failed<4.9%") for rows in (alone, together))
    assert first.value == second.value == 0.025
    assert first.met == "yes"
    assert second.met == "unsure"


def test_a_run_in_which_every_request_failed_misses_its_limits():
    failed = traces(8, outcome=Outcome.failed, error_kind="http_500", first_token_s=None)
    assert {judged.met for judged in summary(failed, "request_ttft_s<1@p50, failed<1%").slo} == {"no"}


def test_a_limit_on_traces_is_not_surely_met_where_the_long_ones_were_cut_off():
    rows = traces(400)
    cut = [
        row(400 + i, sent=0.0, latency=200.0, outcome=Outcome.cancelled, error_kind="deadline", first_token_s=None)
        for i in range(200)
    ]
    assert one(rows, "latency_s<5@p90").met == "yes"
    assert one([*rows, *cut], "latency_s<5@p90").met == "unsure"


def test_goodput_counts_those_that_kept_every_limit_of_their_own():
    rows = traces(40, slow_every=4)  # 10 of 40 slow; 20 s in all
    found = summary(rows, "ttft_s<1@p90, latency_s<3@p99, request_ttft_s<1@p50", num_gpus=2)
    assert found.goodput is not None
    assert found.goodput.traces_per_s == pytest.approx(30 / 20)
    assert found.goodput.traces_per_s_per_gpu == pytest.approx(30 / 40)
    assert found.goodput.share == pytest.approx(0.75)
    assert found.goodput.requests_share == pytest.approx(0.75)


def test_a_trace_that_broke_its_limit_before_it_was_cut_off_counts_and_one_that_did_not_does_not():
    cut = {"outcome": Outcome.cancelled, "error_kind": "deadline", "first_token_s": None}
    rows = [*traces(4), row(4, sent=0.0, latency=20.0, **cut), row(5, sent=19.0, latency=1.0, **cut)]
    found = summary(rows, "latency_s<10@p90")
    assert found.goodput is not None
    assert found.goodput.share == pytest.approx(4 / 5)


def test_tiers_have_a_goodput_each():
    found = summary(traces(8), {"fast": "ttft_s<0.1@p50", "batch": "ttft_s<1@p50"})
    assert found.goodput is None
    assert {tier: goodput.share for tier, goodput in found.goodput_by_tier.items()} == {"fast": 0.0, "batch": 1.0}


def test_the_cost_by_hand():
    # 8 requests of 11 tokens; four end at 2 s and four at 4 s: 7 of them after the first that ended, in 2 s.
    found = summary(traces(8), None, num_gpus=2, gpu_hour_cost=3.6, gpu_watts=500.0).cost
    assert found is not None
    assert found.per_million_completion_tokens is not None
    assert found.per_million_completion_tokens.value == pytest.approx(2 * 3.6 / 3600 / 38.5 * 1e6)
    assert found.per_trace is not None
    assert found.per_trace.value == pytest.approx(2 * 3.6 / 3600 / 2)  # 2 traces a second
    assert found.wh_per_trace is not None
    assert found.wh_per_trace.value == pytest.approx(2 * 500 / 3600 / 2)
    assert summary(traces(8), None, num_gpus=2).cost is None


def test_the_verdict_warns_of_a_missed_slo_and_the_run_stays_valid():
    found = summary(traces(40, slow_every=4), "request_ttft_s<1@max")
    (check,) = [check for check in found.verdict if check.id == "slo_met"]
    assert (check.ok, check.level) == (False, "warning")
    assert "missed: request_ttft_s<1@max (1.5)" in check.found


def test_summary_json_is_read_again():
    found = summary(traces(40), "request_ttft_s<1@p50, failed<1%", num_gpus=1, gpu_hour_cost=2.0)
    assert Summary.from_json(found.to_json()).to_json() == found.to_json()


@pytest.mark.parametrize(("whole_tok_s", "of", "value"), [(101.0, "population", 5.0), (200.0, "run", 2.0)])
def test_an_estimate_for_the_whole_workload_that_the_run_does_not_bear_out_decides_nothing(
    whole_tok_s: float, of: str, value: float
) -> None:
    columns = Columns(to_table(traces(400)))
    sessions = all_traces(columns)
    estimate, steady = (Estimate(tok_s, tok_s - 2, tok_s + 2, 1.0, 9.0) for tok_s in (whole_tok_s, 100.0))
    certainty = Certainty(
        steady_state={"completion_tok_s": steady},
        population=PopulationEstimates(
            completion_tok_s=estimate, latency_s={"p90": Estimate(5.0, 4.9, 5.1, 0.05, 9.0)}
        ),
    )
    latency = {"latency_s": sessions.last_s - sessions.sent_s}
    (judged,) = judge(Run(RunRows(columns, sessions, 200.0), certainty, latency, {}, {}), parse("latency_s<10@p90"))
    assert (judged.of, judged.value) == (of, pytest.approx(value))


@pytest.mark.parametrize(("limit", "met"), [("latency_s<1.9@p90", "unsure"), ("latency_s<2.1@p90", "yes")])
def test_no_limit_is_surely_met_that_the_traces_of_the_run_break(limit: str, met: str) -> None:
    columns = Columns(to_table(traces(400)))  # of 2 s each
    sessions = all_traces(columns)
    steady = Estimate(100.0, 98.0, 102.0, 1.0, 9.0)
    whole = PopulationEstimates(completion_tok_s=steady, latency_s={"p90": Estimate(1.5, 1.4, 1.6, 0.05, 9.0)})
    certainty = Certainty(steady_state={"completion_tok_s": steady}, population=whole)
    latency = {"latency_s": sessions.last_s - sessions.sent_s}
    (judged,) = judge(Run(RunRows(columns, sessions, 200.0), certainty, latency, {}, {}), parse(limit))
    assert (judged.of, judged.value, judged.met) == ("population", 1.5, met)
