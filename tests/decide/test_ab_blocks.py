"""What the verdicts of two blocks mean for their pair."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from trie.decide.ab.experiment import _failed
from trie.metrics.checks.check import Check


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
