"""An A/B comparison as data: its two sides, its plan, its pairs of blocks, and what follows from them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from trie.config import RunConfig
from trie.decide.ab.differences import COMPARED, Compared
from trie.decide.ab.sequential import Decision, Interval, Rule, looks


@dataclass(frozen=True, slots=True)
class Arm:
    """One of the two sides."""

    name: str  # a or b
    config: RunConfig
    before: str | None = None  # a command of the user's before each block, for the shell; never written down
    api_key: str | None = field(default=None, repr=False)  # of this arm's server alone


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often."""

    rule: Rule
    block_s: float
    metric: str = COMPARED[0].key  # on which it is decided
    seed: int = 0
    same_traces: bool = True  # in both blocks of a pair; False: each block draws its own


@dataclass(slots=True)
class Pair:
    """Two blocks of the same traces."""

    number: int  # from 1
    first: str  # the arm that came first
    differences: dict[str, float | None]
    doubts: list[str] = field(default_factory=list)  # why a block can't be believed
    unsteady: list[str] = field(default_factory=list)  # what changed within a block


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of one number."""

    of: Compared
    interval: Interval | None
    decision: Decision  # none between two looks


@dataclass(slots=True)
class Result:
    """An A/B comparison as far as it went."""

    plan: Plan
    directory: Path
    pairs: list[Pair]
    interrupted: bool = False
    tries: int = 0  # how often the next pair was begun
    dropped: list[str] = field(default_factory=list)  # doubts for which pairs were measured again

    @property
    def doubts(self) -> list[str]:
        return [doubt for pair in self.pairs for doubt in pair.doubts]

    @property
    def findings(self) -> list[Finding]:
        return [self._finding(compared) for compared in COMPARED]

    @property
    def main(self) -> Finding:
        """That of the number on which it is decided."""
        return next(finding for finding in self.findings if finding.of.key == self.plan.metric)

    @property
    def decision(self) -> Decision:
        """None is made on blocks that can't be believed, nor between two looks."""
        return "unsure" if self.doubts else self.main.decision

    @property
    def ended(self) -> bool:
        """Whether no further pair is measured."""
        return bool(self.doubts) or self.decision != "unsure" or len(self.pairs) >= self.plan.rule.most

    @property
    def needs_more(self) -> int | None:
        """How many more pairs it takes; None: more than the plan allows."""
        return self.plan.rule.needs_more(self.differences_of(self.plan.metric))

    def drop_doubtful(self) -> None:
        """Leave out the last pair where it can't be believed, to be measured again."""
        if self.pairs and self.pairs[-1].doubts:
            self.dropped += self.pairs.pop().doubts
            self.tries = 1

    def differences_of(self, key: str) -> list[float]:
        """Of the pairs that tell it."""
        values = (pair.differences[key] for pair in self.pairs)
        return [value for value in values if value is not None]

    def _finding(self, compared: Compared) -> Finding:
        rule = self.plan.rule
        interval = rule.interval(self.differences_of(compared.key))
        if len(self.pairs) not in looks(rule.most):
            return Finding(compared, interval, "unsure")
        return Finding(compared, interval, rule.decide(interval, higher_is_better=compared.higher_is_better))
