"""When traces begin, and how many are active."""

from __future__ import annotations

from dataclasses import dataclass

from trie.config.setting import SECONDS, check, require, setting

SHAPES = ("closed", "poisson", "constant", "schedule", "ramp")
OPEN = ("poisson", "constant", "schedule")  # traces begin when they are due, whatever became of those before
MAX_ACTIVE = 1_000_000
MAX_RATE = 1e6


@dataclass
class LoadConfig:
    """The shape of the load; `load=poisson` chooses a file of settings."""

    shape: str = setting(
        "closed",
        "when traces begin: as others end, at random instants, at equal distances, as recorded, or as others end with "
        "a number of active traces that changes",
        choices=SHAPES,
    )
    rate: float = setting(
        1.0, "poisson, constant: traces that are due per second", above=0, maximum=MAX_RATE, unit="traces/s"
    )
    max_active: int = setting(
        1000,
        "poisson, constant, schedule: traces that are active at most; others wait, and the report says how many",
        minimum=1,
        maximum=MAX_ACTIVE,
    )
    speed: float = setting(1.0, "schedule: how many times faster than recorded traces begin", above=0)
    levels: list[int] = setting(
        [1, 2, 4, 8], "ramp: traces that are active, each number for an equal part of the duration"
    )

    idle_gap_cap_s: float | None = setting(
        None,
        "longest time in which no request is in flight: then all tool waits that are left are cut by the same time; "
        "null: tools take as long as they take",
        minimum=0,
        unit=SECONDS,
    )

    def __post_init__(self) -> None:
        check(self, "load.")
        allowed = bool(self.levels) and all(1 <= level <= MAX_ACTIVE for level in self.levels)
        require(allowed, "load.levels", self.levels, f"a list of whole numbers from 1 to {MAX_ACTIVE}")

    def slots(self, concurrency: int) -> int:
        """How many traces can be active; `concurrency` where the load is a closed loop."""
        if self.is_open:
            return self.max_active
        return max(self.levels) if self.shape == "ramp" else concurrency

    @property
    def is_open(self) -> bool:
        """Whether traces begin when they are due, and not as others end."""
        return self.shape in OPEN
