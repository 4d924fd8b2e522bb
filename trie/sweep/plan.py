"""A sweep before it starts: its cells, what of them is done already, and how long the rest will take."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from trie.config import Order
from trie.storage.sweep_dir import Status

if TYPE_CHECKING:
    from trie.sweep.cell_forecast import CellForecast

T = TypeVar("T")


@dataclass(frozen=True)
class Planned:
    """A cell that will be measured, or was."""

    name: str  # of its directory
    row: str  # workload, and what else varies
    concurrency: int
    repeat: int
    duration_s: float
    status: Status | None  # of what is there already
    why: str = ""  # it is not done
    again: bool = False  # measured again although it is done
    refused: str | None = None  # why its settings are not allowed
    forecast: CellForecast | None = None  # where a profile was chosen
    no_forecast: str | None = None  # why there is none although one was

    @property
    def to_do(self) -> bool:
        return self.again or self.status is not Status.done


def ordered(cells: Sequence[T], repeats: int, order: Order, seed: int) -> list[tuple[T, int]]:
    """Each cell with each repeat, from 1 on, in the order of a sweep."""
    if order is Order.interleaved:
        return [(cell, repeat) for repeat in range(1, repeats + 1) for cell in cells]
    pairs = [(cell, repeat) for cell in cells for repeat in range(1, repeats + 1)]
    if order is Order.shuffled:
        random.Random(seed).shuffle(pairs)
    return pairs


@dataclass(frozen=True)
class Plan:
    """A sweep's cells in their order, and how it goes through them."""

    directory: str
    cells: Sequence[Planned]
    order: Order
    pause_s: float
    at_once: bool = False  # several cells, so that all may be over before

    @property
    def done(self) -> int:
        return sum(not cell.to_do for cell in self.cells)

    @property
    def total_s(self) -> float:
        """Seconds of replay, those that are done included."""
        return sum(cell.duration_s for cell in self.cells if cell.refused is None)

    @property
    def to_go_s(self) -> float:
        """Seconds of replay and pauses that are ahead."""
        return time_to_go(self.cells, self.pause_s)

    def to_json(self) -> dict[str, Any]:
        """The plan as plain values."""
        return {
            "directory": self.directory,
            "order": self.order.name,
            "pause_s": self.pause_s,
            "total_s": self.total_s,
            "to_go_s": self.to_go_s,
            "cells": [_cell_to_json(cell) for cell in self.cells],
        }


def _cell_to_json(cell: Planned) -> dict[str, Any]:
    return {
        "name": cell.name,
        "row": cell.row,
        "concurrency": cell.concurrency,
        "repeat": cell.repeat,
        "duration_s": cell.duration_s,
        "status": None if cell.status is None else cell.status.name,
        "why": cell.why,
        "to_do": cell.to_do,
        "refused": cell.refused,
        "forecast": None if cell.forecast is None else cell.forecast.to_json(),
        "no_forecast": cell.no_forecast,
    }


def time_to_go(cells: Iterable[Planned], pause_s: float) -> float:
    """Seconds of replay and pauses that are ahead; starting and reporting come on top."""
    ahead = [cell.duration_s for cell in cells if cell.to_do and cell.refused is None]
    return sum(ahead) + pause_s * max(len(ahead) - 1, 0)
