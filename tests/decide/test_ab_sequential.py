"""The rule by which an A/B comparison ends, on pairs whose truth is known."""

from __future__ import annotations

from math import expm1, log1p, sqrt
from random import Random
from statistics import median

import pytest

from trie.decide.ab.sequential import Rule, looks

RULE = Rule(margin=0.02, most=20)


def run_to_the_end(rule: Rule, effect: float, deviation: float, random: Random) -> tuple[str, int]:
    """The decision, and after how many pairs."""
    pairs: list[float] = []
    for count in looks(rule.most):
        while len(pairs) < count:
            pairs.append(random.gauss(log1p(effect), deviation))
        decision = rule.decide(rule.interval(pairs), higher_is_better=True)
        if decision != "unsure":
            return decision, count
    return "unsure", rule.most


def test_looks_are_few_and_end_at_the_most():
    assert list(looks(20)) == [3, 5, 8, 12, 18, 20]
    assert list(looks(3)) == [3]


def test_the_interval_of_three_pairs_by_hand():
    # Mean 0.02, deviation 0.01, of 3 pairs; six looks: 99.17 % each; t(0.99583, 2) = 10.886 of a printed table's 10.9.
    interval = RULE.interval([0.01, 0.02, 0.03])
    assert interval is not None
    half = 10.886 * 0.01 / sqrt(3)
    assert interval.value == pytest.approx(expm1(0.02))
    assert interval.low == pytest.approx(expm1(0.02 - half), rel=1e-3)
    assert interval.high == pytest.approx(expm1(0.02 + half), rel=1e-3)
    assert RULE.interval([0.01]) is None


@pytest.mark.parametrize("deviation", [0.01, 0.03, 0.06])
def test_two_equal_servers_are_called_different_in_at_most_5_of_100(deviation: float):
    random = Random(1)
    decisions = [run_to_the_end(RULE, 0.0, deviation, random)[0] for _ in range(400)]
    assert decisions.count("better") + decisions.count("worse") <= 20


@pytest.mark.parametrize("deviation", [0.01, 0.02])
def test_a_true_difference_is_found_in_the_number_of_pairs_that_the_plan_predicts(deviation: float):
    random = Random(2)
    predicted = RULE.needs(0.03, deviation)
    assert predicted is not None
    ends = [run_to_the_end(RULE, 0.03, deviation, random) for _ in range(200)]
    assert sum(decision == "better" for decision, _ in ends) >= 190
    assert median(count for _, count in ends) <= predicted


def test_words_follow_from_where_the_interval_lies():
    rule = Rule(margin=0.02, most=3)

    def decision(*pairs: float, higher: bool = True) -> str:
        return rule.decide(rule.interval(pairs), higher_is_better=higher)

    assert decision(0.001, 0.0, -0.001) == "equivalent"
    assert decision(0.1, 0.101, 0.102) == "better"
    assert decision(0.1, 0.101, 0.102, higher=False) == "worse"
    assert decision(-0.1, -0.101, -0.102, higher=False) == "better"
    assert decision(0.1, -0.1, 0.0) == "unsure"


def test_what_is_needed_more_is_said_or_that_it_is_too_much():
    assert RULE.needs_more([0.01]) is None
    assert RULE.needs_more([0.03, 0.031, 0.029]) == 1
    assert RULE.needs_more([0.2, -0.2, 0.1, -0.1]) is None
