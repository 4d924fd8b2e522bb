"""Small plots against concurrency: a row for each question, a column for each workload, one axis of y in a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trie.metrics.definitions import Number, metric_of
from trie.report.html.channels import by_hue, quoted
from trie.report.html.multiples import Multiples, Row
from trie.report.html.plot import Plot
from trie.report.html.theme import BLUE, DASHES, GREEN, GREY, LOG_TICKS, VERMILION
from trie.sweep.curves import Curve, Point
from trie.sweep.forecast import DASH, FORECAST
from trie.sweep.table import FAILED_SHARE, columns

TIMES = ("per_request.ttft_s", "per_request.tpot_s", "per_trace.latency_s")
HIT_RATES = ("cache_hit_rate_pct_mean", "eligible_cache_hit_rate_pct_mean", "cache_eligible_ceiling_pct")
SHARES = (FAILED_SHARE, "censoring_share")
HUES = (BLUE, GREEN, VERMILION)
HEIGHT = 130
WIDE_RATIO = 20
FEW_TICKS = {"tickCount": 4}
Columns = dict[str, list[Any]]


def multiples(curves: Sequence[Curve]) -> Multiples:
    """TTFT, TPOT, latency, cache and censoring of every workload."""
    rows = [*(_times(curves, path) for path in TIMES), *_shares(curves)]
    about = "Lines are p50, bands reach from p90 to p99. Hollow points are invalid; percentiles of too few values are "
    about += f"left out. The axis of y is the same along a row. {FORECAST if any(c.forecast for c in curves) else ''}"
    return Multiples(caption=about.strip(), columns=[curve.label for curve in curves], rows=rows)


def _times(curves: Sequence[Curve], path: str) -> Row:
    metric = metric_of(path)
    numbers = {number.statistic: number for number in metric.numbers() if number.statistic in ("p50", "p90", "p99")}
    tables = [_percentiles(curve.measured, numbers) for curve in curves]
    y = _axis([value for table in tables for name in numbers for value in table[name] if value is not None])
    key = metric.key.replace("_", "-").removesuffix("-s")
    plots = []
    for at, (curve, table) in enumerate(zip(curves, tables, strict=True)):
        forecast = _percentiles(curve.forecast, numbers)
        plots.append(_small(f"{metric.section.key}-{key}-{at}", f"{metric.heading}: {curve.label}", table, forecast, y))
    return Row(metric.heading, plots)


def _axis(values: Sequence[float]) -> dict[str, Any]:
    """One axis for all plots of a row: logarithmic where a tail of the one would flatten the others."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    scale: dict[str, Any] = {"domain": [0, 1.06 * high], "nice": False}
    axis: dict[str, Any] = dict(FEW_TICKS)
    if 0 < WIDE_RATIO * low < high:
        scale = {"type": "log", "domain": [low / 1.2, high * 1.2], "nice": False}
        axis = {**LOG_TICKS, **FEW_TICKS}
    return {"type": "quantitative", "title": None, "axis": axis, "scale": scale}


def _percentiles(points: Sequence[Point], numbers: Mapping[str, Number]) -> Columns:
    table: Columns = {"concurrency": [point.concurrency for point in points]}
    table["valid"] = [point.valid for point in points]
    for name, number in numbers.items():
        table[name] = [number.shown(point.mean(number.column)) for point in points]
    return table


def _small(key: str, title: str, table: Columns, forecast: Columns, y: dict[str, Any]) -> Plot:
    tooltip = [quoted("concurrency", "concurrency", ",")]
    tooltip += [quoted(name, name, ",.4~g") for name in ("p50", "p90", "p99")]
    layers: list[dict[str, Any]] = [
        {
            "transform": [{"filter": "isValid(datum.p90) && isValid(datum.p99)"}],
            "mark": {"type": "area", "color": BLUE, "opacity": 0.2, "clip": True},
            "encoding": {"y": {**y, "field": "p90"}, "y2": {"field": "p99"}},
        },
        {"mark": {"type": "line", "color": BLUE, "clip": True}, "encoding": {"y": {**y, "field": "p50"}}},
        *_points({"y": {**y, "field": "p50"}, "tooltip": tooltip}, "isValid(datum.p50)"),
    ]
    if not any(value is not None for value in (*table["p50"], *forecast["p50"])):
        return _plot(key, title, {}, layers)  # an empty frame would say that it is 0
    if forecast["concurrency"]:
        dashed = {"type": "line", "strokeDash": DASH, "color": GREY, "clip": True}
        layers.insert(0, {"data": {"name": "forecast"}, "mark": dashed, "encoding": {"y": {**y, "field": "p50"}}})
    return _plot(key, title, {"points": table} | ({"forecast": forecast} if forecast["concurrency"] else {}), layers)


