"""Conditions under which a comparison fails."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trie.compare.differences import Difference
from trie.compare.gates import judge, parse
from trie.errors import ConfigError
from trie.metrics.metric_names import described

PAIR = [
    Difference(described("per_trace.ttft_s.p99"), 2.0, 2.25, 0.1, 0.4, 0.05, 0.2),  # +0.25, +12.5 %
    Difference(described("per_request.ttft_s.p99"), 1.0, 1.0, -0.1, 0.1, -0.1, 0.1),
    Difference(described("per_request.tpot_s.mean"), 0.010, 0.009),
    Difference(described("workload.completion_tok_s.steady_state"), 100.0, 80.0, -30.0, -10.0, -0.3, -0.1),
    Difference(described("requests.failed"), 0, 3),
    Difference(described("retries"), 0, 0),
    Difference(described("per_trace.decode_tps.mean"), 50.0, None),
]
REPEATED = [replace(difference, repeated=True) for difference in PAIR]


@pytest.mark.parametrize(
    ("condition", "failed", "certain"),
    [
        ("ttft_s.p99 > +10%", True, False),  # per_trace is meant; the interval of +5 to +20 % holds 10 %
        ("ttft_s.p99 > +12.5%", False, False),
        ("ttft_s.p99 >= +12.5%", True, False),
        ("ttft_s.p99>+4%", True, True),
        ("per_request.ttft_s.p99 > +5%", False, False),
        ("ttft_s.p99 > 2.2", True, None),
        ("ttft_s.p99 > +0.2", True, False),
        ("ttft_s.p99 > +.09", True, True),
        ("tpot_s.mean > 1e-2", False, None),
        ("tpot_s.mean < -5%", True, None),
        ("completion_tok_s.steady_state < -5%", True, True),
        ("workload.completion_tok_s.steady_state < -40%", False, True),
        ("requests.failed > 0", True, None),
        ("requests.failed > +5%", True, None),  # no share of 0: not known, which must not pass
        ("retries > +5%", False, None),  # from 0 to 0 is no change
        ("decode_tps.mean < 10", True, None),  # not measured
    ],
)
def test_a_gate_fails_where_it_is_true_or_can_not_be_judged(condition: str, failed: bool, certain: bool | None) -> None:
    judged = judge(parse(condition), REPEATED)
    assert (judged.failed, judged.certain) == (failed, certain)
    assert judged.text
    alone = judge(parse(condition), PAIR)
    assert (alone.failed, alone.certain, alone.beyond_noise) == (failed, None, certain)


def test_a_gates_words_say_what_its_interval_is_of() -> None:
    """+12.5 %, with an interval from +5 to +20 %."""
    ends = {
        "ttft_s.p99 > +4%": "beyond the limit by more than noise",
        "ttft_s.p99 > +30%": "inside the limit by more than noise",
        "ttft_s.p99 > +10%": "within noise of the limit",
    }
    for condition, end in ends.items():
        assert judge(parse(condition), REPEATED).text == f"+12.5%, {end}"
        assert judge(parse(condition), PAIR).text == f"+12.5%, {end} in this pair"
    assert judge(parse("ttft_s.p99 > +4%"), PAIR, same_run=True).text == "+12.5%, the same run"


@pytest.mark.parametrize("condition", ["", "ttft_s.p99", "ttft_s.p99 > x", "ttft_s.p99 = 1", "> 3", "ttft_s.p99 > 1 s"])
def test_what_is_no_condition_is_refused_with_what_is(condition: str) -> None:
    with pytest.raises(ConfigError, match="must be a metric, one of > >= < <=, and a value"):
        parse(condition)


def test_a_percentage_without_a_sign_is_ambiguous() -> None:
    with pytest.raises(ConfigError, match=r"10% is no value; \+10% is a change from the baseline"):
        parse("ttft_s.p99 > 10%")


@pytest.mark.parametrize(
    ("metric", "hint"),
    [
        ("ttft_s.p98", "did you mean ttft_s.p99"),
        ("request.failed", "did you mean requests.failed"),
        ("per_trace.ttft.p99", "did you mean per_trace.ttft_s.p99"),
        ("qqq", "metrics are the keys of summary.json"),
    ],
)
def test_an_unknown_metric_has_its_near_miss(metric: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=f"{metric}: no such metric; {hint}"):
        judge(parse(f"{metric} > 1"), PAIR)
