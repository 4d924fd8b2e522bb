"""The reference's figures a second time, in plain loops over lists, against the vectorised ones."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trie.metrics.summary import summarize
from trie.records import Outcome, RequestRecord, to_table

GPUS = 4


def seconds(least: float, most: float) -> st.SearchStrategy[float]:
    return st.floats(least, most, allow_nan=False).map(lambda x: round(x, 6))


REQUEST = st.fixed_dictionaries(
    {
        "new": st.integers(1, 5000),
        "completion": st.sampled_from([1, 2, 40, 500]),
        "short": st.integers(0, 1),
        "hit": st.floats(0, 1),
        "wait": seconds(0, 5),
        "delay": seconds(0, 0.01),
        "ttft": seconds(0.001, 2),
        "decode": st.one_of(st.just(0.0), seconds(0.01, 10)),
    }
)
TRACE = st.tuples(
    seconds(0, 60),
    st.lists(REQUEST, min_size=1, max_size=6),
    st.integers(0, 3),  # tool turns that the trace still had when it stopped; 0: it reached its final request
    st.sampled_from(list(Outcome)),
)


def records(traces: list[Any], *, usage: bool) -> list[RequestRecord]:
    """Rows of traces that began at their instants; all but a trace's last request ended well."""
    rows = []
    for session, (began, requests, left, fate) in enumerate(traces):
        clock, context = began, 0
        for turn, asked in enumerate(requests):
            last = turn == len(requests) - 1
            outcome = fate if last else Outcome.ok
            queued = clock + (asked["wait"] if turn else 0.0)
            sent = queued + asked["delay"]
            first = sent + asked["ttft"]
            end = first + asked["decode"]
            told = usage and outcome is Outcome.ok
            rows.append(
                RequestRecord(
                    trace_id=session,
                    session_id=session,
                    slot=0,
                    turn=turn,
                    num_turns=len(requests) - 1 + left,
                    is_final=last and left == 0,
                    outcome=outcome,
                    error_kind=None if outcome is Outcome.ok else "reset",
                    attempts=1,
                    queued_s=queued,
                    sent_s=sent,
                    attempt_sent_s=sent,
                    first_token_s=first,
                    last_token_s=end,
                    end_s=end,
                    new_prompt_tokens=asked["new"],
                    cached_prompt_tokens=context,
                    requested_completion_tokens=asked["completion"],
                    usage_prompt_tokens=asked["new"] + context if told else None,
                    usage_completion_tokens=max(asked["completion"] - asked["short"], 1) if told else None,
                    usage_cached_tokens=int(asked["hit"] * context) if told else None,
                    chunks=asked["completion"],
                )
            )
            clock, context = end, context + asked["new"] + asked["completion"]
    return rows


def interpolated(ordered: list[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def seven(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    ordered = sorted(values)
    shares = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
    found = {name: interpolated(ordered, share) for name, share in shares.items()}
    return {"mean": math.fsum(values) / len(values), "min": ordered[0], "max": ordered[-1], **found}


def per_trace(rows: list[RequestRecord]) -> dict[str, Any]:
    sessions = defaultdict(list)
    for row in rows:
        sessions[row.session_id].append(row)
    figures: dict[str, list[float]] = defaultdict(list)
    for requests in sessions.values():
        requests.sort(key=lambda row: row.turn)
        if not (requests[-1].is_final and requests[-1].outcome == "ok"):
            continue
        first, final = requests[0], requests[-1]
        figures["latency_s"].append(final.end_s - first.sent_s)
        figures["ttft_s"].append(first.first_token_s - first.sent_s)
        figures["ttfat_s"].append(final.first_token_s - first.sent_s)
        speeds = []
        for row in requests:
            tokens = row.usage_completion_tokens or row.requested_completion_tokens
            time = row.end_s - row.first_token_s
            speeds.append((tokens - 1) / time if tokens > 1 and time > 0 else 0.0)
        figures["decode_tps"].append(sum(speeds) / len(speeds))
        if any(row.usage_prompt_tokens is None for row in requests):
            continue
        hits = sum(row.usage_cached_tokens for row in requests)
        figures["cache_hit_rate_pct"].append(100 * hits / sum(row.usage_prompt_tokens for row in requests))
        eligible = sum(row.usage_prompt_tokens + row.usage_completion_tokens for row in requests[:-1])
        if eligible:
            figures["eligible_cache_hit_rate_pct"].append(100 * hits / eligible)
    keys = ("latency_s", "ttft_s", "ttfat_s", "decode_tps", "cache_hit_rate_pct", "eligible_cache_hit_rate_pct")
    return {key: seven(figures[key]) for key in keys}


def throughput(rows: list[RequestRecord], wall_s: float) -> dict[str, Any]:
    ended = sorted((row for row in rows if row.outcome == "ok"), key=lambda row: (row.end_s, row.session_id, row.turn))
    amounts = {
        "total_prompt_tok_s": lambda row: row.new_prompt_tokens + row.cached_prompt_tokens,
        "cached_prompt_tok_s": lambda row: row.cached_prompt_tokens,
        "uncached_prompt_tok_s": lambda row: row.new_prompt_tokens,
        "completion_tok_s": lambda row: row.requested_completion_tokens,
    }
    found = {}
    for key, amount in amounts.items():
        points, total = [], 0
        for row in ended:
            total += amount(row)
            points.append((row.end_s, total))
        steady = slope(points, 0.2)
        per_gpu = None if steady is None else steady / GPUS
        spans = (total / wall_s, slope(points, None), steady, per_gpu)
        found[key] = dict(zip(("overall", "last_30s", "steady_state", "steady_state_per_gpu"), spans, strict=True))
    return found


def slope(points: list[tuple[float, int]], warm_up: float | None) -> float | None:
    if not points:
        return None
    last_at, last_total = points[-1]
    since = last_at - 30.0 if warm_up is None else warm_up * last_at
    for at, total in points:
        if at >= since:
            return (last_total - total) / (last_at - at) if last_at > at else None
    return None


def same(found: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        for key, value in expected.items():
            same(found[key], value)
    elif expected is None:
        assert found is None
    else:
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


@settings(max_examples=120, deadline=None)
@given(traces=st.lists(TRACE, max_size=8), usage=st.booleans(), seed=st.randoms(use_true_random=False))
def test_all_six_per_trace_metrics_and_the_workload_table_equal_plain_loops(traces, usage, seed):
    rows = records(traces, usage=usage)
    shuffled = list(rows)
    seed.shuffle(shuffled)
    manifest = {
        "config": {"concurrency": {"value": 8}, "duration": 600.0, "num_gpus": GPUS, "stream": True},
        "workload": {"name": "given", "traces": 8, "synthetic": False},
        "prompts": {"offset_tokens": 0},
        "end": {"reason": "deadline", "wall_time_s": 600.0, "client": None},
    }
    found = summarize(to_table(shuffled), manifest).to_json()
    same(found["per_trace"], per_trace(rows))
    same(found["workload"], throughput(rows, 600.0))
