"""Intervals in words."""

from __future__ import annotations

import pytest

from trie.metrics.certainty.estimate import Estimate
from trie.metrics.certainty.section import Certainty, PopulationEstimates
from trie.report.certainty_lines import certainty_lines, plus_minus


@pytest.mark.parametrize(
    ("estimate", "factor", "text"),
    [
        (Estimate(719.8, 705.8, 733.8), 1.0, " ±14"),
        (Estimate(77_415.0, 61_741.0, 93_089.0), 1.0, " ±15,674"),
        (Estimate(0.0221, 0.0219, 0.0223), 1e3, " ±0.20"),
        (Estimate(199.15, 155.2, 322.2), 1.0, " [155, 322]"),
        (Estimate(719.8), 1.0, ""),
        (None, 1.0, ""),
    ],
)
def test_an_interval_has_two_digits(estimate: Estimate | None, factor: float, text: str) -> None:
    assert plus_minus(estimate, factor) == text


def test_estimates_stand_beside_the_reason_why_others_do_not() -> None:
    certainty = Certainty(
        population=PopulationEstimates(
            completion_tok_s=Estimate(720.0, 700.0, 740.0),
            latency_s={"mean": Estimate(100.0, 96.0, 104.0), "p50": None},
        ),
        why={"steady_state": "too short", "per_trace": "too short"},
    )
    assert list(certainty_lines(certainty, 8192)) == [
        ("workload", "all 8,192 traces, estimated: completion 720.00 ±20 tok/s; Latency mean 100.00 ±4.0 s"),
        ("", "too short"),
    ]
    assert list(certainty_lines(None, 8192)) == []