def _points(encoding: Mapping[str, Any], there: str) -> Iterator[dict[str, Any]]:
    """Filled where the cell is valid, hollow where it is not."""
    for filled, test in ((True, "datum.valid"), (False, "!datum.valid")):
        mark = {"type": "point", "filled": filled, "size": 40, "opacity": 1, "clip": False}
        color = {} if "color" in encoding else {"color": BLUE}
        yield {"transform": [{"filter": f"{there} && {test}"}], "mark": {**mark, **color}, "encoding": dict(encoding)}


def _shares(curves: Sequence[Curve]) -> Iterator[Row]:
    """Hit rates, and what failed or was cut off, in percent."""
    for key, title, of in (("cache", "Cache hit rates (%)", HIT_RATES), ("censoring", "Failed, cut off (%)", SHARES)):
        numbers = [columns()[column] for column in of]
        tables = [_long(curve.measured, numbers) for curve in curves]
        most = 100.0 if key == "cache" else max([value for table in tables for value in table["percent"]], default=1.0)
        plots = [
            _shares_plot(f"{key}-{at}", f"{title}: {curve.label}", numbers, table, most or 1.0)
            for at, (curve, table) in enumerate(zip(curves, tables, strict=True))
        ]
        hues = {number.name: (hue, dash) for number, hue, dash in zip(numbers, HUES, DASHES, strict=False)}
        yield Row(title, plots, hues)


def _long(points: Sequence[Point], numbers: Sequence[Number]) -> Columns:
    """A row for each number of each point, where it was measured."""
    table: Columns = {"what": [], "concurrency": [], "percent": [], "valid": []}
    for number in numbers:
        for point in points:
            if (value := number.shown(point.mean(number.column))) is not None:
                for name, entry in zip(table, (number.name, point.concurrency, value, point.valid), strict=True):
                    table[name].append(entry)
    return table


def _shares_plot(key: str, title: str, numbers: Sequence[Number], table: Columns, most: float) -> Plot:
    color, dash = by_hue("what", {number.name: hue for number, hue in zip(numbers, HUES, strict=False)})
    color, dash = ({**channel, "legend": None} for channel in (color, dash))
    scale = {"domain": [0, 1.06 * most], "nice": False}
    y = {"field": "percent", "type": "quantitative", "title": None, "axis": FEW_TICKS, "scale": scale}
    tooltip = [quoted("what", ""), quoted("concurrency", "concurrency", ","), quoted("percent", "%", ".3~g")]
    layers = [
        {"mark": {"type": "line", "clip": True}, "encoding": {"y": y, "color": color, "strokeDash": dash}},
        *_points({"y": y, "color": color, "tooltip": tooltip}, "true"),
    ]
    return _plot(key, title, {"points": table}, layers)


def _plot(key: str, title: str, data: Mapping[str, Columns], layers: Sequence[Mapping[str, Any]]) -> Plot:
    loads = sorted({load for table in data.values() for load in table["concurrency"]})
    return Plot(
        key=f"small-{key}",
        title=title,
        caption="Against concurrency.",
        data=data,
        small=True,
        spec={
            "height": HEIGHT,
            "layer": list(layers),
            "encoding": {"x": {"field": "concurrency", "type": "quantitative", **load_axis(loads)}},
        },
    )


def load_axis(loads: Sequence[int]) -> dict[str, Any]:
    """Concurrency by its doublings, with ticks where something was measured."""
    positive = bool(loads) and min(loads) > 0
    scale = {"type": "log", "base": 2, "nice": False, "padding": 10} if positive else {"padding": 10}
    axis = {"values": list(loads), "format": "d", "labelOverlap": True, "grid": False}
    return {"title": "concurrency", "scale": scale, "axis": axis}
