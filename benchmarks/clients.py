"""What a client is asked to do, and what came of it: the words that client.py and the clients' adapters share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

import pandas as pd
from harness import Child, Server


@dataclass(frozen=True)
class Load:
    """Requests in a closed loop: `streams` at a time, all starting together, each after the other's end."""

    streams: int
    prompt_tokens: int
    tokens: int  # of each answer, a chunk each
    ttft_ms: float
    itl_ms: float
    rounds: int = 1
    seconds: float | None = None  # for a client with a deadline instead; None: as long as the rounds take

    @property
    def requests(self) -> int:
        return self.streams * self.rounds

    @property
    def round_s(self) -> float:
        """How long a round takes by the server's own clock."""
        return (self.ttft_ms + self.itl_ms * (self.tokens - 1)) / 1e3

    @property
    def deadline_s(self) -> float:
        return self.rounds * self.round_s + 0.2 if self.seconds is None else self.seconds

    def lasting(self, seconds: float) -> Load:
        """The same load for about so long, a round at least."""
        return replace(self, rounds=max(1, ceil(seconds / self.round_s)))


@dataclass(frozen=True)
class Report:
    """What a client said at the end of a run; None where it says nothing."""

    child: Child
    ttft_p50_ms: float | None = None
    ttft_p99_ms: float | None = None
    tpot_p50_ms: float | None = None
    requests: pd.DataFrame | None = None  # x_request_id, ttft_ms, tpot_ms (NaN: not ended), worker_id (NaN: one alone)
    was_limit: bool | None = None  # whether it called itself the limit
    replay_cpu_s: float | None = None  # of its CPU what it took while requests were made, where it tells it apart
    coordinator_cpu_s: float | None = None  # in the same time, of the process beside several that made the requests
    exact: bool = True  # made exactly the load's requests, and perhaps a few before; else it went on until a deadline

    @property
    def cost_s(self) -> float:
        """CPU of the replay; all of it where nothing is made of the requests afterwards."""
        return self.child.cpu_s if self.replay_cpu_s is None else self.replay_cpu_s


@dataclass(frozen=True)
class Client:
    """A load-generating client and how it is driven: `drive(server, load, folder)` runs it to its end."""

    name: str
    drive: Callable[[Server, Load, Path], Report]
