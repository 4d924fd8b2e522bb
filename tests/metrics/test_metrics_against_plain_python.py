"""The vectorised metrics against a second computation, which knows loops and nothing of numpy."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import pytest
from helpers.manifests import manifest
from helpers.rows import row
from hypothesis import given, settings
from hypothesis import strategies as st

from trie.metrics.summary import summarize
from trie.storage.parquet_parts import to_table
from trie.storage.record import Outcome, RequestRecord

WALL_S = 1000.0
TENTHS = st.integers(0, 300).map(lambda n: n / 10)
COUNTS = st.integers(0, 5000)


@st.composite
def sessions(draw: st.DrawFn) -> list[RequestRecord]:
    """One session, cut short by a failure or a cancellation or not at all."""
    number, turns = draw(st.integers(0, 10**6)), draw(st.integers(0, 4))
    made = draw(st.integers(1, turns + 1))
    last = draw(st.sampled_from(list(Outcome)))
    reports = draw(st.sampled_from(["all", "prompt only", "nothing"]))
    rows, now = [], draw(TENTHS)
    for turn in range(made):
        outcome = last if turn == made - 1 else Outcome.ok
        first = now + draw(TENTHS)
        end = first + draw(TENTHS)
        usage = {
            "usage_prompt_tokens": draw(COUNTS) if reports != "nothing" else None,
            "usage_completion_tokens": draw(COUNTS) if reports == "all" else None,
            "usage_cached_tokens": draw(COUNTS) if reports == "all" else None,
        }
        accounting = {
            "new_prompt_tokens": draw(COUNTS),
            "cached_prompt_tokens": draw(COUNTS),
            "requested_completion_tokens": draw(st.integers(1, 500)),
        }
        instants = {"sent": now, "first_token_s": first, "last_token_s": end, "end_s": end}
        rows.append(row(number, turn, turns=turns, outcome=outcome, **instants, **usage, **accounting))
        now = end + draw(TENTHS)
    return rows


RUNS = st.lists(sessions(), max_size=6, unique_by=lambda rows: rows[0].session_id)


def second_opinion(rows: list[RequestRecord]) -> dict[str, list[float]]:
    """Values of the six metrics over completed traces."""
    any_cached = any(request.usage_cached_tokens is not None for request in rows)
    by_session: dict[int, list[RequestRecord]] = defaultdict(list)
    for request in sorted(rows, key=lambda request: request.turn):
        by_session[request.session_id].append(request)
    found: dict[str, list[float]] = defaultdict(list)
    for trace in by_session.values():
        if not (trace[-1].is_final and trace[-1].outcome is Outcome.ok):
            continue
        one_trace(trace, found, any_cached=any_cached)
    return found


def one_trace(trace: list[RequestRecord], found: dict[str, list[float]], *, any_cached: bool) -> None:
    start, final = trace[0].sent_s, trace[-1]
    assert start is not None
    assert final.end_s is not None
    assert final.first_token_s is not None
    assert trace[0].first_token_s is not None
    found["latency_s"].append(final.end_s - start)
    found["ttft_s"].append(trace[0].first_token_s - start)
    found["ttfat_s"].append(final.first_token_s - start)
    speeds = [tok_s for request in trace if (tok_s := speed(request)) is not None]
    if speeds:
        found["decode_tps"].append(sum(speeds) / len(speeds))
    if any(request.usage_prompt_tokens is None for request in trace) or not any_cached:
        return
    cached = sum(request.usage_cached_tokens or 0 for request in trace)
    prompt = sum(request.usage_prompt_tokens or 0 for request in trace)
    eligible = sum((request.usage_prompt_tokens or 0) + completion(request) for request in trace[:-1])
    if prompt:
        found["cache_hit_rate_pct"].append(100 * cached / prompt)
    if eligible:
        found["eligible_cache_hit_rate_pct"].append(100 * cached / eligible)


def completion(request: RequestRecord) -> int:
    reported = request.usage_completion_tokens
    return request.requested_completion_tokens if reported is None else reported


def speed(request: RequestRecord) -> float | None:
    """None where several tokens came at once, or faster than 20,000 a second; the last token is the end here."""
    assert request.end_s is not None
    assert request.first_token_s is not None
    time = request.end_s - request.first_token_s
    tokens = completion(request) - 1
    if tokens <= 0:
        return 0.0
    return tokens / time if time > 0 and tokens / time <= 20_000 else None


def quantile(values: list[float], share: float) -> float:
    values = sorted(values)
    place = share * (len(values) - 1)
    low, high = math.floor(place), math.ceil(place)
    return values[low] + (values[high] - values[low]) * (place - low)


def statistics(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    shares = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
    ends = {"mean": sum(values) / len(values), "min": min(values), "max": max(values), "n": len(values)}
    return ends | {name: quantile(values, share) for name, share in shares.items()}


@settings(max_examples=150, deadline=None)
@given(RUNS)
def test_the_six_metrics(run: list[list[RequestRecord]]):
    rows = [request for session in run for request in session]
    found = summarize(to_table(rows), manifest()).to_json()["per_trace"]
    expected = second_opinion(rows)
    for key, stats in found.items():
        by_hand = statistics(expected[key])
        assert (stats is None) == (by_hand is None), key
        if by_hand is not None:
            assert stats == pytest.approx(by_hand, rel=1e-9, abs=1e-9), key


def rate(points: list[tuple[float, int]], since: float) -> float | None:
    """Slope of the running total between the first point at or after `since` and the last."""
    first = next(i for i, (at, _) in enumerate(points) if at >= since)
    time = points[-1][0] - points[first][0]
    return sum(tokens for _, tokens in points[first + 1 :]) / time if time > 0 else None


@settings(max_examples=150, deadline=None)
@given(RUNS, st.sampled_from([None, 1, 8]))
def test_the_workload_table(run: list[list[RequestRecord]], num_gpus: int | None):
    rows = [request for session in run for request in session]
    end = {"reason": "deadline", "wall_time_s": WALL_S}
    found = summarize(to_table(rows), manifest(end=end, num_gpus=num_gpus)).to_json()["workload"]
    ok = sorted((r for r in rows if r.outcome is Outcome.ok), key=lambda r: (r.end_s or 0.0, r.session_id, r.turn))
    tokens = {
        "total_prompt_tok_s": lambda r: r.new_prompt_tokens + r.cached_prompt_tokens,
        "cached_prompt_tok_s": lambda r: r.cached_prompt_tokens,
        "uncached_prompt_tok_s": lambda r: r.new_prompt_tokens,
        "completion_tok_s": lambda r: min(completion(r), r.requested_completion_tokens),
    }
    for key, count in tokens.items():
        points: list[tuple[float, Any]] = [(r.end_s or 0.0, count(r)) for r in ok]
        steady = rate(points, 0.2 * points[-1][0]) if points else None
        expected = {
            "overall": sum(tokens for _, tokens in points) / WALL_S,
            "last_30s": rate(points, points[-1][0] - 30.0) if points else None,
            "steady_state": steady,
            "steady_state_per_gpu": steady / num_gpus if steady is not None and num_gpus else None,
        }
        for column, value in expected.items():
            assert found[key][column] == (None if value is None else pytest.approx(value, rel=1e-9)), (key, column)
