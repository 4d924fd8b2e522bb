"""Tool waits of the sessions of a run, which are cut where otherwise nobody would ask the server anything for long."""

from __future__ import annotations

import asyncio
from time import perf_counter


class ToolWaits:
    """Waits until requests are due.

    Args:
        idle_cap_s: longest time in which no request is in flight: then all waits are cut by the same time, so that the
            next request comes at its end; None: waits are as long as they are.
    """

    def __init__(self, idle_cap_s: float | None = None) -> None:
        self._cap_s = idle_cap_s
        self._idle_since: float | None = None  # perf_counter; None: a request is in flight
        self._waiting: dict[asyncio.Future[None], float] = {}  # with the instants at which they are due
        self._timers: dict[asyncio.Future[None], asyncio.TimerHandle] = {}

    async def until(self, due: float) -> float:
        """Wait until an instant of `perf_counter`, or the one to which the wait is cut; returns that."""
        if self._cap_s is None:
            await asyncio.sleep(due - perf_counter())
            return due
        wait = asyncio.get_running_loop().create_future()
        self._set(wait, due)
        try:
            self._cut()
            await wait
            return self._waiting[wait]
        finally:
            self._timers.pop(wait).cancel()
            del self._waiting[wait]

    def in_flight(self, requests: int) -> None:
        """So many requests are in flight now."""
        if requests:
            self._idle_since = None
        elif self._idle_since is None and self._cap_s is not None:
            self._idle_since = perf_counter()
            self._cut()

    def _cut(self) -> None:
        """Cut the waits, where the next one would end too late."""
        if self._idle_since is None or self._cap_s is None or not self._waiting:
            return
        early_s = min(self._waiting.values()) - (self._idle_since + self._cap_s)
        if early_s > 0:
            for wait, due in self._waiting.items():
                self._timers[wait].cancel()
                self._set(wait, due - early_s)

    def _set(self, wait: asyncio.Future[None], due: float) -> None:
        self._waiting[wait] = due
        delay_s = max(due - perf_counter(), 0.0)
        self._timers[wait] = asyncio.get_running_loop().call_later(delay_s, _end, wait)


def _end(wait: asyncio.Future[None]) -> None:
    if not wait.done():
        wait.set_result(None)
