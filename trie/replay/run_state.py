"""What all sessions of a run share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from trie.endpoint.request import Requester
from trie.endpoint.request_body import RequestFormat
from trie.replay.counters import Live
from trie.replay.event_loop import LoopGate, LoopHealth
from trie.replay.failure_policy import Backoff, FailureWatch
from trie.storage.parquet_parts import Recorder


@dataclass(slots=True)
class Setting:
    """The run around a session; `began` is the `perf_counter` instant from which rows count their seconds."""

    fmt: RequestFormat
    requesters: Sequence[Requester]  # one for each server of the model
    recorder: Recorder
    health: LoopHealth
    live: Live
    watch: FailureWatch
    backoff: Backoff
    run_id: str
    gate: LoopGate = field(default_factory=LoopGate)
    session_header: str | None = None
    began: float = 0.0

    def requester(self, session_id: int) -> Requester:
        """Who sends a session's requests: sessions take turns on the servers, and each stays with its own."""
        return self.requesters[session_id % len(self.requesters)]
