"""Metrics against numbers worked by hand, and against a second computation in plain loops."""

from __future__ import annotations

from dataclasses import asdict
from math import isclose, isnan
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import manifest, row

from trie.metrics.columns import Columns, Stats
from trie.metrics.summary import Summary, summarize
from trie.metrics.traces import kaplan_meier
from trie.metrics.traces import traces as traces_of
from trie.records import Outcome, RequestRecord, to_table


def two_turns(session: int = 0, at: float = 0.0) -> list[RequestRecord]:
    """A trace of two requests: 100 prompt tokens and 10 completion tokens, then 20 new ones and 5."""
    return [
        row(session, 0, 1, queued_s=at, sent_s=at + 0.1, attempt_sent_s=at + 0.1, chunks=10,
            first_token_s=at + 1.1, end_s=at + 2.0, attempts=1,
            new_prompt_tokens=100, requested_completion_tokens=10,
            usage_prompt_tokens=100, usage_completion_tokens=10, usage_cached_tokens=0),
        row(session, 1, 1, queued_s=at + 3.0, sent_s=at + 3.0, attempt_sent_s=at + 3.0, chunks=5,
            first_token_s=at + 3.5, end_s=at + 4.5, attempts=1,
            new_prompt_tokens=20, cached_prompt_tokens=110, requested_completion_tokens=5,
            usage_prompt_tokens=130, usage_completion_tokens=5, usage_cached_tokens=96),
    ]  # fmt: skip


def summary(rows: list[RequestRecord], **given: Any) -> Summary:
    return summarize(to_table(rows), manifest(**given))


def test_the_six_metrics_of_one_trace() -> None:
    found = {key: stats and stats.mean for key, stats in summary(two_turns()).per_trace.items()}
    assert found["latency_s"] == pytest.approx(4.4)  # 4.5 - 0.1
    assert found["ttft_s"] == pytest.approx(1.0)
    assert found["ttfat_s"] == pytest.approx(3.4)  # 3.5 - 0.1
    assert found["decode_tps"] == pytest.approx((9 / 0.9 + 4 / 1.0) / 2)
    assert found["cache_hit_rate_pct"] == pytest.approx(100 * 96 / 230)
    assert found["eligible_cache_hit_rate_pct"] == pytest.approx(100 * 96 / 110)


def test_the_workload_table_of_three_points() -> None:
    """Points at 2, 4.5 and 12 s; 20 % of 12 s is 2.4 s, so steady state starts at the second."""
    rows = [*two_turns(), two_turns(1, at=10.0)[0]]
    rates = summary(rows, wall_time_s=20.0, num_gpus=4).workload
    assert rates["completion_tok_s"].overall == pytest.approx(25 / 20)
    assert rates["completion_tok_s"].steady_state == pytest.approx(10 / 7.5)
    assert rates["completion_tok_s"].steady_state_per_gpu == pytest.approx(10 / 7.5 / 4)
    assert rates["completion_tok_s"].last_30s == pytest.approx(15 / 10)
    assert rates["cached_prompt_tok_s"].overall == pytest.approx(110 / 20)
    assert rates["uncached_prompt_tok_s"].overall == pytest.approx(220 / 20)
    assert rates["total_prompt_tok_s"].overall == pytest.approx(330 / 20)


def test_the_last_30_seconds_start_at_the_first_point_within() -> None:
    rows = [row(i, 0, 0, end_s=at, requested_completion_tokens=10) for i, at in enumerate((10.0, 35.0, 50.0, 60.0))]
    assert summary(rows).workload["completion_tok_s"].last_30s == pytest.approx(20 / 25)


def test_a_request_of_one_token_has_no_decode_speed() -> None:
    rows = [row(0, 0, 0, sent_s=0.0, first_token_s=1.0, end_s=1.0, requested_completion_tokens=1)]
    stats = summary(rows).per_trace["decode_tps"]
    assert stats is not None
    assert stats.mean == 0.0


def test_one_request_traces_have_no_eligible_rate() -> None:
    usage = {"usage_prompt_tokens": 9, "usage_completion_tokens": 1, "usage_cached_tokens": 3}
    found = summary([row(0, 0, 0, sent_s=0.0, end_s=1.0, **usage)])
    assert found.per_trace["eligible_cache_hit_rate_pct"] is None
    assert found.per_trace["cache_hit_rate_pct"] is not None


