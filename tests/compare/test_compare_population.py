"""Estimates for the whole workload as numbers of a comparison."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.known_servers import written

from trie.compare.comparison import pair
from trie.compare.differences import Settings
from trie.compare.gates import parse
from trie.compare.runs import Run, read
from trie.metrics.certainty.estimate import Estimate
from trie.metrics.certainty.section import Certainty, PopulationEstimates

RATE = "certainty.population.completion_tok_s"


def estimated(run: Run, value: float, error: float, freedom: float) -> Run:
    """The run with an estimate of its throughput over the whole workload."""
    rate = Estimate(value, standard_error=error, degrees_of_freedom=freedom)
    certainty = Certainty(population=PopulationEstimates(completion_tok_s=rate))
    return replace(run, summary=replace(run.summary, certainty=certainty), numbers={RATE: value, **run.numbers})


def test_the_difference_of_two_estimates_has_welchs_interval(tmp_path: Path) -> None:
    """200 and 230 tok/s with errors of 3 and 4, taken 1.15 times: +30 +- t * 5.75.

    Degrees of freedom 25^2 / (9^2 / 9 + 16^2 / 16) = 25, so t = 2.0595.
    """
    run = read("A", written(tmp_path / "a", wall_s=30.0))
    sides = estimated(run, 200.0, 3.0, 9.0), estimated(replace(run, label="B"), 230.0, 4.0, 16.0)
    compared = pair(*sides, Settings(), [parse("population.completion_tok_s > +2%")])
    first = compared.differences[0]
    assert (first.of.key, first.of.titled) == (RATE, "completion (tok/s)")
    assert (first.low, first.high) == (pytest.approx(30 - 11.842, abs=0.01), pytest.approx(30 + 11.842, abs=0.01))
    assert (first.verdict, first.speaks_for) == ("higher", "better")
    assert compared.gates[0].key == RATE
    assert compared.gates[0].failed
