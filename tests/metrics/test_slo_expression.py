"""Service level objectives as they are typed."""

from __future__ import annotations

import pytest

from trie.errors import ConfigError
from trie.metrics.slo.expression import parse, parse_all

WHOLE = "ttft_s<2@p95, ttfat_s<60@p90, tpot_s<0.05@p99, latency_s<=120@p95, request_ttft_s < 1 @ mean, failed<1%"


def test_each_part_names_a_number_of_summary_json_and_a_limit_in_its_unit():
    assert [(one.path, one.level, one.upper, one.limit) for one in parse(WHOLE)] == [
        ("per_trace.ttft_s.p95", "trace", True, 2.0),
        ("per_trace.ttfat_s.p90", "trace", True, 60.0),
        ("per_request.tpot_s.p99", "request", True, 0.05),
        ("per_trace.latency_s.p95", "trace", True, 120.0),
        ("per_request.ttft_s.mean", "request", True, 1.0),
        ("requests_failed_share", "run", True, 0.01),
    ]


def test_rates_and_hit_rates_have_lower_limits():
    rate, hits = parse("completion_tok_s>500, hit_rate_pct>80%")
    assert (rate.path, rate.upper, rate.limit) == ("workload.completion_tok_s.steady_state", False, 500.0)
    assert (hits.path, hits.upper, hits.limit) == ("cache.hit_rate_pct", False, 80.0)


def test_tiers_have_objectives_of_their_own():
    both = parse_all({"fast": "ttft_s<1@p95", "batch": "latency_s<600@p90"})
    assert [(one.tier, one.name) for one in both] == [("fast", "ttft_s"), ("batch", "latency_s")]
    assert parse_all(None) == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ttf_s<2@p95", "ttf_s: no such metric; did you mean ttft_s?"),
        ("ttft_s<2", "of which statistic? add one of @p50, @p90"),
        ("ttft_s<2@p80", "@p80: must be one of p50, p90, p95, p99, mean, max"),
        ("ttft_s=2@p95", "must be METRIC<LIMIT@STATISTIC"),
        ("ttft_s<2%@p95", "ttft_s is in s, not in %"),
        ("failed<1%@p95", "is one number; leave out @p95"),
        ("failed<0", "the limit must be above 0"),
        ("hit_rate_pct>100", "no server is above 100 %"),
        ("ttft_s<2@p95, ttft_s<3@p95", "limit the same number"),
        ("ttft_s<2@p95, ttft_s>2@p50", "contradict each other"),
        ("latency_s<2@max, latency_s>3@mean", "contradict each other"),
        (" , ", "is empty"),
        ("cached_prompt_tok_s>5", "no such metric"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_part(text: str, problem: str):
    with pytest.raises(ConfigError) as raised:
        parse(text)
    assert problem in str(raised.value)
    assert "\n" not in str(raised.value)


def test_limits_that_some_values_keep_do_not_contradict():
    assert len(parse("ttft_s<2@p50, ttft_s>1@p99, latency_s<5@p50, latency_s>6@mean")) == 4