def test_without_usage_the_cache_is_not_measured() -> None:
    rows = [row(0, 0, 0, sent_s=0.0, first_token_s=0.5, end_s=1.0)]
    found = summary(rows)
    assert found.per_trace["cache_hit_rate_pct"] is None
    assert found.facts["cache"]["hit_rate_pct"] is None
    assert found.facts["drift"]["prompt_ratio"] is None


def test_without_streaming_there_is_no_first_token() -> None:
    found = summary(two_turns(), stream=False)
    assert [found.per_trace[key] for key in ("ttft_s", "ttfat_s", "decode_tps")] == [None, None, None]
    assert found.per_trace["latency_s"] is not None


def test_outcomes_of_traces() -> None:
    rows = [
        *two_turns(0),
        row(1, 0, 1, outcome=Outcome.failed, end_s=1.0),
        row(2, 0, 2, end_s=1.0),  # in a tool wait when the run ended
        row(3, 0, 0, outcome=Outcome.cancelled, end_s=1.0),
    ]
    found = summary(rows)
    assert found.traces == {"completed": 1, "failed": 1, "cancelled": 2}
    assert found.requests == {"ok": 3, "failed": 1, "cancelled": 1}
    assert found.facts["censoring"]["progress"] == pytest.approx((1 / 3 + 0) / 2)


def test_drift_and_short_completions() -> None:
    rows = two_turns()
    rows[1].usage_prompt_tokens, rows[1].usage_completion_tokens = 133, 4
    drift = summary(rows).facts["drift"]
    assert drift["prompt_ratio"] == pytest.approx(3 / 230)
    assert drift["prompt_max_abs_tokens"] == 3
    assert drift["completion_short_ratio"] == pytest.approx(1 / 15)


def test_time_budget_adds_up() -> None:
    budget = summary(two_turns()).facts["budget"]
    assert budget["prefill"] == pytest.approx(1.5 / 4.5)
    assert budget["decode"] == pytest.approx(1.9 / 4.5)
    assert budget["tool_wait"] == pytest.approx(1.0 / 4.5)
    assert budget["client"] == pytest.approx(0.1 / 4.5)
    assert budget["retries"] == 0.0


def test_tpot_needs_several_chunks() -> None:
    rows = two_turns()
    rows[1].chunks = 1
    stats = summary(rows).per_request["tpot_s"]
    assert stats is not None
    assert stats.max == stats.min == pytest.approx(0.9 / 9)


def test_kaplan_meier_by_hand() -> None:
    """Of four, one completes at 1, one is cut off at 2, two complete at 3 and 4: S = 3/4, then 3/8, then 0."""
    duration, completed = np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, False, True, True])
    assert kaplan_meier(duration, completed, 0.25) == 1.0
    assert kaplan_meier(duration, completed, 0.5) == 3.0
    assert kaplan_meier(duration, completed, 0.9) == 4.0
    assert kaplan_meier(duration, np.zeros(4, bool), 0.5) is None


def test_achieved_concurrency() -> None:
    found = summary(two_turns(), wall_time_s=9.0).facts["concurrency"]
    assert found["active_traces"] == pytest.approx(4.5 / 9)
    assert found["in_flight_requests"] == pytest.approx((1.9 + 1.5) / 9)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [row(0, 0, 0, outcome=Outcome.failed)],
        [row(0, 0, 3, outcome=Outcome.cancelled, sent_s=1.0, end_s=2.0)],
        [row(0, 0, 0, end_s=0.0)],
    ],
)
@pytest.mark.parametrize("killed", [False, True])
def test_odd_runs_are_summarized(rows: list[RequestRecord], killed: bool) -> None:
    found = summary(rows, wall_time_s=None if killed else 5.0)
    assert Summary.from_json(found.to_json()).to_json() == found.to_json()
    assert not any(isinstance(value, float) and isnan(value) for value in found.facts["censoring"].values())


def test_a_killed_run_lasts_until_its_last_row() -> None:
    assert summary(two_turns(), wall_time_s=None).wall_time_s == 4.5


# --- a second computation, in plain loops ---------------------------------------------------------------------------


