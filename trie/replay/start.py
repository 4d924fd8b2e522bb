"""How the slots of a run begin: together, or in steps, of which each waits for the first tokens of the one before."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from itertools import pairwise
from time import perf_counter
from typing import Protocol

from trie.config import Start
from trie.endpoint.request import Request

SPREAD_STEPS = 8
INSIDE_STEPS = 16  # the prefills of a start inside traces are long: few at a time
LOOK_S = 0.005  # between two looks for first tokens


class Instants(Protocol):
    """When a replay begins, and when its warm-up is over: `perf_counter`, in the future or just now."""

    async def begin(self) -> float:
        """The first prompts are made."""

    async def measure(self) -> float:
        """The slots of this process have warmed up."""


class AtOnce:
    """The instants of a run that one process replays: as soon as it can."""

    async def begin(self) -> float:
        """Now."""
        return perf_counter()

    async def measure(self) -> float:
        """Now."""
        return perf_counter()


def steps(start: Start, slots: int) -> list[range]:
    """Slots that begin at the same time, step by step; the next one when the requests of the last have a token."""
    most = {Start.together: 1, Start.spread: SPREAD_STEPS}.get(start, INSIDE_STEPS)
    count = min(most, slots)
    bounds = [slots * step // count for step in range(count + 1)]
    return [range(first, after) for first, after in pairwise(bounds)]


class SlotStart:
    """The requests of each slot, while slots begin.

    Args:
        more: requests of each slot that belong to the warm-up beyond its first.
    """

    def __init__(self, more: int = 0) -> None:
        self._more = more
        self._requests: dict[int, list[Request]] = {}

    def note(self, slot: int, request: Request) -> None:
        """A slot makes a request."""
        self._requests.setdefault(slot, []).append(request)

    async def wait(
        self, slots: Iterable[int], tasks: Mapping[int, asyncio.Task[None]], *, all_of: bool = False
    ) -> None:
        """Until each of these slots got the first bytes of an answer, was refused, or its task is done.

        `all_of`: of the last answer of its warm-up, instead of its first.
        """
        number = self._more if all_of else 0
        waiting = list(slots)
        while waiting:
            await asyncio.sleep(LOOK_S)
            waiting = [slot for slot in waiting if not (tasks[slot].done() or self._is_answered(slot, number))]

    def _is_answered(self, slot: int, number: int) -> bool:
        requests = self._requests.get(slot, ())
        if len(requests) <= number:
            return False
        exchange, failure = requests[number].exchange, requests[number].failure
        return bool(exchange.read_at) or exchange.end is not None or failure is not None
