"""Scripts ahead of need: made in a thread, in the order in which sessions start."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from trie.prompts.script import Script
from trie.trace import Trace

MakeScript = Callable[[Trace, int], Script]


class ScriptsAhead:
    """An endless supply of scripts: the workload's traces in file order, cycled, each with its session's number.

    On entering, `ahead` scripts are made before the clock starts; as many are kept ready from then on.
    """

    def __init__(self, traces: Sequence[Trace], make: MakeScript, *, ahead: int) -> None:
        self._traces = traces
        self._make = make
        self._ahead = ahead
        self._asked = 0
        self._ready: deque[Future[Script]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="trie-prompts")

    async def __aenter__(self) -> Self:
        for _ in range(self._ahead):
            self._ask()
        await asyncio.wait([asyncio.wrap_future(script) for script in self._ready])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def next(self) -> Script:
        """The next session's script; ready at once unless sessions end faster than scripts are made."""
        self._ask()
        script = self._ready.popleft()
        return script.result() if script.done() else await asyncio.wrap_future(script)

    def _ask(self) -> None:
        trace = self._traces[self._asked % len(self._traces)]
        self._ready.append(self._thread.submit(self._make, trace, self._asked))
        self._asked += 1
