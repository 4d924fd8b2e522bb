"""Closed-loop replay: `concurrency` sessions at a time, under one deadline, ended in order whatever ends it."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from trie.replay.prompt_queue import ScriptsAhead
from trie.replay.run_state import Setting
from trie.replay.session import replay
from trie.storage.record import Outcome

ALL_TRACES = "max_traces"  # why a run ended whose every trace has
SWITCH_S = 0.0005  # after which a thread that writes rows or makes prompts hands the interpreter back (Python: 5 ms)


class Engine:
    """Replays scripts until the deadline, or until `stop` is called."""

    def __init__(self, setting: Setting, scripts: ScriptsAhead) -> None:
        self._setting = setting
        self._scripts = scripts
        self._deadline = asyncio.timeout(None)
        self._running = False

    def stop(self, reason: str) -> None:
        """End the run now, or as soon as it runs: what is in flight is cancelled, and its rows carry the reason."""
        live = self._setting.live
        if live.ending is None:
            live.ending = reason
            if self._running:
                self._deadline.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> str:
        """Replay; returns why it ended: `deadline`, `max_traces`, or the reason given to `stop`.

        Raises:
            RunDirError: when rows can't be written any more.
        """
        setting, loop = self._setting, asyncio.get_running_loop()
        with _undisturbed():
            setting.began = setting.live.began = perf_counter()
            setting.health.start()
            ending = loop.call_later(setting.live.duration_s, self.stop, "deadline")
            try:
                async with self._deadline:
                    self._running = True
                    if setting.live.ending is not None:
                        self._deadline.reschedule(loop.time())
                    await self._replay()
            except TimeoutError:
                if not self._deadline.expired():
                    raise
            except BaseExceptionGroup as errors:
                setting.live.ending = "error"
                raise _first(errors) from None
            finally:
                ending.cancel()
                setting.live.beat(perf_counter())
                setting.health.stop()
        return setting.live.ending or "deadline"

    async def _replay(self) -> None:
        async with asyncio.TaskGroup() as group:
            flushing = group.create_task(self._setting.recorder.flush_regularly())
            async with asyncio.TaskGroup() as slots:
                for slot in range(self._setting.live.concurrency):
                    slots.create_task(self._occupy(slot))
            self._setting.live.ending = self._setting.live.ending or ALL_TRACES
            flushing.cancel()

    async def _occupy(self, slot: int) -> None:
        """One of the `concurrency` places: a session after the other, while there are any."""
        live = self._setting.live
        failed_in_a_row = 0
        await self._setting.gate.enter()
        while (script := await self._scripts.next()) is not None:
            live.traces_active += 1
            try:
                outcome = await replay(self._setting, script, slot)
            except asyncio.CancelledError:
                live.traces_cancelled += 1
                raise
            finally:
                live.traces_active -= 1
            if outcome is Outcome.ok:
                live.traces_completed += 1
                failed_in_a_row = 0
                continue
            live.traces_failed += 1
            if (reason := self._setting.watch.too_many()) is not None:
                self.stop(reason)
            await self._setting.backoff.pause(failed_in_a_row)
            failed_in_a_row += 1


def _first(errors: BaseException) -> BaseException:
    """The first error in a group of groups."""
    return _first(errors.exceptions[0]) if isinstance(errors, BaseExceptionGroup) else errors


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep the loop going: the collector passes rarely and over little, other threads hold the interpreter briefly."""
    before = gc.get_threshold()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
        sys.setswitchinterval(interval)
