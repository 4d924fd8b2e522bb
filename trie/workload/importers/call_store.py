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
# The fields of a call that a source may leave out, with their types and what stands for nothing.
OPTIONAL: tuple[tuple[str, str, float], ...] = (
    ("reasoning", "i", 0),
    ("start_s", "d", nan),
    ("end_s", "d", nan),
    ("wait_s", "d", nan),
    ("survives", "i", NO_COUNT),
    ("compacted", "b", 0),
)
NOTHING = {"reasoning": 0, "start_s": None, "end_s": None, "wait_s": None, "survives": None, "compacted": False}


class CallStore:
    """Some 20 bytes a request, 8 more for each time that its source states, and a hash a session: no name is kept."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}  # hash of a session's key -> its number
        self._session, self._prompt, self._completion = array("I"), array("i"), array("i")
        self._order: array[float] | None = None
        self._optional: dict[str, array[Any]] = {}

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
        values = (call.reasoning, call.start_s, call.end_s, call.wait_s, call.survives, call.compacted)
        for (name, kind, nothing), value in zip(OPTIONAL, values, strict=True):
            column = self._optional.get(name)
            if column is None:
                if value is None or value == nothing:
                    continue
                column = self._optional[name] = array(kind, [nothing]) * place
            column.append(nothing if value is None else value)

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
        values = dict(NOTHING)
        for name, column in self._optional.items():
            value = column[place]
            if name.endswith("_s"):
                values[name] = None if isnan(value) else value
            elif name == "survives":
                values[name] = None if value == NO_COUNT else value
            else:
                values[name] = value
        return Call(self._prompt[place], self._completion[place], **values)  # type: ignore[arg-type]
