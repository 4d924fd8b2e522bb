"""A sweep's throughput over load, with the knee of each workload."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trie.report.html.channels import quoted
from trie.report.html.plot import Plot
from trie.report.html.theme import GREY
from trie.report.pareto import PER_GPU
from trie.sweep.curves import KNEE, Curve, Point, knee
from trie.sweep.forecast import FORECAST, behind, dashed, together
from trie.sweep.hero import by_workload
from trie.sweep.multiples import load_axis
from trie.sweep.table import columns

DECODE, TTFAT = "decode_tps_p50", "ttfat_s_p50"
Columns = dict[str, list[Any]]


def unit_of(column: str) -> str:
    """The unit of a headline throughput."""
    return f"{columns()[column].metric.display.unit}{' per GPU' if column == PER_GPU else ''}"


def overview(curves: Sequence[Curve], column: str) -> Plot:
    """Throughput of all workloads against concurrency; the knee of each is marked."""
    data = together("workload", {curve.label: _spreads(curve.measured, column) for curve in curves})
    data["valid"] = [point.valid for curve in curves for point in curve.measured if point.spread(column)]
    forecast = together("workload", {curve.label: _spreads(curve.forecast, column) for curve in curves})
    title = f"completion {unit_of(column)}"
    told = by_workload(curves)
    y = _up(data, title, forecast)
    return Plot(
        key="throughput",
        title="Throughput against concurrency",
        caption=f"After the first fifth of each run. The knee, marked, is the least concurrency with {KNEE:.0%} of the "
        "best throughput; hollow points are invalid. Bars are the range of repeats, or of one cell its 95 % interval."
        + (f" {FORECAST}" if forecast["mean"] else ""),
        data={"means": data, "knees": _knees(curves, column), **behind(forecast)},
        labels={
            "workload": "Workload",
            "concurrency": "Concurrency",
            "mean": title,
            "low": "from",
            "high": "to",
            "valid": "Valid",
        },
        wide=True,
        spec={
            "layer": [
                *dashed(forecast),
                {"data": {"name": "means"}, **_range_bar()},
                {
                    "data": {"name": "means"},
                    "mark": {"type": "line", "clip": True},
                    "encoding": {"y": y, "strokeDash": told["strokeDash"]},
                },
                *(_points(y, told["shape"], title, valid=valid) for valid in (True, False)),
                _knee_marks(),
            ],
            "encoding": {
                "x": {"field": "concurrency", "type": "quantitative", **load_axis(_loads(curves))},
                "color": told["color"],
            },
        },
    )


def _knees(curves: Sequence[Curve], column: str) -> Columns:
    knees = [(curve.label, point) for curve in curves if (point := knee(curve, column)) is not None]
    return {
        "workload": [label for label, _ in knees],
        "concurrency": [point.concurrency for _, point in knees],
        "mean": [point.mean(column) for _, point in knees],
        "label": [f"knee {point.concurrency}" for _, point in knees],
    }


def _points(y: dict[str, Any], shape: dict[str, Any], title: str, *, valid: bool) -> dict[str, Any]:
    tooltip = [
        quoted("workload", "workload"),
        quoted("concurrency", "concurrency", ","),
        quoted("mean", title, ",.4~g"),
        quoted("low", "from", ",.4~g"),
        quoted("high", "to", ",.4~g"),
    ]
    return {
        "data": {"name": "means"},
        "transform": [{"filter": "datum.valid" if valid else "!datum.valid"}],
        "mark": {"type": "point", "filled": valid, "size": 60, "opacity": 1, "clip": True},
        "encoding": {"y": y, "shape": shape, "tooltip": tooltip},
    }


def _knee_marks() -> dict[str, Any]:
    return {
        "data": {"name": "knees"},
        "mark": {"type": "text", "dy": -14, "clip": True, "color": GREY, "fontWeight": 600},
        "encoding": {
            "y": {"field": "mean", "type": "quantitative"},
            "text": {"field": "label"},
            "color": {"value": GREY},
        },
    }


def _loads(curves: Sequence[Curve]) -> list[int]:
    return sorted({point.concurrency for curve in curves for point in (*curve.points, *curve.forecast)})


def _spreads(points: Sequence[Point], column: str) -> Columns:
    """Mean and interval of a column by concurrency, where it was measured, in the unit that people read."""
    factor = columns()[column].metric.display.factor
    table: Columns = {"concurrency": [], "mean": [], "low": [], "high": []}
    for point in points:
        if (spread := point.spread(column)) is not None:
            low, high = point.interval(column) or (spread.mean, spread.mean)
            table["concurrency"].append(point.concurrency)
            for name, value in (("mean", spread.mean), ("low", low), ("high", high)):
                table[name].append(value * factor)
    return table


def _up(data: Columns, title: str, forecast: Columns) -> dict[str, Any]:
    """An axis from zero, with room above the highest point."""
    most = max([*data["high"], *forecast["high"]], default=0.0) or 1.0
    return {"field": "mean", "type": "quantitative", "title": title, "scale": {"domain": [0, 1.08 * most]}}


def _range_bar() -> dict[str, Any]:
    """From the lowest repeat to the highest, or over the interval."""
    return {
        "mark": {"type": "rule", "strokeWidth": 6, "clip": True},
        "encoding": {
            "y": {"field": "low", "type": "quantitative"},
            "y2": {"field": "high"},
            "strokeOpacity": {"value": 0.3},
        },
    }
