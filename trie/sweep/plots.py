"""A sweep's plots: throughput over load with its knee, what users pay for it, and what else changes with load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trie.metrics.definitions import Number, metric_of
from trie.report.html.plot import BLUE, GREEN, GREY, VERMILION, Plot, zoomable
from trie.sweep.curves import PER_GPU, Curve, Point, best, knee, pareto
from trie.sweep.forecast import FORECAST, behind, dashed, together
from trie.sweep.table import FAILED_SHARE, columns

DECODE, TTFAT = "decode_tps_p50", "ttfat_s_p50"
HIT_RATES = ("cache_hit_rate_pct_mean", "eligible_cache_hit_rate_pct_mean", "cache_eligible_ceiling_pct")
LATENCIES = {"latency": "per_trace.latency_s", "ttft": "per_request.ttft_s", "tpot": "per_request.tpot_s"}
PERCENTILES = ("p50", "p90", "p99")
DASH = [5, 4]
PLACES = ("left above", "right above", "left below", "right below")  # of a point's label
Columns = dict[str, list[Any]]


def unit_of(column: str) -> str:
    """The unit of a headline throughput."""
    return f"{columns()[column].metric.display.unit}{' per GPU' if column == PER_GPU else ''}"


def overview(curves: Sequence[Curve], column: str) -> Plot:
    """Throughput of all workloads against concurrency."""
    data = together("workload", {curve.label: _spreads(curve.measured, column) for curve in curves})
    forecast = together("workload", {curve.label: _spreads(curve.forecast, column) for curve in curves})
    title = f"completion {unit_of(column)}"
    colour = {"field": "workload", "type": "nominal", "title": None, "sort": [curve.label for curve in curves]}
    return Plot(
        key="throughput",
        title="Steady completion throughput against concurrency",
        caption="After the first fifth of each run."
        + (" Bars are the range of the repeats." if _repeated(curves) else "")
        + (f" {FORECAST}" if forecast["mean"] else ""),
        data={"means": data, **behind(forecast)},
        labels={"concurrency": "Concurrency", "mean": title, "low": "lowest repeat", "high": "highest repeat"},
        wide=True,
        spec={
            "layer": [
                *dashed(forecast),
                {"data": {"name": "means"}, **_range_bar()},
                {"data": {"name": "means"}, "mark": _line(), "encoding": {"y": _up(data, title, forecast)}},
            ],
            "encoding": {"x": _concurrency(curves), "color": colour},
        },
    )


def of_curve(curve: Curve, column: str, key: str) -> Iterator[Plot]:
    """The plots of one workload."""
    yield _throughput(curve, column, key)
    yield _front(curve, column, key, DECODE, lower=False)
    yield _front(curve, column, key, TTFAT, lower=True)
    for name, path in LATENCIES.items():
        metric = metric_of(path)
        series = {number.statistic: number for number in metric.numbers() if number.statistic in PERCENTILES}
        yield _lines(curve, f"{key}-{name}", metric.name, series)
    hit_rates = {columns()[column].name: columns()[column] for column in HIT_RATES}
    yield _lines(curve, f"{key}-cache", "Cache hit rates", hit_rates)
    yield _outcomes(curve, key)


def _throughput(curve: Curve, column: str, key: str) -> Plot:
    title = f"completion {unit_of(column)}"
    means, forecast = _spreads(curve.measured, column), _spreads(curve.forecast, column)
    at = knee(curve, column)
    named: Columns = {"concurrency": [], "label": []}
    if at is not None:
        named = {"concurrency": [at.concurrency], "label": [f"knee {at.concurrency}"]}
    definition = "The knee is the least concurrency with 95 % of the best throughput."
    return Plot(
        key=f"{key}-throughput",
        title="Throughput against concurrency",
        caption=_conditions(curve) + (definition if at else "No knee: throughput may rise on beyond the last point."),
        data={"means": means, "knee": named, **behind(forecast)},
        labels={"concurrency": "Concurrency", "mean": title, "low": "lowest repeat", "high": "highest repeat"},
        spec={
            "layer": [
                *dashed(forecast),
                {"data": {"name": "knee"}, "mark": {"type": "rule", "strokeDash": DASH, "color": GREY}},
                {
                    "data": {"name": "knee"},
                    "mark": {"type": "text", "align": "left", "dx": 5, "baseline": "bottom"},
                    "encoding": {"text": {"field": "label"}, "y": {"datum": 0}},
                },
                {
                    "data": {"name": "means"},
                    **_range_bar(),
                },
                {"data": {"name": "means"}, "mark": _line(color=BLUE), "encoding": {"y": _up(means, title, forecast)}},
            ],
            "encoding": {"x": _concurrency([curve])},
        },
    )


def _front(curve: Curve, column: str, key: str, across: str, *, lower: bool) -> Plot:
    """Throughput against what one user sees; the points that none beats in both are joined and the best are named."""
    user = columns()[across]
    title = user.titled
    front = pareto(curve, column, across, lower=lower)
    names = _names(curve, column, across, lower=lower)
    points = [point for point in curve.measured if point.mean(column) is not None and point.mean(across) is not None]
    data: Columns = {
        "concurrency": [point.concurrency for point in points],
        "across": [user.shown(point.mean(across)) for point in points],
        "up": [point.mean(column) for point in points],
        "front": ["on the front" if point in front else "beaten" for point in points],
        "name": [", ".join([str(point.concurrency), *names.get(point.concurrency, ())]) for point in points],
    }
    data.update(_labels(data, {str(point.concurrency) for point in points if point.concurrency not in names}))
    up = f"completion {unit_of(column)}"
    x = zoomable("x", field="across", type="quantitative", title=title, scale={"zero": False, "padding": 30})
    y = {"field": "up", "type": "quantitative", "title": up, "scale": {"zero": False, "padding": 18}}
    better = "Up and to the left" if lower else "Up and to the right"
    colour = {"domain": ["on the front", "beaten"], "range": [GREEN, GREY]}
    return Plot(
        key=f"{key}-{'ttfat' if lower else 'tps'}",
        title=f"Throughput against {user.metric.name}",
        caption=f"{better} is better. Numbers are concurrencies; on the Pareto front no point beats another in both.",
        data={"points": data},
        labels={"concurrency": "Concurrency", "across": title, "up": up, "front": "Pareto front", "name": "Name"},
        spec={
            "layer": [
                {
                    "transform": [{"filter": "datum.front == 'on the front'"}],
                    "mark": {"type": "line", "color": GREEN, "strokeDash": DASH, "opacity": 0.7, "clip": True},
                    "encoding": {"order": {"field": "up", "type": "quantitative"}},
                },
                {
                    "mark": {"type": "point", "size": 75, "opacity": 1, "tooltip": True, "clip": True},
                    "encoding": {"color": {"field": "front", "type": "nominal", "title": None, "scale": colour}},
                },
                *(_label(place) for place in PLACES),
            ],
            "encoding": {"x": x, "y": y},
        },
    )


def _labels(data: Columns, plain: set[str]) -> Columns:
    """Where each point's label stands: named points first, the others where there is room left, else nowhere."""
    across, up = _shares(data["across"]), _shares(data["up"])
    placed: list[tuple[float, float]] = []
    places: dict[int, str] = {}
    for at in sorted(range(len(across)), key=lambda at: (data["name"][at] in plain, -up[at])):
        side = "left" if across[at] <= 0.5 else "right"  # where it begins: it grows towards the middle
        crowded = any(abs(across[at] - x) < 0.25 and abs(up[at] - y) < 0.07 for x, y in placed)
        if crowded and data["name"][at] in plain:
            continue
        places[at] = f"{side} below" if crowded else f"{side} above"
        placed.append((across[at], up[at]))
    return {"place": [places.get(at, "nowhere") for at in range(len(across))]}


