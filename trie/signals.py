"""SIGINT and SIGTERM while a run lives: the first ends the replay in order, the next ends everything at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

NUMBERS = (signal.SIGINT, signal.SIGTERM)
SAME_SIGNAL_S = 0.5  # within which a second signal is the first one again


class Signals:
    """What a signal does now: `main` is cancelled, or, in a `replaying` block, the replay ended first.

    A signal may come twice by itself: `timeout` and shells send it to the process and to its group. A cancellation
    gives the endpoint its time to end, another one kills it; after that, signals are Python's own again.
    """

    def __init__(self, main: asyncio.Task[Any]) -> None:
        self._main = main
        self._loop = asyncio.get_running_loop()
        self._end_replay: Callable[[], None] | None = None
        self._ended_at: float | None = None

    @contextmanager
    def replaying(self, end: Callable[[], None]) -> Iterator[None]:
        """While the block runs, the first signal calls `end`."""
        self._end_replay = end
        try:
            yield
        finally:
            self._end_replay = None

    def received(self) -> None:
        """Do what the signal asks for."""
        now = self._loop.time()
        if self._ended_at is not None and now - self._ended_at < SAME_SIGNAL_S:
            return
        if self._ended_at is None and self._end_replay is not None:
            self._ended_at = now
            self._end_replay()
            return
        if self._main.cancelling():
            self.give_back()
        self._main.cancel()

    def give_back(self) -> None:
        """Leave the signals to Python again."""
        for number in NUMBERS:
            self._loop.remove_signal_handler(number)


@contextmanager
def handled() -> Iterator[Signals]:
    """Take the signals for the task that runs the block; they cancel it unless there is more to be done first."""
    main = asyncio.current_task()
    assert main is not None
    signals = Signals(main)
    for number in NUMBERS:
        asyncio.get_running_loop().add_signal_handler(number, signals.received)
    try:
        yield signals
    finally:
        signals.give_back()
