"""Prompts ahead of need: made in a thread, in the order in which sessions start."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from trie.endpoint.request_body import RECORDED
from trie.preflight.prompt_lengths import bos_tokens_of
from trie.preflight.steps import Prepared
from trie.prompts.builder import SessionPrompts
from trie.workload.trace import Trace

MakePrompts = Callable[[Trace, int], SessionPrompts]
AT_ONCE = 16  # sessions for which the thread is woken: waking it costs as much as making the prompts of one
EXTRA = 8  # sessions that are kept ready beyond one for each slot


class PromptQueue:
    """The prompts of a run's sessions: the workload's traces in file order, cycled, each with its session's number.

    It is endless, or ends after `most` sessions.

    On entering, the prompts of `ahead` sessions are made; about as many are kept ready from then on.
    """

    def __init__(self, traces: Sequence[Trace], make: MakePrompts, *, ahead: int, most: int | None = None) -> None:
        self._traces = traces
        self._make = make
        self._ahead = ahead
        self._most = most
        self._low = max(ahead - AT_ONCE, ahead // 2)
        self._made = 0
        self._ready: deque[SessionPrompts] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="trie-prompts")
        self._refill: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._fill, self._ahead)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def next(self) -> SessionPrompts | None:
        """The next session's, None after the last; ready at once unless sessions end faster than prompts are made."""
        while True:
            if self._refill is not None and self._refill.done():
                self._refill.result()
                self._refill = None
            if self._refill is None and len(self._ready) <= self._low and self._made != self._most:
                loop = asyncio.get_running_loop()
                self._refill = loop.run_in_executor(self._thread, self._fill, min(AT_ONCE, self._ahead))
            if self._ready:
                return self._ready.popleft()
            if self._refill is None:
                return None
            await asyncio.shield(self._refill)

    def _fill(self, count: int) -> None:
        """Make the next ones; in the thread, which lets the event loop have the interpreter between two of them."""
        left = count if self._most is None else min(count, self._most - self._made)
        for _ in range(left):
            trace = self._traces[self._made % len(self._traces)]
            self._ready.append(self._make(trace, self._made))
            self._made += 1
            time.sleep(0)


def build(ready: Prepared) -> PromptQueue:
    """The queue of a run: as long as the server counts them, and with answers where recorded ones go back to it."""
    config, prompts = ready.config, ready.prompts
    bos_tokens = bos_tokens_of(config, prompts, ready.length_check)

    def make(trace: Trace, session_id: int) -> SessionPrompts:
        return prompts.of_session(trace, session_id, bos_tokens=bos_tokens, answers=config.history == RECORDED)

    ahead = config.concurrency.value + EXTRA
    return PromptQueue(ready.workload.traces, make, ahead=ahead, most=config.max_traces)
