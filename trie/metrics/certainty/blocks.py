"""Blocks of time: what happens in one is taken as independent of what happens in the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trie.metrics.certainty.estimate import LEAST_BLOCKS
from trie.metrics.columns import Bools, Floats

CYCLES = 3.0  # mean traces that a block lasts at least
STOP_CYCLES = (
    1.5  # the same where stop_when decides, by wider intervals and with a coverage of its own: docs/stopping.md
)
LEAST, MOST = LEAST_BLOCKS, 40  # blocks that an interval takes, and that are ever made


@dataclass(frozen=True, slots=True)
class Blocks:
    """Equal parts of a window of time."""

    since: float
    until: float
    count: int

    @property
    def width_s(self) -> float:
        return (self.until - self.since) / self.count

    def of(self, at: Floats) -> NDArray[np.intp]:
        """The block of each instant; -1 outside the window and for NaN."""
        inside = (at >= self.since) & (at <= self.until)
        place = np.zeros(len(at), np.intp)
        place[inside] = ((at[inside] - self.since) / self.width_s).astype(np.intp)
        return np.where(inside, np.minimum(place, self.count - 1), -1)

    def places(self, at: Floats) -> Places:
        """The same for many sums over the same instants."""
        return Places(self.of(at).astype(np.int16), self.count)

    def sums(self, at: Floats, amount: Floats) -> Floats:
        """The sum of the amounts in each block."""
        place = self.of(at)
        inside = place >= 0
        return np.bincount(place[inside], amount[inside], self.count).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Places:
    """The block of each value; -1 for one that is in none."""

    of: NDArray[np.int16]
    count: int

    def sums(self, amount: Floats) -> Floats:
        """The sum of the amounts in each block; those that are not finite count for nothing."""
        counted = (self.of >= 0) & np.isfinite(amount)
        return np.bincount(self.of[counted], amount[counted], self.count).astype(np.float64)

    def counts(self, chosen: Bools) -> Floats:
        """How many of the chosen ones are in each block."""
        return np.bincount(self.of[chosen & (self.of >= 0)], minlength=self.count).astype(np.float64)


def blocks_over(since: float, until: float, cycle_s: float | None, cycles: float = CYCLES) -> Blocks | None:
    """Blocks of at least so many cycles; None where a window has no room for four of them."""
    if cycle_s is None or not cycle_s > 0 or not until > since:
        return None
    count = int((until - since) / (cycles * cycle_s))
    return Blocks(since, until, min(count, MOST)) if count >= LEAST else None


def needed_s(cycle_s: float, cycles: float, *, lost_share: float, lost_s: float) -> float:
    """How long a run must be for four blocks, of which the beginning and the end are lost."""
    return (LEAST * cycles * cycle_s + lost_s) / (1.0 - lost_share)


def whole_run(blocks: Blocks, wall_time_s: float) -> Blocks:
    """Blocks of the same length over the whole run, for what is measured over all of it."""
    until = max(wall_time_s, blocks.until)
    return Blocks(0.0, until, max(int(until / blocks.width_s), LEAST))