def _shares(values: Sequence[float]) -> list[float]:
    """Values as shares of their range."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    return [(value - low) / (high - low) if high > low else 0.0 for value in values]


def _label(place: str) -> dict[str, Any]:
    """The layer of the labels of one place."""
    side, _, height = place.partition(" ")
    return {
        "transform": [{"filter": f"datum.place == '{place}'"}],
        "mark": {"type": "text", "dy": -12 if height == "above" else 15, "align": side, "clip": True},
        "encoding": {"text": {"field": "name"}},
    }


def _names(curve: Curve, column: str, across: str, *, lower: bool) -> dict[int, list[str]]:
    """What the best points are called, by concurrency."""
    measured = [(value, point) for point in curve.measured if (value := point.mean(across)) is not None]
    quickest = (min if lower else max)(measured, key=lambda item: item[0], default=(0.0, None))[1]
    named: tuple[tuple[str, Point | None], ...] = (
        ("knee", knee(curve, column)),
        ("most throughput", best(curve, column)),
        ("soonest answer" if lower else "fastest to a user", quickest),
    )
    names: dict[int, list[str]] = {}
    for name, point in named:
        if point is not None:
            names.setdefault(point.concurrency, []).append(name)
    return names


def _lines(curve: Curve, key: str, name: str, series: Mapping[str, Number]) -> Plot:
    """Numbers of one unit against concurrency, by what they are called in the legend."""
    unit = next(iter(series.values())).metric.display.unit
    data, forecast = (
        together("series", {label: _spreads(points, number.column) for label, number in series.items()})
        for points in (curve.measured, curve.forecast)
    )
    order = list(series)
    return Plot(
        key=key,
        title=f"{name} against concurrency",
        caption=_conditions(curve) + ", ".join(order) + ".",
        data={"means": data, **behind(forecast)},
        labels={"concurrency": "Concurrency", "series": "Statistic", "mean": f"mean ({unit})"},
        spec={
            "layer": [
                *dashed(forecast),
                {"data": {"name": "means"}, **_range_bar()},
                {"data": {"name": "means"}, "mark": _line(), "encoding": {"y": _up(data, unit, forecast)}},
            ],
            "encoding": {
                "x": _concurrency([curve]),
                "color": {"field": "series", "type": "nominal", "title": None, "sort": order},
            },
        },
    )


def _outcomes(curve: Curve, key: str) -> Plot:
    """Failures and censoring, which no other plot shows."""
    names = {columns()[column].name: columns()[column] for column in (FAILED_SHARE, "censoring_share")}
    data: Columns = {"what": [], "concurrency": [], "percent": []}
    for name, number in names.items():
        for point in curve.measured:
            if (value := number.shown(point.mean(number.column))) is not None:
                data["what"].append(name)
                data["concurrency"].append(point.concurrency)
                data["percent"].append(value)
    scale = {"domain": list(names), "range": [VERMILION, GREY]}
    return Plot(
        key=f"{key}-outcomes",
        title="Failures and censoring against concurrency",
        caption="Failed requests of those that ended, and traces that the deadline cut off of those that started.",
        data={"shares": data},
        labels={"concurrency": "Concurrency", "what": "Share of", "percent": "%"},
        spec={
            "mark": {"type": "bar", "tooltip": True},
            "encoding": {
                "x": {"field": "concurrency", "type": "ordinal", "title": "concurrency", "axis": {"labelAngle": 0}},
                "xOffset": {"field": "what", "sort": list(names)},
                "y": {"field": "percent", "type": "quantitative", "title": "%", "scale": {"domainMin": 0}},
                "color": {"field": "what", "type": "nominal", "title": None, "scale": scale},
            },
        },
    )


def _spreads(points: Sequence[Point], column: str) -> Columns:
    """Mean, lowest and highest of a column by concurrency, where it was measured, in the unit that people read."""
    spreads = {point.concurrency: spread for point in points if (spread := point.spread(column)) is not None}
    factor = columns()[column].metric.display.factor
    return {
        "concurrency": list(spreads),
        "mean": [spread.mean * factor for spread in spreads.values()],
        "low": [spread.low * factor for spread in spreads.values()],
        "high": [spread.high * factor for spread in spreads.values()],
    }


def _conditions(curve: Curve) -> str:
    """A caption's first words: what the bars are where cells were repeated, and which points would mislead."""
    repeats = "Points are means over repeats, bars their range. " if _repeated([curve]) else ""
    repeats += f"{FORECAST} " if curve.forecast else ""
    invalid = [str(point.concurrency) for point in curve.measured if not point.valid]
    return repeats + (f"Invalid by their own verdict: {', '.join(invalid)}. " if invalid else "")


