"""Metrics against figures worked by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from helpers.manifests import KILLED, manifest
from helpers.rows import row

from trie.metrics.summary import Summary, summarize
from trie.storage.parquet_parts import to_table
from trie.storage.record import Outcome, RequestRecord


def summary(rows: list[RequestRecord], **about: Any) -> Summary:
    return summarize(to_table(rows), manifest(**about))


def two_turns() -> list[RequestRecord]:
    """Sent at 1 and 5 s. Prompts 100 and 131 (100 + 11 + 20 of the tool), 96 of the second from the cache."""
    second = row(
        0, 1, turns=1, sent=5.0, end_s=7.0, last_token_s=7.0, queued_s=4.9, new_prompt_tokens=20,
        cached_prompt_tokens=111, usage_prompt_tokens=131, usage_cached_tokens=96, requested_completion_tokens=31,
        usage_completion_tokens=31,
    )  # fmt: skip
    return [second, row(0, 0, turns=1, sent=1.0)]  # out of order: nothing may depend on it


def test_six_metrics_of_one_trace_by_hand():
    found = summary(two_turns()).per_trace
    by_hand = {
        "latency_s": 6.0,  # 7 - 1
        "ttft_s": 0.5,
        "ttfat_s": 4.5,  # 5.5 - 1
        "decode_tps": (10 / 1.0 + 30 / 1.5) / 2,
        "cache_hit_rate_pct": 100 * 96 / 231,
        "eligible_cache_hit_rate_pct": 100 * 96 / 111,
    }
    for key, expected in by_hand.items():
        stats = found[key]
        assert stats is not None
        assert (stats.mean, stats.min, stats.p50, stats.p99, stats.max) == pytest.approx((expected,) * 5), key


def test_percentiles_interpolate_linearly():
    rows = [row(i, sent=0.0, end_s=float(i + 1)) for i in range(4)]  # latencies 1, 2, 3, 4
    latency = summary(rows).per_trace["latency_s"]
    assert latency is not None
    assert (latency.mean, latency.p50, latency.p90) == (2.5, 2.5, pytest.approx(3.7))


def test_a_request_of_one_token_counts_as_no_speed():
    rows = [row(0, 0, turns=1), row(0, 1, turns=1, sent=2.0, usage_completion_tokens=1)]
    speed = summary(rows).per_trace["decode_tps"]
    assert speed is not None
    assert speed.mean == pytest.approx(5.0)  # of 10 and 0


def test_requested_tokens_stand_in_where_usage_is_missing():
    found = summary([row(usage_prompt_tokens=None, usage_completion_tokens=None, usage_cached_tokens=None)])
    speed = found.per_trace["decode_tps"]
    assert speed is not None
    assert speed.mean == pytest.approx(10.0)
    assert found.per_trace["cache_hit_rate_pct"] is None
    assert found.facts["drift"]["prompt_ratio"] is None


def test_a_zero_left_out_of_usage_is_a_zero_where_others_report():
    first, second = row(0, 0, turns=1, usage_cached_tokens=None), two_turns()[0]
    found = summary([first, second])
    rate = found.per_trace["cache_hit_rate_pct"]
    assert rate is not None
    assert rate.mean == pytest.approx(100 * 96 / 231)
    assert found.facts["cache"]["omitted_zero_requests"] == 1


def test_a_server_that_writes_its_zeros_leaves_none_out():
    """What is missing beside a 0 that is written is no 0: a proxy loses it, or several servers answer."""
    found = summary([row(0, usage_cached_tokens=None), row(1, usage_cached_tokens=0), row(2, usage_cached_tokens=50)])
    rate = found.per_trace["cache_hit_rate_pct"]
    assert rate is not None
    assert (rate.n, rate.mean) == (2, pytest.approx(25.0))
    assert (found.cache.omitted_zero_requests, found.cache.traces_left_out) == (0, 1)


def test_a_server_that_never_reports_cached_tokens_leaves_the_columns_unmeasured():
    rows = [row(0, 0, turns=1, usage_cached_tokens=None), row(0, 1, turns=1, sent=2.0, usage_cached_tokens=None)]
    found = summary(rows)
    assert found.per_trace["cache_hit_rate_pct"] is None
    assert found.facts["cache"]["hit_rate_pct"] is None


def test_traces_of_one_request_have_no_eligible_tokens():
    found = summary([row()]).per_trace
    assert found["eligible_cache_hit_rate_pct"] is None
    assert found["cache_hit_rate_pct"] is not None


def test_not_streaming_measures_no_first_token():
    found = summary(two_turns(), stream=False)
    assert [found.per_trace[key] for key in ("ttft_s", "ttfat_s", "decode_tps")] == [None] * 3
    assert found.per_request["tpot_s"] is None
    latency = found.per_trace["latency_s"]
    assert latency is not None
    assert latency.mean == 6.0


def test_outcomes_of_traces():
    rows = [
        row(0),
        row(1, 0, turns=2),
        row(1, 1, turns=2, sent=2.0, outcome=Outcome.failed, error_kind="http_status"),
        row(2, 0, turns=2),  # in a tool wait at the deadline
        row(3, 0, turns=0, outcome=Outcome.cancelled, error_kind="deadline", end_s=100.0, first_token_s=None),
    ]
    found = summary(rows)
    assert found.traces == {"completed": 1, "failed": 1, "cancelled": 2}
    assert found.requests == {"ok": 3, "failed": 1, "cancelled": 1}
    assert found.facts["errors"] == {"http_status": 1}
    assert found.trace_per_s == pytest.approx(0.01)


def test_workload_table_by_hand():
    """Points at 10, 20, 50 and 60 s of 100 new, 50 cached and 10 completion tokens each; wall time 100 s."""
    rows = [
        row(i, sent=end - 1.5, end_s=end, cached_prompt_tokens=50, requested_completion_tokens=10)
        for i, end in enumerate((10.0, 20.0, 50.0, 60.0))
    ]
    found = summary(rows, num_gpus=4).workload
    total = found["total_prompt_tok_s"]
    assert total.overall == pytest.approx(600 / 100)
    assert total.last_30s == pytest.approx(150 / 10)  # from the first point at or after 30 s, which is 50 s
    assert total.steady_state == pytest.approx(300 / 40)  # 20 % of 60 s is 12 s: from 20 s
    assert total.steady_state_per_gpu == pytest.approx(300 / 40 / 4)
    assert found["uncached_prompt_tok_s"].overall == pytest.approx(4.0)
    assert found["cached_prompt_tok_s"].overall == pytest.approx(2.0)
    assert found["completion_tok_s"].steady_state == pytest.approx(0.5)


def test_one_point_has_no_slope():
    rates = summary([row()]).workload["completion_tok_s"]
    assert (rates.overall, rates.last_30s, rates.steady_state) == (pytest.approx(0.11), None, None)


@pytest.mark.parametrize(
    ("asked", "came", "counted"),
    [(50, 50, 50), (50, 11, 11), (50, 0, 0), (50, 60, 50), (50, None, 50)],
)
def test_completion_throughput_counts_what_came_of_what_was_asked_for(asked: int, came: int | None, counted: int):
    """Within 100 s; usage above what was asked for is another check's, and without usage lengths are the trace's."""
    rates = summary([row(requested_completion_tokens=asked, usage_completion_tokens=came)]).workload
    assert rates["completion_tok_s"].overall == pytest.approx(counted / 100)


def test_a_model_that_ends_its_answers_makes_no_throughput_of_what_did_not_come():
    """A cloud without ignore_eos: 34 tokens of 100 came in each of 30 answers, and the run lasted 100 s."""
    rows = [
        row(i, requested_completion_tokens=100, usage_completion_tokens=34, finish_reason="stop") for i in range(30)
    ]
    found = summary(rows, limits={"completion_drift": 1.0})
    assert found.workload["completion_tok_s"].overall == pytest.approx(10.2)
    (difference,) = [check for check in found.verdict if check.id == "completion_throughput_as_asked"]
    assert not difference.ok
    assert difference.found.startswith("1,020 tokens came of 3,000 asked for")


@pytest.mark.parametrize(
    ("reason", "usage", "share"),
    [("stop", None, 1.0), ("tool_calls", None, 1.0), ("length", None, 0.0), (None, None, 0.0), ("stop", 11, 0.0)],
)
def test_answers_that_end_by_themselves_and_report_no_usage_have_no_known_length(
    reason: str | None, usage: int | None, share: float
):
    rows = [row(i, finish_reason=reason, usage_completion_tokens=usage) for i in range(12)]
    found = summary(rows)
    assert found.drift.completion_unknown_ratio == share
    (known,) = [check for check in found.verdict if check.id == "completion_lengths_known"]
    assert (known.ok, known.level) == (share == 0.0, "error")


@pytest.mark.parametrize(("chunks", "share"), [(20, 0.0), (15, 0.25), (0, 0.0)])
def test_chunks_tell_whether_a_stream_without_usage_reached_its_limit(chunks: int, share: float):
    """A gateway that caps answers at 15 tokens of the 20 asked for says `length` too; a plain answer has no chunks."""
    fields = {"requested_completion_tokens": 20, "usage_completion_tokens": None, "finish_reason": "length"}
    assert summary([row(chunks=chunks, **fields)]).drift.completion_unknown_ratio == share


def test_tpot_by_hand():
    tpot = summary(two_turns()).per_request["tpot_s"]
    assert tpot is not None
    assert (tpot.min, tpot.max) == (pytest.approx(1.5 / 30), pytest.approx(1.0 / 10))


def test_an_answer_in_one_chunk_has_no_tpot():
    assert summary([row(chunks=1)]).per_request["tpot_s"] is None


def test_what_came_in_the_first_chunk_is_no_part_of_tpot_and_of_decode_speed():
    """11 tokens, 4 of them with the first: 7 took the second after it; the reference would say 10."""
    found = summary([row(first_chunk_tokens=4, chunks=3), row(1, first_chunk_tokens=None, chunks=3)])
    tpot = found.per_request["tpot_s"]
    assert tpot is not None
    assert (tpot.max, tpot.min) == (pytest.approx(1.0 / 7), pytest.approx(1.0 / 10))
    speed = found.per_trace["decode_tps"]
    assert speed is not None
    assert (speed.min, speed.max) == (pytest.approx(7.0), pytest.approx(10.0))


def test_a_first_chunk_that_holds_all_has_no_tpot():
    assert summary([row(first_chunk_tokens=11, chunks=2)]).per_request["tpot_s"] is None


def test_failed_attempts_are_a_part_of_the_time():
    budget = summary([row(sent=0.0, attempt_sent_s=0.3)]).facts["budget"]
    assert budget["retries"] == pytest.approx(0.3 / 1.5)
    assert budget["prefill"] == pytest.approx(0.2 / 1.5)


def test_drift_in_total_and_at_most():
    rows = [row(0, usage_prompt_tokens=102), row(1, usage_prompt_tokens=97, usage_completion_tokens=8)]
    drift = summary(rows).facts["drift"]
    assert drift["prompt_ratio"] == pytest.approx(-1 / 200)
    assert drift["prompt_max_abs_tokens"] == 3
    assert drift["completion_short_requests"] == 1
    assert drift["completion_short_ratio"] == pytest.approx(3 / 22)


@pytest.mark.parametrize(("bos_tokens", "first"), [(None, 10), (4, 6)])
def test_the_part_of_the_drift_that_a_template_makes(bos_tokens: int | None, first: int):
    """Prompts of 100 tokens: 10 more at first, 13 with each turn; one of them 2 more than that explains."""
    template = {"first_tokens": 10, "per_turn_tokens": 13}
    about = manifest(endpoint={"api": "chat", "bos_tokens": bos_tokens}, prompts={"template": template})
    prompts = (100 + first, 100 + first + 13, 100 + first + 26 + 2)
    rows = [row(0, turn, turns=2, usage_prompt_tokens=prompt) for turn, prompt in enumerate(prompts)]
    drift = summarize(to_table(rows), about).facts["drift"]
    assert drift["template_ratio"] == pytest.approx((3 * first + 39) / 300)
    assert drift["unexplained_ratio"] == pytest.approx(2 / 300)
    assert drift["prompt_ratio"] == pytest.approx((3 * first + 41) / 300)
    assert drift["unexplained_max_abs_tokens"] == 2


def test_kaplan_meier_with_a_censored_trace_by_hand():
    """Latencies 10, 30, 40 and one cut off after 20: survival 3/4 after 10, 3/8 after 30, 0 after 40."""
    rows = [row(i, sent=0.0, end_s=end) for i, end in enumerate((10.0, 30.0, 40.0))]
    rows.append(row(3, 0, turns=3, sent=80.0, end_s=85.0))  # in flight until 100
    censoring = summary(rows).facts["censoring"]
    assert censoring["latency_km_p50_s"] == 30.0
    assert censoring["latency_km_p90_s"] == 40.0
    assert censoring["share"] == 0.25
    assert censoring["progress"] == 0.25


def test_kaplan_meier_is_none_where_too_many_were_cut_off():
    rows = [row(0, sent=0.0), *(row(i, 0, turns=3, sent=0.0) for i in (1, 2, 3))]
    assert summary(rows).facts["censoring"]["latency_km_p50_s"] is None


def test_eligible_ceiling_rounds_to_blocks_and_misses_the_last_token():
    cache = summary(two_turns()).facts["cache"]
    assert cache["eligible_ceiling_pct"] == pytest.approx(100 * 96 / 111)  # 111 - 1 = 110, 6 blocks of 16
    assert cache["turn0_hit_share"] == 0.0


def test_time_budget_and_concurrency_by_hand():
    found = summary(two_turns()).facts
    budget = found["budget"]  # of 6 s: prefill 0.5 + 0.5, decode 1 + 1.5, tools 2.5 to 4.9, client 0.1
    assert budget["prefill"] == pytest.approx(1 / 6)
    assert budget["decode"] == pytest.approx(2.5 / 6)
    assert budget["tool_wait"] == pytest.approx(2.4 / 6)
    assert budget["client"] == pytest.approx(0.1 / 6)
    assert found["concurrency"]["active_traces"] == pytest.approx(0.06)
    assert found["concurrency"]["in_flight_requests"] == pytest.approx(0.035)
    assert found["client"]["cpu_share"] == pytest.approx(0.1)


def test_a_killed_run_lasts_until_its_last_instant():
    found = summary([row(), row(1, sent=8.5)], end=KILLED)
    assert found.wall_time_s == 10.0
    assert found.trace_per_s == pytest.approx(0.2)
    assert not next(check for check in found.verdict if check.id == "ended_in_order").ok


CANCELLED = {"outcome": Outcome.cancelled, "sent_s": None, "first_token_s": None, "max_gap_s": None}


@pytest.mark.parametrize("end", [None, KILLED])
@pytest.mark.parametrize(
    "rows",
    [
        [],
        [row(outcome=Outcome.failed, error_kind=None, first_token_s=None)],
        [row(**CANCELLED)],
        [row(**CANCELLED, end_s=None)],
        [row()],
        [row(sent=0.0, first_token_s=0.0, end_s=0.0)],
        [row(usage_prompt_tokens=0, usage_completion_tokens=0, usage_cached_tokens=0)],
    ],
    ids=["nothing", "only failed", "only cancelled", "no instants", "one trace", "no time", "zero usage"],
)
def test_poor_data_gives_a_report(rows: list[RequestRecord], end: dict[str, Any] | None):
    found = summary(rows, end=end)
    text = json.dumps(found.to_json(), allow_nan=False)
    assert not found.valid or found.traces["completed"]
    assert Summary.from_json(json.loads(text)).to_json() == found.to_json()


def test_the_form_of_summary_json():
    found = summary(two_turns(), num_gpus=2).to_json()
    assert list(found)[:3] == ["schema_version", "valid", "verdict"]
    assert set(found["verdict"][0]) == {"id", "level", "ok", "title", "check", "found", "advice"}
    assert set(found["traces"]) == {"completed", "failed", "cancelled"}
    assert set(found["requests"]) == {"ok", "failed", "cancelled"}
    assert set(found["per_trace"]["latency_s"]) == {"mean", "min", "p50", "p90", "p95", "p99", "max", "n"}
    assert set(found["per_trace"]) == {
        "latency_s", "ttft_s", "ttfat_s", "decode_tps", "cache_hit_rate_pct", "eligible_cache_hit_rate_pct",
    }  # fmt: skip
    rates = {"overall", "last_30s", "steady_state", "steady_state_per_gpu"}
    assert {key: set(value) for key, value in found["workload"].items()} == dict.fromkeys(
        ("total_prompt_tok_s", "cached_prompt_tok_s", "uncached_prompt_tok_s", "completion_tok_s"), rates
    )
    assert isinstance(found["wall_time_s"], float)
    assert found["trace_per_s"] == pytest.approx(0.01)


def test_a_warm_up_is_in_no_metric_but_its_own_and_traces_begun_in_it_are_not_whole():
    """Session 1 began at -2 s inside its trace and ends in the run: its request counts, its latency does not."""
    measured = [row(0, sent=1.0), row(1, 1, 1, sent=0.5, cached_prompt_tokens=50)]
    warm_up = [row(1, 0, 1, sent=-2.0, warm_up=True), row(2, sent=-1.0, warm_up=True, outcome=Outcome.failed)]
    with_it = summary([*warm_up, *measured]).to_json()
    without = summary(measured).to_json()
    assert with_it.pop("warm_up") == {"requests": 2, "failed": 1, "seconds": 2.0, "traces_inside": 1}
    without.pop("warm_up")
    assert with_it == without
    assert with_it["traces"]["completed"] == 2
    assert with_it["per_trace"]["latency_s"]["n"] == 1
    assert with_it["requests"] == {"ok": 2, "failed": 0, "cancelled": 0}
