"""Requests of many sessions in any order, packed so that millions fit the memory, and given back by session."""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterator
from math import isnan, nan
from typing import Any

import numpy as np

from trie.workload.importers.session import Call

MOST = 2**31 - 1  # a length that is too large is refused later, by the rule for lengths
AT_ONCE = 10_000  # requests that are unpacked together
NO_COUNT = -1
# The fields of a call behind its lengths, in their order: the type of a column, and what stands for nothing in it.
OPTIONAL: tuple[tuple[str, float], ...] = (("i", 0), ("d", nan), ("d", nan), ("d", nan), ("i", NO_COUNT), ("b", 0))


class CallStore:
    """Some 20 bytes a request, 8 more for each time that its source states, and a hash a session: no name is kept."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}  # hash of a session's key -> its number
        self._session, self._prompt, self._completion = array("I"), array("i"), array("i")
        self._order: array[float] | None = None
        self._optional: list[array[Any] | None] = [None] * len(OPTIONAL)  # made when a source first states one

    def __len__(self) -> int:
        return len(self._session)

    def add(self, key: Hashable, order: float | None, call: Call) -> None:
        """A request of the session `key`; those of a session are put in the order of `order`, then of their coming."""
        numbers = self._numbers
        self.add_numbered(numbers.setdefault(hash(key), len(numbers)), order, call)

    def add_numbered(self, session: int, order: float | None, call: Call) -> None:
        """The same for sessions that are numbered already."""
        place = len(self._session)
        self._session.append(session)
        self._prompt.append(min(max(call.prompt, NO_COUNT), MOST))
        self._completion.append(min(max(call.completion, NO_COUNT), MOST))
        if order is not None and self._order is None:
            self._order = array("d", [0.0]) * place
        if self._order is not None:
            self._order.append(order or 0.0)
        for at, (column, value) in enumerate(zip(self._optional, call[2:], strict=True)):
            if column is not None:
                column.append(OPTIONAL[at][1] if value is None else value)
            elif value is not None and value != OPTIONAL[at][1]:
                kind, nothing = OPTIONAL[at]
                first = self._optional[at] = array(kind, [nothing]) * place
                first.append(value)

    def sessions(self) -> Iterator[list[Call]]:
        """The requests of each session, sessions in the order of their numbers."""
        calls: list[Call] = []
        last = None
        for place in self._places():
            session = self._session[place]
            if session != last and calls:
                yield calls
                calls = []
            last = session
            calls.append(self._call(place))
        if calls:
            yield calls

    def _places(self) -> Iterator[int]:
        """Where the requests stand, by session and order."""
        if not self._session:
            return
        session = np.frombuffer(self._session, np.uint32)
        if self._order is not None:
            places = np.lexsort((np.frombuffer(self._order), session))
        elif np.all(session[1:] >= session[:-1]):
            yield from range(len(session))
            return
        else:
            places = np.argsort(session, kind="stable")
        places = places.astype(np.uint32)
        for start in range(0, len(places), AT_ONCE):
            yield from places[start : start + AT_ONCE].tolist()

    def _call(self, place: int) -> Call:
        reasoning, start_s, end_s, wait_s, survives, compacted = (
            None if column is None else column[place] for column in self._optional
        )
        return Call(
            self._prompt[place],
            self._completion[place],
            reasoning or 0,
            None if start_s is None or isnan(start_s) else start_s,
            None if end_s is None or isnan(end_s) else end_s,
            None if wait_s is None or isnan(wait_s) else wait_s,
            None if survives == NO_COUNT else survives,
            bool(compacted),
        )
