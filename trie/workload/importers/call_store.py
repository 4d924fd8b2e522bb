"""Requests of many sessions in any order, packed so that millions fit the memory, and given back by session."""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterator
from math import isnan, nan

import numpy as np

from trie.workload.importers.session import Call

NONE = -1  # of counts


class CallStore:
    """Some 60 bytes a request, and a hash a session: no name is kept."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}  # hash of a session's key -> its number
        self._session = array("I")
        self._order = array("d")
        self._counts = tuple(array("i") for _ in range(4))  # prompt, completion, reasoning, survives
        self._times = tuple(array("d") for _ in range(3))  # start, end, wait
        self._compacted: set[int] = set()

    def __len__(self) -> int:
        return len(self._session)

    def add(self, key: Hashable, order: float | None, call: Call) -> None:
        """A request of the session `key`; those of a session are put in the order of `order`, then of their coming."""
        numbers = self._numbers
        self._session.append(numbers.setdefault(hash(key), len(numbers)))
        prompt, completion, reasoning, start_s, end_s, wait_s, survives, compacted = call
        if compacted:
            self._compacted.add(len(self._order))
        self._order.append(0.0 if order is None else order)
        prompts, completions, reasonings, survivals = self._counts
        prompts.append(_fitting(prompt))
        completions.append(_fitting(completion))
        reasonings.append(_fitting(reasoning))
        survivals.append(NONE if survives is None else _fitting(survives))
        starts, ends, waits = self._times
        starts.append(nan if start_s is None else start_s)
        ends.append(nan if end_s is None else end_s)
        waits.append(nan if wait_s is None else wait_s)

    def sessions(self) -> Iterator[list[Call]]:
        """The requests of each session, sessions in the order in which they came first."""
        session = np.frombuffer(self._session, np.uint32) if self._session else np.zeros(0, np.uint32)
        places = np.lexsort((np.frombuffer(self._order), session)) if self._session else session
        bounds = np.flatnonzero(np.diff(session[places])) + 1
        for start, end in zip([0, *bounds.tolist()], [*bounds.tolist(), len(places)], strict=True):
            if end > start:
                yield [self._call(place) for place in places[start:end].tolist()]

    def _call(self, place: int) -> Call:
        prompt, completion, reasoning, survives = (counts[place] for counts in self._counts)
        start_s, end_s, wait_s = (None if isnan(times[place]) else times[place] for times in self._times)
        return Call(
            prompt,
            completion,
            reasoning,
            start_s,
            end_s,
            wait_s,
            None if survives == NONE else survives,
            place in self._compacted,
        )


def _fitting(count: int) -> int:
    """A count that can be packed: one that is too large is refused later, by the rule for lengths."""
    return min(max(count, NONE), 2**31 - 1)
