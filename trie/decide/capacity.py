"""The search for the highest load that a server can serve within its SLO. Pure: it asks for cells and is told answers.

The load grows by a factor until a cell fails, and then the gap between what passed and what failed is divided. A server
that passes at a load is taken to pass at every smaller one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from trie.metrics.slo.evaluate import Met

GROWTH = 4  # of the load from cell to cell, until one fails
TOLERANCE = 0.02  # of the answer: two cells closer than that are not told apart; never less than one agent
LONGER = "cells must be longer (duration=...)"


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a search found: the highest load that surely passes, and the lowest that surely fails."""

    passes: int | None  # None: not even the lowest load
    fails: int | None  # None: not even the highest load
    unsure: tuple[int, ...] = ()  # loads between them whose cells were not sure

    @property
    def text(self) -> str:
        """The answer for people."""
        if self.passes is None and self.fails is None:
            return f"unknown: no cell was sure; {LONGER}"
        unsure = f"not sure from {self.unsure[0]} on: {LONGER}" if self.unsure else ""
        if self.fails is None:
            ending = f"; {unsure}" if unsure else ": the highest load of the search passes"
            return f"at least {self.passes} agents{ending}"
        if self.passes is None:
            ending = f"; {unsure}" if unsure else ": the lowest load of the search does not pass"
            return f"fewer than {self.fails} agents{ending}"
        most = self.fails - 1
        return f"{self.passes} agents" if most == self.passes else f"{self.passes} to {most} agents"


@dataclass(slots=True)
class Search:
    """Loads from `low` to `high`; `next_load` says which one to measure, `record` takes what came of it."""

    low: int
    high: int
    answers: dict[int, Met] = field(default_factory=dict)
    beyond: set[int] = field(default_factory=set)
    cells: int = 0  # that this search asked for: others may bring answers of theirs

    @property
    def most_cells(self) -> int:
        """After so many a search ends whose cells are not all sure: more of them near the limit tell little."""
        return (self.high - self.low).bit_length() + 2

    def record(self, load: int, answer: Met, *, beyond: bool = False) -> None:
        """Take the answer of a cell; `beyond`: it is not sure, but its value is beyond the limit, or there is none.

        An overloaded server completes so little that nothing is sure, and no load above such a one would be.
        """
        self.cells += load == self.next_load()
        self.answers[load] = answer
        if beyond:
            self.beyond.add(load)

    @property
    def capacity(self) -> Capacity:
        """What is known so far. A cell that fails below one that passes makes the failing one the bound."""
        failed = [load for load, answer in self.answers.items() if answer == "no"]
        fails = min(failed, default=None)
        below = {load: answer for load, answer in self.answers.items() if fails is None or load < fails}
        passes = max((load for load, answer in below.items() if answer == "yes"), default=None)
        unsure = sorted(load for load, answer in below.items() if answer == "unsure" and load > (passes or 0))
        return Capacity(passes, fails, tuple(unsure))

    def next_load(self) -> int | None:
        """The load of the next cell; None when the answer is known as closely as it can be."""
        known = self.capacity
        if "unsure" in self.answers.values() and self.cells >= self.most_cells:
            return None
        if known.fails is None and not known.unsure:
            return self._grown(known.passes)
        return self._halved(known)

    def _grown(self, passes: int | None) -> int | None:
        if passes is None:
            return self.low
        return None if passes >= self.high else min(passes * GROWTH, self.high)

    def _halved(self, known: Capacity) -> int | None:
        """The middle of the wider gap: between what passes and what is unsure, or between that and what fails."""
        bottom = known.passes if known.passes is not None else self.low - 1
        top = known.fails if known.fails is not None else self.high + 1
        top = min((load for load in known.unsure if load in self.beyond), default=top)
        marks = [bottom, *(load for load in known.unsure if load < top), top]
        gaps = [(marks[1] - marks[0], marks[0]), (marks[-1] - marks[-2], marks[-2])]
        width, start = max(gaps, key=lambda gap: gap[0])
        tolerance = max(1, int(TOLERANCE * start))
        return _between(start, start + width) if width > tolerance else None


def _between(low: int, high: int) -> int:
    """The middle of two loads: by their ratio where they are far apart, since a tolerance is a share of the load."""
    middle = round((low * high) ** 0.5) if high > 2 * low > 0 else (low + high) // 2
    return min(max(middle, low + 1), high - 1)
