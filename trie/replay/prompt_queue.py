"""Scripts ahead of need: made in a thread, in the order in which sessions start."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from trie.prompts.builder import Script
from trie.workload.trace import Trace

MakeScript = Callable[[Trace, int], Script]
AT_ONCE = 16  # scripts for which the thread is woken: waking it costs as much as making one


class ScriptsAhead:
    """A supply of scripts: the workload's traces in file order, cycled, each with its session's number.

    It is endless, or ends after `most` scripts.

    On entering, `ahead` scripts are made before the clock starts; about as many are kept ready from then on.
    """

    def __init__(self, traces: Sequence[Trace], make: MakeScript, *, ahead: int, most: int | None = None) -> None:
        self._traces = traces
        self._make = make
        self._ahead = ahead
        self._most = most
        self._low = max(ahead - AT_ONCE, ahead // 2)
        self._made = 0
        self._ready: deque[Script] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="trie-prompts")
        self._refill: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._fill, self._ahead)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def next(self) -> Script | None:
        """The next session's script, None after the last; ready at once unless sessions end faster than it is made."""
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
        """Make the next scripts; in the thread, which lets the event loop have the interpreter between two of them."""
        left = count if self._most is None else min(count, self._most - self._made)
        for _ in range(left):
            trace = self._traces[self._made % len(self._traces)]
            self._ready.append(self._make(trace, self._made))
            self._made += 1
            time.sleep(0)
