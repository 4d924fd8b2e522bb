"""Distributions in few points, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.rows import row

from trie.metrics.columns import Columns, Stats
from trie.metrics.distributions import cache_by_turn, ecdf, sample, ttft_by_new_tokens
from trie.storage.parquet_parts import to_table
from trie.storage.record import Outcome, RequestRecord


def columns(*rows: RequestRecord) -> Columns:
    return Columns(to_table(rows))


def test_a_few_values_are_all_there():
    values, shares = ecdf(np.array([3.0, 1.0, np.nan, 2.0]))
    assert values.tolist() == [1.0, 2.0, 3.0]
    assert shares.tolist() == pytest.approx([1 / 3, 2 / 3, 1.0])


def test_no_values_have_no_distribution():
    values, shares = ecdf(np.array([np.nan]))
    assert (len(values), len(shares)) == (0, 0)


def test_many_values_are_thinned_to_the_quantiles_of_the_tables():
    many = np.random.default_rng(0).gamma(2.0, 1.0, 10_000)
    values, shares = ecdf(many)
    stats = Stats.of(many)
    assert stats is not None
    assert len(values) == 200
    assert (values[0], values[-1]) == (stats.min, stats.max)
    assert values[shares == 0.99].tolist() == [stats.p99]
    assert (np.diff(values) >= 0).all()


def test_cache_hits_by_turn_weigh_tokens():
    rows = columns(
        row(0, 0, turns=1),  # 100 prompt tokens, none cached, 11 out: 111 are eligible for the next
        row(0, 1, turns=1, sent=2.0, usage_prompt_tokens=150, usage_cached_tokens=96),
        row(1, 0, turns=1, usage_prompt_tokens=300, usage_cached_tokens=100),
        row(1, 1, turns=1, sent=2.0, usage_prompt_tokens=350, usage_cached_tokens=304),
    )
    found = cache_by_turn(rows)
    assert found.turn.tolist() == [0, 1]
    assert found.requests.tolist() == [2, 2]
    assert found.hit_pct.tolist() == pytest.approx([100 * 100 / 400, 100 * 400 / 500])
    assert np.isnan(found.eligible_pct[0])
    assert found.eligible_pct[1] == pytest.approx(100 * 400 / (111 + 311))


def test_turns_that_nobody_reached_or_reported_are_left_out():
    rows = columns(row(0, 0, turns=2), row(0, 2, turns=2, sent=4.0), row(1, 0, outcome=Outcome.failed))
    assert cache_by_turn(rows).turn.tolist() == [0, 2]
    assert len(cache_by_turn(columns(row(usage_cached_tokens=None))).turn) == 0


def test_ttft_by_new_tokens_has_the_percentiles_of_first_and_later_requests_apart():
    first = [row(i, 0, 1, new_prompt_tokens=1600, first_token_s=2.0) for i in range(30)]
    near = [row(i, 1, 1, new_prompt_tokens=100, first_token_s=0.1 * (i + 1)) for i in range(30)]  # 0.1 to 3 s
    far = [row(30 + i, 1, 1, new_prompt_tokens=400, first_token_s=1.0) for i in range(5)]
    found = ttft_by_new_tokens(columns(*first, *near, *far), most=10)
    assert (found.requests, len(found.sample)) == (65, 10)
    assert (found.first.count.tolist(), found.first.p50_s.tolist()) == ([30], [2.0])
    assert found.later.count.tolist() == [30, 5]
    assert (found.later.low[0], found.later.high[-1]) == (100, pytest.approx(400))
    assert found.later.p50_s.tolist() == pytest.approx([1.55, 1.0])
    assert found.later.p90_s[0] == pytest.approx(0.1 + 0.9 * 2.9)
    assert np.isnan(found.later.p90_s[1])  # of five there is none


def test_new_tokens_of_one_length_are_one_bin_and_of_none_are_none():
    assert ttft_by_new_tokens(columns(row(), row(1)), most=10).first.count.tolist() == [2]
    empty = ttft_by_new_tokens(columns(row(first_token_s=None)), most=10)
    assert (empty.requests, len(empty.first.count), len(empty.later.count)) == (0, 0, 0)


def test_a_sample_is_in_order_without_repeats_and_the_same_again():
    rows = np.arange(1000)
    found = sample(rows, 50)
    assert (np.diff(found) > 0).all()
    assert len(found) == 50
    assert found.tolist() == sample(rows, 50).tolist()
    assert sample(rows, 1000) is rows
