"""Prompts ahead of need: made in a thread, in the order in which sessions start."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import Self

from trie.endpoint.request_body import REASONING, RECORDED
from trie.preflight.prompt_lengths import bos_tokens_of
from trie.preflight.steps import Prepared
from trie.prompts.builder import SessionPrompts
from trie.replay import session_order
from trie.replay.session_order import PlannedSession, SessionOrder
from trie.replay.share import WHOLE, Share

MakePrompts = Callable[[PlannedSession], SessionPrompts]
AT_ONCE = 16  # sessions for which the thread is woken: waking it costs as much as making the prompts of one
EXTRA = 8  # sessions that are kept ready beyond one for each slot
MOST_AHEAD = 64  # where slots are many and few of them taken


class PromptQueue:
    """The prompts of a run's sessions, in their order, which is endless or has a last one.

    On entering, the prompts of `ahead` sessions are made, and those of slots that begin inside a trace; about as many
    are kept ready from then on.
    """

    def __init__(self, order: SessionOrder, make: MakePrompts, *, ahead: int) -> None:
        self._order = order
        self._make = make
        self._ahead = ahead
        self._low = max(ahead - AT_ONCE, ahead // 2)
        self._over = False  # the last session's are made
        self._inside: dict[int, SessionPrompts | None] = {}  # by slot
        self._ready: deque[SessionPrompts] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="trie-prompts")
        self._refill: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._fill_slots)
        await loop.run_in_executor(self._thread, self._fill, self._ahead)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def first(self, slot: int) -> SessionPrompts | None:
        """What a slot begins with, once for each; None where there is none."""
        return self._inside.pop(slot) if slot in self._inside else await self.next()

    async def next(self) -> SessionPrompts | None:
        """The next session's, None after the last; ready at once unless sessions end faster than prompts are made."""
        while True:
            if self._refill is not None and self._refill.done():
                self._refill.result()
                self._refill = None
            if self._refill is None and len(self._ready) <= self._low and not self._over:
                loop = asyncio.get_running_loop()
                self._refill = loop.run_in_executor(self._thread, self._fill, min(AT_ONCE, self._ahead))
            if self._ready:
                return self._ready.popleft()
            if self._refill is None:
                return None
            await asyncio.shield(self._refill)

    def _fill_slots(self) -> None:
        for slot in self._order.slots_inside:
            planned = self._order.first(slot)
            self._inside[slot] = None if planned is None else self._make(planned)

    def _fill(self, count: int) -> None:
        """Make the next ones; in the thread, which lets the event loop have the interpreter between two of them."""
        for _ in range(count):
            planned = self._order.next()
            if planned is None:
                self._over = True
                return
            self._ready.append(self._make(planned))
            time.sleep(0)


def build(ready: Prepared, share: Share = WHOLE) -> PromptQueue:
    """The queue of a run, or of a share of it: texts as long as the server counts them, and recorded answers."""
    config, prompts = ready.config, ready.prompts
    bos_tokens = bos_tokens_of(config, prompts, ready.length_check)

    def make(planned: PlannedSession) -> SessionPrompts:
        made = prompts.of_session(
            planned.trace,
            planned.session_id,
            bos_tokens=bos_tokens,
            answers=config.history == RECORDED,
            reasoning_back=config.history == REASONING,
            begins=planned.begins,
        )
        return replace(made, due_s=planned.due_s)

    order = session_order.build(config, ready.workload.traces, seed=ready.seed, pace=ready.pace, share=share)
    slots = len(share.below(config.slots))
    return PromptQueue(order, make, ahead=(min(slots, MOST_AHEAD) if config.load.is_open else slots) + EXTRA)
