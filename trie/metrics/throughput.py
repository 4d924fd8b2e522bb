"""Workload throughput: cumulative tokens over time, as points that completed requests make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trie.metrics.columns import Columns, Floats
from trie.metrics.silence import dead_until
from trie.metrics.values import tokens

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
    """Tokens of completed requests, cumulated over the instants of their ends; totals by key of the metric."""

    at: Floats
    total: Mapping[str, Floats]
    dead_until: float | None = None  # the end of the run, where the server had fallen silent before

    @classmethod
    def of(cls, columns: Columns) -> Points:
        """One point for each request that ended well while the load was kept up, by the trace's own accounting."""
        done = np.flatnonzero(columns.outcome("ok") & (columns["end_s"] <= columns.load_ended_s))
        order = done[np.argsort(columns["end_s"][done], kind="stable")]
        totals = {key: np.cumsum(added[order]) for key, added in tokens(columns).items()}
        return cls(columns["end_s"][order], totals, dead_until(columns))

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
    return {key: _rates(points, total, wall_time_s, num_gpus) for key, total in points.total.items()}


def _rates(points: Points, total: Floats, wall_time_s: float, num_gpus: int | None) -> Rates:
    if not len(total):
        return Rates(0.0 if wall_time_s > 0 else None, None, None, None)
    steady = _slope(points, total, points.steady_since)
    return Rates(
        overall=float(total[-1]) / wall_time_s if wall_time_s > 0 else None,
        last_30s=_slope(points, total, points.until - LAST_S),
        steady_state=steady,
        steady_state_per_gpu=steady / num_gpus if steady is not None and num_gpus else None,
    )


def _slope(points: Points, total: Floats, since: float) -> float | None:
    """Between the first point at or after `since` and the end of the window."""
    first, begin, end = points.window(since)
    added = float(total[-1] - total[first]) if first < len(total) else 0.0
    return added / (end - begin) if end > begin else None
