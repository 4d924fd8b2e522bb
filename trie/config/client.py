"""The client: how many traces it keeps active, and how it runs as a process."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from trie.config.setting import check, setting

MAX_CONCURRENCY = 1_000_000


@dataclass
class ConcurrencyConfig:
    """How many traces are active at any time, tool waits included."""

    value: int = setting(
        8, "traces that are active at any time; `concurrency=8` sets it", minimum=1, maximum=MAX_CONCURRENCY
    )

    def __post_init__(self) -> None:
        check(self, "concurrency.")


class Priority(Enum):
    """The scheduling priority of the client while it replays: `auto` is the highest that the system allows."""

    auto = "auto"
    normal = "normal"


@dataclass
class ClientConfig:
    """The client as a process."""

    priority: Priority = setting(
        Priority.auto,
        "scheduling priority while the clock runs; auto: real time or nice -10, where the system allows it",
        measured=False,
    )
    max_in_flight: int | None = setting(
        None,
        "requests in flight at most, of which sub-agents may make more than there are traces; those beyond wait, and "
        "are due when their turn comes; null: no limit",
        minimum=1,
    )

    def __post_init__(self) -> None:
        check(self, "client.")
