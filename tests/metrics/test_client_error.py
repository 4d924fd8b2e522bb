"""What the client's lateness may have added to a percentile: worked by hand, and against errors that are known."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.rows import row

from trie.metrics.client_error import excesses
from trie.metrics.columns import Columns
from trie.metrics.sections import Excess, Excesses
from trie.metrics.traces import traces
from trie.metrics.values import per_trace
from trie.storage.parquet_parts import to_table
from trie.storage.record import RequestRecord


def of(rows: list[RequestRecord], *, stream: bool = True) -> Excesses:
    columns = Columns(to_table(rows))
    return excesses(columns, per_trace(columns, traces(columns), stream=stream), stream=stream)


def test_a_few_late_rows_raise_the_tail_alone() -> None:
    """Of 100 requests of 50 ms two came 900 ms late: the p99 of 100 values lies between the 99th and the 100th."""
    late = [row(i, ttft=0.95, latency=1.5, first_token_lag_s=0.9) for i in range(2)]
    found = of([*late, *(row(i, ttft=0.05, latency=1.5) for i in range(2, 100))]).per_request["ttft_s"]
    assert found["p50"] == Excess(0.0, 0.0)
    assert found["p99"].seconds == pytest.approx(0.9)
    assert found["p99"].share == pytest.approx(18.0)


def test_lateness_adds_up_over_a_trace() -> None:
    """Each of a trace's three requests ended up to 0.1 s late, the final one's first token 0.02 s late."""
    one = [
        row(0, 0, 2, sent=0.0, ttft=0.5, latency=1.0, first_token_lag_s=0.01, later_lag_s=0.1),
        row(0, 1, 2, sent=1.0, ttft=0.5, latency=1.0, first_token_lag_s=0.0, later_lag_s=0.1),
        row(0, 2, 2, sent=2.0, ttft=0.5, latency=1.0, first_token_lag_s=0.02, later_lag_s=0.1),
    ]
    many = [
        RequestRecord(**{name: getattr(request, name) for name in RequestRecord.__slots__} | {"session_id": session})
        for session in range(5)
        for request in one
    ]
    found = of(many).per_trace
    assert found["ttft_s"]["p50"].seconds == pytest.approx(0.01)
    assert found["ttfat_s"]["p50"].seconds == pytest.approx(0.1 + 0.1 + 0.02)
    assert found["latency_s"]["p50"].seconds == pytest.approx(0.3)
    assert found["latency_s"]["p50"].share == pytest.approx(3.0 / 2.7 - 1.0)


def test_it_is_at_least_the_error_that_was_planted() -> None:
    """First tokens come at random; those that fall into a standstill are seen at its end, up to its length late."""
    draw = np.random.default_rng(7)
    rows, errors = [], []
    for session in range(2000):
        sent, true = draw.uniform(0, 3.9), draw.uniform(0.04, 0.06)
        first = (sent + true) % 3.9
        error = 0.9 - first if first < 0.9 else 0.0
        errors.append(error)
        rows.append(row(session, ttft=true + error, latency=true + error + 1, first_token_lag_s=0.9 if error else 0.0))
    ttft = np.array([r.first_token_s - r.sent_s for r in rows])
    found = of(rows).per_request["ttft_s"]["p99"]
    planted = np.percentile(ttft, 99) - np.percentile(ttft - np.array(errors), 99)
    assert found.seconds >= planted * (1 - 1e-9)
    assert found.seconds <= planted * 1.05


def test_few_values_have_no_percentile_and_no_stream_no_first_token() -> None:
    assert of([row(i) for i in range(4)]).per_request["ttft_s"] == {}
    assert set(of([row(i) for i in range(5)]).per_request["ttft_s"]) == {"p50"}
    unstreamed = of([row(i) for i in range(20)], stream=False)
    assert set(unstreamed.per_request) == {"latency_s"}
    assert unstreamed.per_trace["ttft_s"] == {}
    assert set(unstreamed.per_trace["latency_s"]) == {"p50", "p90"}
    assert of([]).per_trace["latency_s"] == {}
