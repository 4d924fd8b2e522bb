"""Kaplan-Meier estimates: an example by hand, a second computation, and a server whose times are known to the end."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers.manifests import manifest
from helpers.rows import row
from hypothesis import given, settings
from hypothesis import strategies as st

from trie.metrics.censored import Observed, kaplan_meier, survival
from trie.metrics.summary import Summary, summarize
from trie.storage.parquet_parts import to_table
from trie.storage.record import Outcome, RequestRecord

CUT = {"outcome": Outcome.cancelled, "error_kind": "deadline", "last_token_s": None}


def summary(rows: list[RequestRecord], *, wall_time_s: float = 100.0, stream: bool = True) -> Summary:
    return summarize(to_table(rows), manifest(end={"wall_time_s": wall_time_s}, stream=stream))


def test_survival_drops_at_ends_by_the_share_at_risk() -> None:
    # 1 completes of 4, 2 is censored, 3 completes of 2: 3/4, then 3/4, then 3/8, then the last one 0
    times, surviving = survival(Observed(np.array([3.0, 1.0, 2.0, 4.0]), np.array([True, True, False, True])))
    assert times.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert surviving.tolist() == pytest.approx([0.75, 0.75, 0.375, 0.0])


def test_the_textbook_example() -> None:
    """Freireich's 21 patients: remissions end after 6, 6, 6, 7, 10, 13, 16, 22, 23 weeks, + is censored.

    6, 6, 6, 6+, 7, 9+, 10, 10+, 11+, 13, 16, 17+, 19+, 20+, 22, 23, 25+, 32+, 32+, 34+, 35+: survival 0.857 after 6,
    0.807 after 7, 0.753 after 10, 0.690 after 13, 0.627 after 16, 0.538 after 22, 0.448 after 23.
    """
    ends = [6, 6, 6, 7, 10, 13, 16, 22, 23]
    cut = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    observed = Observed(np.array([*ends, *cut], float), np.array([True] * len(ends) + [False] * len(cut)))
    times, surviving = survival(observed)
    after = {time: round(float(share), 3) for time, share in zip(times, surviving, strict=True)}
    expected = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    assert {time: after[time] for time in expected} == expected
    assert kaplan_meier(observed, [0.5, 0.9]) == [23, None]


def by_definition(times: list[float], seen: list[bool], quantile: float) -> float | None:
    """The product over the instants of ends of 1 - ends there / those still at risk."""
    surviving = 1.0
    for instant in sorted({time for time, end in zip(times, seen, strict=True) if end}):
        ends = sum(1 for time, end in zip(times, seen, strict=True) if end and time == instant)
        at_risk = sum(1 for time in times if time >= instant)
        surviving *= 1 - ends / at_risk
        if surviving <= 1 - quantile + 1e-9:
            return instant
    return None


UNITS = st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=40)


@settings(max_examples=300, deadline=None)
@given(UNITS, st.sampled_from([0.1, 0.5, 0.9]))
def test_against_the_definition(units: list[tuple[int, bool]], quantile: float) -> None:
    times, seen = [float(time) for time, _ in units], [end for _, end in units]
    observed = Observed(np.array(times, float), np.array(seen, bool))
    assert kaplan_meier(observed, [quantile]) == [by_definition(times, seen, quantile)]


def test_exponential_times_under_random_censoring() -> None:
    """Times of mean 1, cut off at random times of mean 1: half are cut, and the median is ln 2 all the same."""
    draw = np.random.default_rng(3)
    times, cut = draw.exponential(1.0, 20_000), draw.exponential(1.0, 20_000)
    observed = Observed(np.minimum(times, cut), times <= cut)
    assert kaplan_meier(observed, [0.5]) == pytest.approx([math.log(2)], rel=0.03)
    assert np.median(observed.time_s[observed.seen]) == pytest.approx(math.log(2) / 2, rel=0.03)  # the plain one


def agents(until_s: float) -> list[RequestRecord]:
    """32 agents on a server with 2 slots, 3 s a request: the nth first token comes after 3 x (n // 2) + 0.1 s."""
    rows = []
    for agent in range(32):
        first, end = 3.0 * (agent // 2) + 0.1, 3.0 * (agent // 2) + 3.0
        if end <= until_s:
            rows.append(row(agent, ttft=first, latency=end))
        else:
            came = first if first <= until_s else None
            rows.append(row(agent, latency=until_s, **{**CUT, "first_token_s": came, "last_token_s": came}))
    return rows


def test_first_tokens_that_did_not_come_are_counted_in() -> None:
    """Where half have their first token, the estimate is that of the run to its end; the plain one is far below."""
    whole, cut = summary(agents(60.0), wall_time_s=60.0), summary(agents(30.0), wall_time_s=30.0)
    for key in ("ttft_km_p50_s", "ttfat_km_p50_s", "request_ttft_km_p50_s"):
        assert getattr(cut.censoring, key) == getattr(whole.censoring, key) == pytest.approx(3 * 7 + 0.1), key
    assert cut.censoring.request_latency_km_p50_s == pytest.approx(24.0)
    assert cut.censoring.ttft_km_p90_s is None
    plain = cut.per_trace["ttft_s"]
    assert plain is not None
    assert plain.p50 == pytest.approx(13.6)  # of 20 that completed
    assert cut.censoring.incomplete_share == cut.censoring.incomplete_requests_share == 12 / 32


def test_what_became_of_a_trace_is_no_matter_of_its_first_token() -> None:
    """TTFT 1, 2 and 3 s of traces that completed, failed and were cut off; a fourth failed after 4 s without one.

    TTFAT: the first is seen after 1 s; the others took at least until the failure of the second request after 8 s,
    the end of the run after 100 s, and the failure after 4 s.
    """
    failed = {"outcome": Outcome.failed, "error_kind": "reset"}
    rows = [
        row(0, ttft=1.0, latency=5.0),
        row(1, 0, 1, ttft=2.0, latency=5.0),
        row(1, 1, 1, sent=6.0, **{**failed, "end_s": 8.0, "first_token_s": None}),
        row(2, 0, 1, ttft=3.0, latency=5.0),
        row(3, 0, 1, latency=4.0, **{**failed, "first_token_s": None}),
    ]
    censoring = summary(rows).censoring
    assert censoring.ttft_km_p50_s == 2.0
    assert censoring.ttft_km_p90_s is None  # 1/4 of them never came to it
    assert censoring.ttfat_km_p50_s is None
    assert censoring.request_latency_km_p50_s == 5.0


def test_requests_that_were_never_sent_and_runs_without_a_stream() -> None:
    unsent = row(1, **{**CUT, "sent_s": None, "first_token_s": None, "end_s": 100.0})
    assert summary([row(0), unsent]).censoring.request_ttft_km_p90_s == 0.5
    censoring = summary([row(0)], stream=False).censoring
    assert (censoring.ttft_km_p50_s, censoring.ttfat_km_p50_s, censoring.request_ttft_km_p50_s) == (None,) * 3
    assert censoring.latency_km_p50_s == censoring.request_latency_km_p50_s == 1.5


def failing(traces: int, rate: float) -> list[RequestRecord]:
    """Traces of 1 to 40 requests of 1 s, of which a share fails at random and ends its trace."""
    draw = np.random.default_rng(11)
    rows = []
    for trace in range(traces):
        turns = trace % 40
        for turn in range(turns + 1):
            fails = draw.random() < rate
            outcome = {"outcome": Outcome.failed, "error_kind": "reset", "first_token_s": None} if fails else {}
            rows.append(row(trace, turn, turns, sent=float(turn), ttft=0.1, latency=1.0, **outcome))
            if fails:
                break
    return rows


def test_few_failed_requests_that_end_many_traces() -> None:
    """4.7 % of the requests fail, which no limit on requests minds, and end more than half of the traces.

    The mean latency of all traces is 20.5 s, and the median 20.5 s; those that complete are the short ones.
    """
    found = summary(failing(800, 0.047))
    requests, traces = found.requests, found.traces
    assert requests["failed"] / sum(requests.values()) < 0.05
    assert traces["failed"] / sum(traces.values()) > 0.5
    latency = found.per_trace["latency_s"]
    assert latency is not None
    assert latency.mean < 0.75 * 20.5
    assert found.censoring.latency_km_p50_s == pytest.approx(20.5, rel=0.08)
    failed = {check.id: check for check in found.verdict if not check.ok}
    assert not found.valid
    assert "few_failures" not in failed
    assert failed["few_failed_traces"].level == failed["little_censoring"].level == "error"
    assert "times_of_all" in failed
