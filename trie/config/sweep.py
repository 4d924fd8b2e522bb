"""What a command line sets beside the run: how a sweep goes through many of them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import Enum

from trie.config.rules import MAX_SECONDS, require, require_whole
from trie.config.run import RunConfig


class Order(Enum):
    """In which order a sweep goes through its cells."""

    written = "written"  # as the settings are written, the last one varies fastest; repeats one after another
    interleaved = "interleaved"  # so, all cells once, and then all again for the next repeat
    shuffled = "shuffled"  # cells and repeats at random, the same order for the same order_seed


@dataclass
class CommandConfig(RunConfig):
    """What a command line sets: a run, and how a sweep goes through many of them."""

    repeats: int = 1  # how often each cell of a sweep is measured
    order: Order = Order.interleaved  # of a sweep's cells: written, interleaved repeats, shuffled
    order_seed: int = 0  # of order=shuffled
    pause: float = 0.0  # seconds between two cells of a sweep in which nothing is sent
    rerun: bool = False  # measure the cells of a sweep again that are done; what they hold is kept in them
    plan: bool = False  # show the plan of a sweep and measure nothing

    def __post_init__(self) -> None:
        super().__post_init__()
        require_whole("repeats", self.repeats, 1)
        require_whole("order_seed", self.order_seed, 0)
        require(0 <= self.pause <= MAX_SECONDS, "pause", self.pause, "0 or more (seconds)")

    def run(self) -> RunConfig:
        """The run alone."""
        return RunConfig(**{key.name: getattr(self, key.name) for key in fields(RunConfig)})
