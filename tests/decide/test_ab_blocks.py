"""What the verdicts of two blocks mean for their pair."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from trie.decide.ab.differences import COMPARED
from trie.decide.ab.experiment import _failed
from trie.decide.ab.result import Pair, Plan, Result
from trie.decide.ab.sequential import Rule
from trie.decide.ab.words import lines
from trie.metrics.checks.check import Check

KEYS = [compared.key for compared in COMPARED]


def block(*checks: tuple[str, str]) -> Any:
    verdict = [Check(check, level, ok=False, title=check, found="so", advice="") for check, level in checks]
    return SimpleNamespace(summary=SimpleNamespace(verdict=verdict))


def test_a_block_that_was_not_steady_is_named_and_is_no_doubt() -> None:
    runs = {
        "a": block(("level_shift", "error"), ("little_censoring", "error")),
        "b": block(("lengths", "error"), ("slo_met", "warning")),
    }
    assert list(_failed(4, runs)) == ["block 04-a: level_shift: so"]
    assert list(_failed(4, runs, of_steadiness=False)) == ["block 04-b: lengths: so"]


def test_a_last_pair_that_cannot_be_believed_is_measured_again_and_the_result_says_so() -> None:
    result = Result(
        Plan(Rule(0.02, 20), 60.0),
        Path(),
        [Pair(1, "a", dict.fromkeys(KEYS, 0.0)), Pair(2, "b", dict.fromkeys(KEYS), ["died"])],
    )
    assert result.ended
    result.drop_doubtful()
    assert [pair.number for pair in result.pairs] == [1]
    assert not result.ended
    assert result.tries == 1  # so that the pair's prompts are new
    assert ("again", "measured again, since it could not be believed: died") in lines(result)