def _repeated(curves: Sequence[Curve]) -> bool:
    return any(len(point.done) > 1 for curve in curves for point in curve.measured)


def _concurrency(curves: Sequence[Curve]) -> dict[str, Any]:
    """The axis of all plots against load: ticks where something was measured."""
    numbers = sorted({point.concurrency for curve in curves for point in (*curve.points, *curve.forecast)})
    channel = zoomable(
        "x", field="concurrency", type="quantitative", title="concurrency", scale={"zero": False, "padding": 12}
    )
    return {**channel, "axis": {"values": numbers, "labelOverlap": True}}


def _up(data: Columns, title: str, forecast: Columns) -> dict[str, Any]:
    """An axis from zero, with room above the highest point."""
    most = max([*data["high"], *forecast["high"]], default=0.0) or 1.0
    return {"field": "mean", "type": "quantitative", "title": title, "scale": {"domain": [0, 1.05 * most]}}


def _line(**more: Any) -> dict[str, Any]:
    return {"type": "line", "point": {"size": 55, "opacity": 1}, "tooltip": True, "clip": True, **more}


def _range_bar() -> dict[str, Any]:
    """From the lowest repeat to the highest."""
    return {
        "mark": {"type": "rule", "strokeWidth": 6, "clip": True},
        "encoding": {
            "y": {"field": "low", "type": "quantitative"},
            "y2": {"field": "high"},
            "strokeOpacity": {"value": 0.3},
        },
    }
