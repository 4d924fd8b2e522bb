"""What all sessions of a run share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from trie.endpoint.conversation import RequestFormat
from trie.replay.backoff import Backoff
from trie.replay.health import LoopHealth
from trie.replay.live import Live
from trie.replay.recorder import Recorder
from trie.replay.request import Requester
from trie.replay.turns import Turns
from trie.replay.watch import FailureWatch


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
    turns: Turns = field(default_factory=Turns)
    session_header: str | None = None
    began: float = 0.0

    def requester(self, session_id: int) -> Requester:
        """Who sends a session's requests: sessions take turns on the servers, and each stays with its own."""
        return self.requesters[session_id % len(self.requesters)]
