"""What a command line sets: a run, and how a sweep goes through many of them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import Enum

from trie.config import stop_when
from trie.config.run import RunConfig
from trie.config.setting import SECONDS, require, setting


class Order(Enum):
    """In which order a sweep goes through its cells."""

    written = "written"  # as the settings are written, the last one varies fastest; repeats one after another
    interleaved = "interleaved"  # so, all cells once, and then all again for the next repeat
    shuffled = "shuffled"  # cells and repeats at random, the same order for the same order_seed


@dataclass
class CommandConfig(RunConfig):
    """What a command line sets: a run, and how a sweep goes through many of them."""

    precision: str | None = setting(
        None,
        "how well the completion tok/s of each cell is to be known, such as 2%: short for stop_when=completion_tok_s "
        "within 2% and workload.order=shuffled; duration is then the longest that a cell lasts",
        text="a percentage such as 2%, or null",
    )
    repeats: int = setting(1, "how often each cell of a sweep is measured", minimum=1, measured=False)
    order: Order = setting(
        Order.interleaved,
        "order of a sweep's cells: as written, all cells once before the next repeat, or at random",
        measured=False,
    )
    order_seed: int = setting(0, "seed of order=shuffled", minimum=0, measured=False)
    pause: float = setting(
        0.0, "time between two cells of a sweep in which nothing is sent", minimum=0, unit=SECONDS, measured=False
    )
    rerun: bool = setting(
        False, "measure the finished cells of a sweep again; their earlier results are kept", measured=False
    )
    plan: bool = setting(
        False,
        "show the plan of a sweep and measure nothing; with a profile also what each cell is expected to give",
        measured=False,
    )
    plan_json: str | None = setting(None, "file to write the plan of a sweep into, as JSON", measured=False)

    def __post_init__(self) -> None:
        if self.precision is not None:
            wanted = stop_when.of_precision(self.precision)
            same = self.stop_when in (None, wanted)
            require(same, "precision", self.precision, "null with stop_when, which says it already")
            self.stop_when = wanted
            self.workload = replace(self.workload, order="shuffled")  # the first traces of a file are no sample of it
        super().__post_init__()

    def run(self) -> RunConfig:
        """The run alone."""
        return RunConfig(**{key.name: getattr(self, key.name) for key in fields(RunConfig)})
