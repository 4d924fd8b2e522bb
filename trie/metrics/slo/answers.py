"""What the objectives of a run come to: one answer for each tier, and whether its verdict lets one believe it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from trie.metrics.checks.check import Check
from trie.metrics.slo.evaluate import Judged, Met

# Checks that speak of the server at this load, or of a short run: no reason to doubt an answer.
ABOUT_THE_LOAD = frozenset(
    {"something_completed", "enough_completed", "little_censoring", "few_failures", "few_failed_traces"}
)
WORDS: dict[Met, str] = {"yes": "met", "no": "missed", "unsure": "not sure"}


def answers(judged: Sequence[Judged]) -> dict[str, Met]:
    """The answer of each tier."""
    return {tier: answer(one.met for one in judged if one.tier == tier) for tier in {one.tier: None for one in judged}}


def answer(met: Iterable[Met]) -> Met:
    """`no` where one objective is surely missed, `yes` where all are surely met."""
    values = set(met)
    if "no" in values:
        return "no"
    return "yes" if values == {"yes"} else "unsure"


def doubts(verdict: Iterable[Check]) -> Iterator[str]:
    """Why the numbers of a run can't be believed."""
    for check in verdict:
        if check.level == "error" and not check.ok and check.id not in ABOUT_THE_LOAD:
            yield check.line


def believed(answer: Met, *, doubtful: bool) -> Met:
    """An answer of a run that may be in doubt: then nothing is surely met."""
    return "unsure" if doubtful and answer == "yes" else answer
