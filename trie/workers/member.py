"""A worker as its coordinator knows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from trie.replay.counters import Counters
from trie.replay.live_numbers import OpenSession
from trie.storage.parquet_parts import PartsWriter
from trie.workers.handle import Handle
from trie.workers.messages import Ended


@dataclass(slots=True)
class Member:
    """A worker, as far as it has come."""

    index: int
    handle: Handle
    slots: int
    counters: Counters = field(default_factory=Counters)
    open: list[OpenSession] = field(default_factory=list)
    ready: bool = False
    warmed_up: bool = False
    ended: Ended | None = None
    died: str | None = None  # how, for people
    died_s: float | None = None  # of the run
    lost_requests: int | None = None  # in flight when a dead one was heard last
    lost_traces: int | None = None  # active then
    writer: PartsWriter | None = None  # of one that sends its rows

    @property
    def over(self) -> bool:
        return self.ended is not None or self.died is not None

    def end(self) -> dict[str, Any]:
        """How the worker ended, as the manifest has it."""
        facts = {} if self.ended is None else self.ended.facts
        return {
            "worker_id": self.index,
            "node": self.handle.node,
            "slots": self.slots,
            "died": self.died,
            "wall_time_s": facts.get("wall_time_s", self.died_s),
            "client": facts.get("client"),
            "lost_requests": self.lost_requests,
            "lost_traces": self.lost_traces,
            "clock": self.handle.clock,
        }
