"""Requests of many sessions in any order, packed so that millions fit the memory, and given back by session."""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterator, Sequence
from itertools import repeat
from math import nan
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trie.workload.importers.session import Call

MOST = 2**31 - 1  # a length that is too large is refused later, by the rule for lengths
AT_ONCE = 8192  # requests that are packed and unpacked together: in one go it takes a third of the time
NO_COUNT = -1


class Optional(NamedTuple):
    """A field of a call behind its lengths: the type of its column, what stands for nothing in it, and nothing."""

    kind: str
    packed: float
    nothing: int | bool | None


# In the order of the fields.
OPTIONAL = (
    Optional("i", 0, 0),
    Optional("d", nan, None),
    Optional("d", nan, None),
    Optional("d", nan, None),
    Optional("i", NO_COUNT, None),
    Optional("b", 0, False),
)


class CallStore:
    """Some 20 bytes a request, 8 more for each time that its source states, and a hash a session: no name is kept."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}  # hash of a session's key -> its number
        self._new: list[tuple[int, float | None, Call]] = []  # those that are not packed yet
        self._session, self._prompt, self._completion = array("I"), array("i"), array("i")
        self._order: array[float] | None = None
        self._optional: list[array[Any] | None] = [None] * len(OPTIONAL)  # made when a source first states one

    def __len__(self) -> int:
        return len(self._session) + len(self._new)

    def add(self, key: Hashable, order: float | None, call: Call) -> None:
        """A request of the session `key`; those of a session are put in the order of `order`, then of their coming."""
        numbers = self._numbers
        self.add_numbered(numbers.setdefault(hash(key), len(numbers)), order, call)

    def add_numbered(self, session: int, order: float | None, call: Call) -> None:
        """The same for sessions that are numbered already."""
        self._new.append((session, order, call))
        if len(self._new) == AT_ONCE:
            self._pack()

    def _pack(self) -> None:
        if not self._new:
            return
        sessions, orders, calls = zip(*self._new, strict=True)
        self._new = []
        prompts, completions, *optional = zip(*calls, strict=True)
        place = len(self._session)
        self._session.extend(sessions)
        self._prompt.extend(_bounded(prompts))
        self._completion.extend(_bounded(completions))
        if self._order is None and orders.count(None) < len(orders):
            self._order = array("d", repeat(0.0, place))
        if self._order is not None:
            self._order.extend(order or 0.0 for order in orders)
        for at, (column, field, values) in enumerate(zip(self._optional, OPTIONAL, optional, strict=True)):
            if column is None and values.count(field.nothing) == len(values):
                continue
            whole = self._optional[at] = array(field.kind, repeat(field.packed, place)) if column is None else column
            whole.extend(field.packed if value is None else value for value in values)

    def sessions(self) -> Iterator[list[Call]]:
        """The requests of each session, sessions in the order of their numbers."""
        calls: list[Call] = []
        last = None
        for session, call in self._in_order():
            if session != last and calls:
                yield calls
                calls = []
            last = session
            calls.append(call)
        if calls:
            yield calls

    def _in_order(self) -> Iterator[tuple[int, Call]]:
        """All requests by session and order."""
        self._pack()
        session = np.frombuffer(self._session, np.uint32)
        places = self._places(session)
        lengths = [np.frombuffer(column, np.int32) for column in (self._prompt, self._completion)]
        optional = [None if column is None else np.frombuffer(column, column.typecode) for column in self._optional]
        for start in range(0, len(session), AT_ONCE):
            at = slice(start, start + AT_ONCE) if places is None else places[start : start + AT_ONCE]
            fields = [column[at].tolist() for column in lengths]
            fields += [
                repeat(field.nothing) if column is None else _unpacked(column[at], field)
                for column, field in zip(optional, OPTIONAL, strict=True)
            ]
            yield from zip(session[at].tolist(), map(Call, *fields), strict=False)

    def _places(self, session: NDArray[np.uint32]) -> NDArray[np.uint32] | None:
        """Where the requests stand, by session and order; None where they stand in that order."""
        if self._order is not None:
            return np.lexsort((np.frombuffer(self._order), session)).astype(np.uint32)
        if np.all(session[1:] >= session[:-1]):
            return None
        return np.argsort(session, kind="stable").astype(np.uint32)


def _bounded(lengths: Sequence[int]) -> Sequence[int]:
    """Lengths that a column holds."""
    if min(lengths) >= NO_COUNT and max(lengths) <= MOST:
        return lengths
    return [min(max(length, NO_COUNT), MOST) for length in lengths]


def _unpacked(values: NDArray[Any], field: Optional) -> list[Any]:
    """The values of a column, None where there was none."""
    if field.kind == "d":
        return [None if value != value else value for value in values.tolist()]  # noqa: PLR0124 - NaN alone is not itself
    if field.nothing is None:
        return [None if value == field.packed else value for value in values.tolist()]
    return [bool(value) for value in values.tolist()] if field.kind == "b" else values.tolist()
