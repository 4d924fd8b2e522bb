"""What lies behind a sweep's plots where a forecast is given: its curves, dashed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

DASH = [5, 4]
FORECAST = "Dashed: a forecast in virtual time, of which no server was measured."
Columns = Mapping[str, Sequence[Any]]


def behind(forecast: Columns) -> dict[str, Columns]:
    """The data of a plot beside its own."""
    return {"forecast": forecast} if forecast["mean"] else {}


def dashed(forecast: Columns) -> list[dict[str, Any]]:
    """A forecast's line, without points: nothing was measured."""
    if not forecast["mean"]:
        return []
    mark = {"type": "line", "strokeDash": DASH, "opacity": 0.7, "clip": True, "tooltip": True}
    return [{"data": {"name": "forecast"}, "mark": mark, "encoding": {"y": {"field": "mean", "type": "quantitative"}}}]


def together(name: str, spreads: Mapping[str, Columns]) -> dict[str, list[Any]]:
    """Spreads of several curves in one table, told apart by a column of that name."""
    data: dict[str, list[Any]] = {name: [], "concurrency": [], "mean": [], "low": [], "high": []}
    for label, columns_of in spreads.items():
        for part, values in columns_of.items():
            data[part] += values
        data[name] += [label] * len(columns_of["mean"])
    return data
