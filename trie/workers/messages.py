"""What a worker and its coordinator tell each other.

Theory of operation. The coordinator prepares the run, places the workers, and gives each an `Assignment` with all that
it needs. A worker makes its first prompts and is `Ready`. When all are, they `Begin` at one instant. Where slots warm
up, each worker says that it `WarmedUp`, and all `Measure` from one instant on. Then nothing but `Progress` crosses
processes until each worker has `Ended` by itself or was told to `Stop`. Instants are `perf_counter` of the worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from trie.replay.counters import Counters

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Begin:
    """The clock of the run starts."""

    at: float


@dataclass(frozen=True, slots=True)
class Measure:
    """The warm-up is over."""

    at: float


@dataclass(frozen=True, slots=True)
class Stop:
    """The run ends now; what is in flight is cancelled, and its rows carry the reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The first prompts are made."""


@dataclass(frozen=True, slots=True)
class WarmedUp:
    """Every slot has had its first token."""


class OpenTrace(NamedTuple):
    """A session that is going on, by the row of its trace; see `OpenSession`."""

    row: int
    began: float
    ended: int
    at: float


@dataclass(frozen=True, slots=True)
class Progress:
    """What the worker counts, without what only its own process needs; now and then its open sessions too."""

    counters: Counters
    open: tuple[OpenTrace, ...] | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a worker that has no folder to write them to."""

    table: pa.Table


@dataclass(frozen=True, slots=True)
class Log:
    """A line of the worker's log."""

    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker can't go on, for a reason that the user can fix."""

    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """All rows of the worker are on disk, or with the coordinator."""

    reason: str
    counters: Counters
    facts: Mapping[str, Any]  # those of its scheduler


Command = Begin | Measure | Stop
Message = Ready | WarmedUp | Progress | Rows | Log | Failed | Ended
