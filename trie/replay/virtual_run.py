"""A run in virtual time, from what was prepared to its end: rows on disk and the model's own counters."""

from __future__ import annotations

import asyncio
from math import inf
from typing import Any, Protocol

from trie.engines.counters import Counters as EngineCounters
from trie.engines.counters import growth, read_counters
from trie.metrics.slo.stop import SloLook
from trie.metrics.stop_rule import Look
from trie.preflight.steps import Prepared
from trie.replay.counters import Counters
from trie.replay.event_loop import undisturbed
from trie.replay.failure_policy import FailureWatch
from trie.replay.precision import FIRST_S, PRECISE
from trie.replay.run_state import CANCELLED
from trie.replay.session_order import due_instants, open_load_facts
from trie.replay.virtual import VirtualReplay
from trie.replay.virtual_looks import VirtualLooks
from trie.sim.metrics_text import metrics_text
from trie.storage.record import Outcome, RequestRecord


class Writer(Protocol):
    """Takes the rows of a run in lists, and is told of its end."""

    def write(self, records: list[RequestRecord]) -> None: ...

    def close(self) -> None: ...


class VirtualRun:
    """One run; nothing happens before `run` or `simulate`."""

    def __init__(self, ready: Prepared, writer: Writer) -> None:
        config = ready.config
        self.ended = False  # its rows are all on disk
        self._counters = Counters()
        self._watch = FailureWatch(
            self._counters,
            concurrency=1 if config.load.is_open else config.slots,
            max_failures=config.max_failures,
            max_failure_rate=config.max_failure_rate,
        )
        self._writer = writer
        self._duration_s = config.duration
        self._due_until = due_instants(config, ready.workload.traces, ready.seed)
        self._looks = None if config.stop_when is None else VirtualLooks(ready, config.stop_when)
        self._replay = VirtualReplay(
            config,
            ready.workload.traces,
            write=self._write,
            note=self._note,
            limit_reached=self._watch.limit_reached,
            seed=ready.seed,
            pace=ready.pace,
            look=self._look,
            first_look_s=inf if self._looks is None else FIRST_S,
        )

    def stop(self, reason: str) -> None:
        """End the run at the instant it has come to."""
        self._replay.stop(reason)

    @property
    def last_look(self) -> Look | SloLook | None:
        """How sure the metrics were that `stop_when` names, when the run was looked at last."""
        return None if self._looks is None else self._looks.last

    def simulate(self) -> float:
        """The replay alone, here and now; returns how long it would have lasted after its warm-up, in seconds.

        Raises:
            ConfigError: for what has no answer in virtual time.
        """
        self._replay.run()
        return self._replay.elapsed_s

    async def run(self) -> None:
        """Replay in a thread, so that signals and cancellation are heard.

        Raises:
            RunDirError: when rows can't be written.
            ConfigError: for what has no answer in virtual time.
        """
        with undisturbed():
            thread = asyncio.ensure_future(asyncio.to_thread(self._replay.run))
            try:
                await asyncio.shield(thread)
            except asyncio.CancelledError:
                self.stop(CANCELLED)
                await thread
                await self._close()
                raise
        await self._close()

    async def _close(self) -> None:
        self._watch.conclude()
        await asyncio.to_thread(self._writer.close)
        self.ended = True

    def facts(self) -> dict[str, Any]:
        """The manifest's `end`, once the run has ended."""
        load_ended_s = min(self._replay.elapsed_s, self._duration_s)
        body = metrics_text(self._replay.endpoint.model).encode()
        return {
            "reason": self._replay.stop_reason,
            "detail": None if self._looks is None else self._looks.line,
            "wall_time_s": self._replay.elapsed_s,
            "warm_up_s": self._replay.warm_up_s,
            "drain_s": self._replay.drain_s,
            **open_load_facts(self._due_until, load_ended_s, self._replay.begun),
            "began_monotonic_s": None,
            "client": None,  # there was none
            "engine": {**growth(EngineCounters(), read_counters([body])), "settled": True},
        }

    def _write(self, rows: list[RequestRecord]) -> None:
        self._writer.write(rows)
        if self._looks is not None:
            self._looks.add(rows)

    def _look(self, now_s: float) -> float:
        """Stop where the run is precise; returns when to look again."""
        assert self._looks is not None
        seen = self._looks.look(now_s)
        if seen.precise:
            self.stop(PRECISE)
        return seen.next_s

    def _note(self, row: RequestRecord) -> None:
        counters = self._counters
        if row.outcome is Outcome.ok:
            counters.requests_ok += 1
        elif row.outcome is Outcome.failed:
            counters.requests_failed += 1
            self._watch.note(row)