def plain(rows: list[RequestRecord]) -> dict[str, list[float]]:
    """The six metrics, trace after trace, straight from their definitions."""
    found: dict[str, list[float]] = {}
    for session in sorted({r.session_id for r in rows}):
        trace = sorted((r for r in rows if r.session_id == session), key=lambda r: r.turn)
        first, last = trace[0], trace[-1]
        if not (last.is_final and last.outcome is Outcome.ok):
            continue
        assert first.sent_s is not None
        assert last.end_s is not None
        assert last.first_token_s is not None
        assert first.first_token_s is not None
        values = {"latency_s": last.end_s - first.sent_s, "ttft_s": first.first_token_s - first.sent_s}
        values["ttfat_s"] = last.first_token_s - first.sent_s
        speeds, cached, prompt, eligible, context = [], 0, 0, 0, 0
        for r in trace:
            time = r.end_s - r.first_token_s  # type: ignore[operator]
            n = r.usage_completion_tokens or 0
            speeds.append((n - 1) / time if n > 1 and time > 0 else 0.0)
            cached += r.usage_cached_tokens or 0
            prompt += r.usage_prompt_tokens or 0
            eligible += context
            context = (r.usage_prompt_tokens or 0) + n
        values["decode_tps"] = sum(speeds) / len(speeds)
        values["cache_hit_rate_pct"] = 100 * cached / prompt
        if eligible:
            values["eligible_cache_hit_rate_pct"] = 100 * cached / eligible
        for key, value in values.items():
            found.setdefault(key, []).append(value)
    return found


@st.composite
def runs(draw: st.DrawFn) -> list[RequestRecord]:
    """Sessions of one to four requests, the last of which may have failed or been cancelled."""
    rows = []
    seconds, tokens = st.floats(0.001, 5.0), st.integers(1, 500)
    for session in range(draw(st.integers(1, 6))):
        turns, at = draw(st.integers(0, 3)), draw(seconds)
        reached = draw(st.integers(0, turns))
        for turn in range(reached + 1):
            sent, first, end = at, at + draw(seconds), 0.0
            end = first + draw(st.one_of(st.just(0.0), seconds))
            last = turn == reached
            outcome = draw(st.sampled_from(list(Outcome))) if last else Outcome.ok
            prompt = draw(tokens)
            rows.append(row(session, turn, turns, outcome=outcome, sent_s=sent, first_token_s=first, end_s=end,
                            new_prompt_tokens=draw(tokens), cached_prompt_tokens=draw(tokens),
                            requested_completion_tokens=draw(tokens), usage_prompt_tokens=prompt,
                            usage_completion_tokens=draw(tokens),
                            usage_cached_tokens=draw(st.integers(0, prompt))))  # fmt: skip
            at = end + draw(seconds)
    return draw(st.permutations(rows))


@given(runs())
@settings(max_examples=60, deadline=None)
def test_both_computations_agree_on_traces(rows: list[RequestRecord]) -> None:
    expected = plain(rows)
    found = traces_of(Columns(to_table(rows)), stream=True)
    for key in ("latency_s", "ttft_s", "ttfat_s", "decode_tps", "cache_hit_rate_pct", "eligible_cache_hit_rate_pct"):
        values = [value for value in getattr(found, key) if not isnan(value)]
        assert values == pytest.approx(expected.get(key, []))


@given(runs())
@settings(max_examples=60, deadline=None)
def test_both_computations_agree_on_the_workload(rows: list[RequestRecord]) -> None:
    done = sorted((r for r in rows if r.outcome is Outcome.ok), key=lambda r: r.end_s or 0.0)
    rates = summary(rows, wall_time_s=50.0).workload["total_prompt_tok_s"]
    points, total = [], 0
    for r in done:
        total += r.new_prompt_tokens + r.cached_prompt_tokens
        points.append((r.end_s or 0.0, total))
    assert rates.overall == pytest.approx(total / 50.0)
    if not points:
        return
    (end, most) = points[-1]
    for since, found in ((0.2 * end, rates.steady_state), (end - 30, rates.last_30s)):
        at, before = next(point for point in points if point[0] >= since)
        assert (found is None and isclose(at, end)) or found == pytest.approx((most - before) / (end - at))


def test_statistics_interpolate_linearly() -> None:
    stats = Stats.of(np.array([1.0, 2.0, 3.0, 4.0, np.nan]))
    expected = Stats(mean=2.5, min=1.0, p50=2.5, p90=3.7, p95=3.85, p99=3.97, max=4.0)
    assert stats is not None
    assert asdict(stats) == pytest.approx(asdict(expected))
