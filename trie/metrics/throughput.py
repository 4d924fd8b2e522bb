"""Workload throughput: cumulative tokens over time, as points that completed requests make."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from trie.metrics.columns import Bools, Columns, Floats
from trie.metrics.definitions import WORKLOAD, declared
from trie.metrics.in_threads import sort
from trie.metrics.silence import dead_until
from trie.metrics.values import tokens

Result = TypeVar("Result")

LAST_S = 30.0
WARM_UP = 0.20  # share of the time until the last point that steady state leaves out


@dataclass(frozen=True, slots=True)
class Rates:
    """Tokens per second under the four columns; None where there is nothing to take a slope of."""

    overall: float | None
    last_30s: float | None
    steady_state: float | None
    steady_state_per_gpu: float | None


@dataclass(frozen=True, slots=True)
class Points:
    """Tokens of completed requests over the instants of their ends, by key of the metric."""

    at: Floats  # in order
    columns: Columns
    dead_until: float | None = None  # the end of the run, where the server had fallen silent before

    @classmethod
    def of(cls, columns: Columns) -> Points:
        """One point for each request that ended well while the load was kept up, by the trace's own accounting."""
        points: Points = columns.remembered("points", cls._of)
        return points

    @classmethod
    def _of(cls, columns: Columns) -> Points:
        at = columns.each(lambda block: block["end_s"][_done(block)])
        sort(at)
        return cls(at, columns, dead_until(columns))

    def of_added(self, formula: Callable[[Floats, Mapping[str, Floats]], Result]) -> Iterator[Result]:
        """What a formula gives for the instants of points, in no order, and the tokens that each adds."""
        return self.columns.of_blocks(lambda block: formula(*block.once("tokens of points", _added)))

    def cumulated(self, instants: Floats) -> dict[str, Floats]:
        """All tokens until each of some instants, which are in order; those of points at an instant are among them."""

        def until(at: Floats, tokens_of: Mapping[str, Floats]) -> Floats:
            place = np.searchsorted(instants, at, side="left")
            sums = [np.bincount(place, of_key, len(instants) + 1) for of_key in tokens_of.values()]
            return np.cumsum(sums, axis=1, dtype=np.float64)[:, :-1]

        totals = reduce(add, self.of_added(until))
        return {metric.key: total for metric, total in zip(declared(WORKLOAD), totals, strict=True)}

    def behind(self, first: int) -> dict[str, float]:
        """All tokens of the points behind one, which is the first of those at its instant."""
        instant, reached = self.at[first], False

        def sums(at: Floats, tokens_of: Mapping[str, Floats]) -> tuple[Floats, Floats | None]:
            """Those of a block from the instant on, and the same without the first point at it."""
            counted, ties = at >= instant, np.flatnonzero(at == instant)
            every = np.array([of_key[counted].sum() for of_key in tokens_of.values()])
            if not len(ties):
                return every, None
            counted[ties[0]] = False
            return every, np.array([of_key[counted].sum() for of_key in tokens_of.values()])

        totals = np.zeros(len(declared(WORKLOAD)))
        for every, but_first in self.of_added(sums):
            totals += every if reached or but_first is None else but_first
            reached = reached or but_first is not None
        return {metric.key: float(total) for metric, total in zip(declared(WORKLOAD), totals, strict=True)}

    @property
    def rows(self) -> NDArray[np.intp]:
        """The row of each point."""
        done = np.flatnonzero(_done(self.columns))
        return done[np.argsort(self.columns["end_s"][done], kind="stable")]

    @property
    def total(self) -> dict[str, Floats]:
        """The tokens by key, cumulated over the points."""
        rows = self.rows
        return {key: np.cumsum(of_key[rows]) for key, of_key in tokens(self.columns).items()}

    def first_since(self, instant: float) -> int:
        """Index of the first point at or after an instant."""
        return int(np.searchsorted(self.at, instant, side="left"))

    @property
    def until(self) -> float:
        """Where every window ends: at the last point, or with a run whose server fell silent; 0 without points."""
        last = float(self.at[-1]) if len(self.at) else 0.0
        return last if self.dead_until is None else self.dead_until

    @property
    def steady_since(self) -> float:
        """Where steady state begins: no point before it counts. 0 without points."""
        return self.until * WARM_UP if len(self.at) else 0.0

    def window(self, since: float) -> tuple[int, float, float]:
        """The index of the first point at or after an instant, when it is, and the end of the window.

        Of a window without a point, as a server that fell silent may leave one, the instant itself.
        """
        first = self.first_since(since)
        return first, float(self.at[first]) if first < len(self.at) else since, self.until

    def steady_window(self) -> tuple[float, float] | None:
        """From the first to the last point of steady state; None without points."""
        return self.window(self.steady_since)[1:] if len(self.at) else None


def rates(points: Points, *, wall_time_s: float, num_gpus: int | None) -> dict[str, Rates]:
    """The throughputs, by key."""
    keys = [metric.key for metric in declared(WORKLOAD)]
    if not len(points.at):
        return dict.fromkeys(keys, Rates(0.0 if wall_time_s > 0 else None, None, None, None))
    every = points.cumulated(np.array([np.inf]))
    steady, last = _slopes(points, points.steady_since), _slopes(points, points.until - LAST_S)
    return {
        key: Rates(
            overall=float(every[key][0]) / wall_time_s if wall_time_s > 0 else None,
            last_30s=last.get(key),
            steady_state=steady.get(key),
            steady_state_per_gpu=steady[key] / num_gpus if key in steady and num_gpus else None,
        )
        for key in keys
    }


def _slopes(points: Points, since: float) -> dict[str, float]:
    """Between the first point at or after `since` and the end of the window; none over no time."""
    first, begin, end = points.window(since)
    if not end > begin:
        return {}
    added = points.behind(first) if first < len(points.at) else {metric.key: 0.0 for metric in declared(WORKLOAD)}
    return {key: of_key / (end - begin) for key, of_key in added.items()}


def _added(columns: Columns) -> tuple[Floats, dict[str, Floats]]:
    done = _done(columns)
    return columns["end_s"][done], {key: of_key[done] for key, of_key in tokens(columns).items()}


def _done(columns: Columns) -> Bools:
    return columns.outcome("ok") & (columns["end_s"] <= columns.load_ended_s)
