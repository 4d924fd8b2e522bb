"""What is due in virtual time, by instant; those of one instant in the order in which they were put down."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from math import inf
from typing import Any

Action = Callable[[Any], None]


class Agenda:
    """The clock of a run in virtual time, and what happens next."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Action, Any]] = []
        self._order = 0

    @property
    def next_at(self) -> float:
        """The next instant at which something is due; infinity where nothing is."""
        return self._due[0][0] if self._due else inf

    def at(self, instant: float, action: Action, argument: Any) -> None:
        """Call `action` with `argument` at an instant."""
        self._order += 1
        heappush(self._due, (instant, self._order, action, argument))

    def do_next(self) -> None:
        """Do what is due next."""
        _, _, action, argument = heappop(self._due)
        action(argument)

    def advance(self, action: Action, latest: float, moved: Callable[[Any, float], None]) -> None:
        """Move all that wait for one action to earlier instants, all by the same time, so that one is due by `latest`.

        `moved` is told each argument and by how much.
        """
        early_s = min((at for at, _, due, _ in self._due if due == action), default=-inf) - latest
        if early_s <= 0:
            return
        for number, (at, order, due, argument) in enumerate(self._due):
            if due == action:
                self._due[number] = (at - early_s, order, due, argument)
                moved(argument, early_s)
        heapify(self._due)
