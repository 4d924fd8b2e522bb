"""How the slots of a run begin: together, or in steps, of which each waits for the first tokens of the one before."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise

from trie.config import Start
from trie.endpoint.request import Request

SPREAD_STEPS = 8
STATIONARY_STEPS = 16  # the prefills of a stationary start are long: few at a time
LOOK_S = 0.005  # between two looks for first tokens


def steps(start: Start, slots: int) -> list[range]:
    """Slots that begin at the same time, step by step; the next one when the requests of the last have a token."""
    most = {Start.together: 1, Start.spread: SPREAD_STEPS, Start.stationary: STATIONARY_STEPS}[start]
    count = min(most, slots)
    bounds = [slots * step // count for step in range(count + 1)]
    return [range(first, after) for first, after in pairwise(bounds)]


class SlotStart:
    """The first request of each slot, while slots begin."""

    def __init__(self) -> None:
        self._requests: dict[int, Request] = {}

    def note(self, slot: int, request: Request) -> None:
        """A slot makes a request."""
        self._requests.setdefault(slot, request)

    async def wait(self, slots: Sequence[int], tasks: Sequence[asyncio.Task[None]]) -> None:
        """Until each of these slots got the first bytes of an answer, was refused, or its task is done."""
        waiting = list(slots)
        while waiting:
            await asyncio.sleep(LOOK_S)
            waiting = [slot for slot in waiting if not (tasks[slot].done() or self._is_answered(slot))]

    def _is_answered(self, slot: int) -> bool:
        request = self._requests.get(slot)
        return request is not None and bool(
            request.exchange.read_at or request.exchange.end is not None or request.failure is not None
        )
