"""A sweep's plots: throughput over load with its knee, what users pay for it, and what else changes with load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trie.report.plot import BLUE, GREY, RED, TEAL, Plot, zoomable
from trie.sweep.curves import PER_GPU, Curve, Point, best, knee, pareto
from trie.sweep.table import FAILED_SHARE

DECODE, TTFAT = "decode_tps_p50", "ttfat_s_p50"
REPEATED = "Points are means over repeats, bars their range. "
DASH = [5, 4]
Columns = dict[str, list[Any]]


def unit_of(column: str) -> str:
    """The unit of a headline throughput."""
    return "tok/s per GPU" if column == PER_GPU else "tok/s"


def overview(found: Sequence[Curve], column: str) -> Plot:
    """Throughput of all workloads against concurrency."""
    data: Columns = {"workload": [], "concurrency": [], "mean": [], "low": [], "high": []}
    for curve in found:
        for name, values in _spreads(curve, column).items():
            data[name] += values
        data["workload"] += [curve.label] * (len(data["mean"]) - len(data["workload"]))
    title = f"completion {unit_of(column)}"
    return Plot(
        key="throughput",
        title="Steady completion throughput against concurrency",
        caption=_conditions(found) + "After the first fifth of each run.",
        data={"means": data},
        labels={"concurrency": "Concurrency", "mean": title, "low": "lowest repeat", "high": "highest repeat"},
        wide=True,
        spec={
            "layer": [_range_bar(), {"mark": _line(), "encoding": {"y": _up("mean", title)}}],
            "encoding": {"x": _concurrency(found), "color": {"field": "workload", "type": "nominal", "title": None}},
        },
    )


def of_curve(curve: Curve, column: str, key: str) -> Iterator[Plot]:
    """The plots of one workload."""
    yield _throughput(curve, column, key)
    yield _front(curve, column, key, DECODE, "decode TPS p50 (tok/s to one user)", lower=False)
    yield _front(curve, column, key, TTFAT, "TTFAT p50 (s)", lower=True)
    yield _lines(
        curve, f"{key}-latency", "Trace latency against concurrency", unit="s", series=_percentiles("latency_s")
    )
    yield _lines(
        curve, f"{key}-ttft", "Request TTFT against concurrency", unit="s", series=_percentiles("request_ttft_s")
    )
    yield _lines(curve, f"{key}-tpot", "TPOT against concurrency", unit="s", series=_percentiles("request_tpot_s"))
    yield _lines(
        curve,
        f"{key}-cache",
        "Cache hit rates against concurrency",
        unit="%",
        series={
            "hit rate": "cache_hit_rate_pct_mean",
            "eligible hit rate": "eligible_cache_hit_rate_pct_mean",
            "eligible ceiling": "cache_eligible_ceiling_pct",
        },
        most=100.0,
    )
    yield _outcomes(curve, key)


def _throughput(curve: Curve, column: str, key: str) -> Plot:
    title = f"completion {unit_of(column)}"
    means = _spreads(curve, column)
    at = knee(curve, column)
    named: Columns = {"concurrency": [], "said": []}
    if at is not None:
        named = {"concurrency": [at.concurrency], "said": [f"knee {at.concurrency}"]}
    said = "The knee is the least concurrency with 95 % of the best throughput."
    return Plot(
        key=f"{key}-throughput",
        title="Throughput against concurrency",
        caption=_conditions([curve]) + (said if at else "No knee: throughput may rise on beyond the last point."),
        data={"means": means, "knee": named},
        labels={"concurrency": "Concurrency", "mean": title, "low": "lowest repeat", "high": "highest repeat"},
        spec={
            "layer": [
                {"data": {"name": "knee"}, "mark": {"type": "rule", "strokeDash": DASH, "color": GREY}},
                {
                    "data": {"name": "knee"},
                    "mark": {"type": "text", "align": "left", "dx": 5, "baseline": "bottom"},
                    "encoding": {"text": {"field": "said"}, "y": {"datum": 0}},
                },
                {
                    "data": {"name": "means"},
                    **_range_bar(),
                },
                {"data": {"name": "means"}, "mark": _line(color=BLUE), "encoding": {"y": _up("mean", title)}},
            ],
            "encoding": {"x": _concurrency([curve])},
        },
    )


def _front(curve: Curve, column: str, key: str, across: str, title: str, *, lower: bool) -> Plot:
    """Throughput against what one user sees; the points that none beats in both are joined and the best are named."""
    front = pareto(curve, column, across, lower=lower)
    names = _names(curve, column, across, lower=lower)
    points = [point for point in curve.measured if point.mean(column) is not None and point.mean(across) is not None]
    data: Columns = {
        "concurrency": [point.concurrency for point in points],
        "across": [point.mean(across) for point in points],
        "up": [point.mean(column) for point in points],
        "front": ["on the front" if point in front else "beaten" for point in points],
        "said": [", ".join([str(point.concurrency), *names.get(point.concurrency, ())]) for point in points],
    }
    middle = (min(data["across"], default=0.0) + max(data["across"], default=0.0)) / 2
    data["side"] = ["left" if value <= middle else "right" for value in data["across"]]  # where its label begins
    up = f"completion {unit_of(column)}"
    x = zoomable("x", field="across", type="quantitative", title=title, scale={"zero": False, "padding": 30})
    y = {"field": "up", "type": "quantitative", "title": up, "scale": {"zero": False, "padding": 18}}
    better = "Up and to the left" if lower else "Up and to the right"
    colour = {"domain": ["on the front", "beaten"], "range": [TEAL, GREY]}
    return Plot(
        key=f"{key}-{'ttfat' if lower else 'tps'}",
        title=f"Throughput against {'TTFAT' if lower else 'decode TPS'}",
        caption=f"{better} is better. Numbers are concurrencies; on the Pareto front no point beats another in both.",
        data={"points": data},
        labels={"concurrency": "Concurrency", "across": title, "up": up, "front": "Pareto front", "said": "Label"},
        spec={
            "layer": [
                {
                    "transform": [{"filter": "datum.front == 'on the front'"}],
                    "mark": {"type": "line", "color": TEAL, "strokeDash": DASH, "opacity": 0.7, "clip": True},
                    "encoding": {"order": {"field": "up", "type": "quantitative"}},
                },
                {
                    "mark": {"type": "point", "size": 75, "opacity": 1, "tooltip": True, "clip": True},
                    "encoding": {"color": {"field": "front", "type": "nominal", "title": None, "scale": colour}},
                },
                *(_label(side) for side in ("left", "right")),
            ],
            "encoding": {"x": x, "y": y},
        },
    )


def _label(side: str) -> dict[str, Any]:
    """The labels of the points in one half of a plot, which grow towards its middle."""
    return {
        "transform": [{"filter": f"datum.side == '{side}'"}],
        "mark": {"type": "text", "dy": -12, "align": side, "clip": True},
        "encoding": {"text": {"field": "said"}},
    }


def _names(curve: Curve, column: str, across: str, *, lower: bool) -> dict[int, list[str]]:
    """What the best points are called, by concurrency."""
    known = [(value, point) for point in curve.measured if (value := point.mean(across)) is not None]
    quickest = (min if lower else max)(known, key=lambda item: item[0], default=(0.0, None))[1]
    named: tuple[tuple[str, Point | None], ...] = (
        ("knee", knee(curve, column)),
        ("most throughput", best(curve, column)),
        ("soonest answer" if lower else "fastest to a user", quickest),
    )
    found: dict[int, list[str]] = {}
    for name, point in named:
        if point is not None:
            found.setdefault(point.concurrency, []).append(name)
    return found


def _lines(
    curve: Curve, key: str, title: str, *, unit: str, series: Mapping[str, str], most: float | None = None
) -> Plot:
    """Several columns of the table against concurrency."""
    data: Columns = {"series": [], "concurrency": [], "mean": [], "low": [], "high": []}
    for said, column in series.items():
        for part, values in _spreads(curve, column).items():
            data[part] += values
        data["series"] += [said] * (len(data["mean"]) - len(data["series"]))
    scale = {"domain": [0, most]} if most is not None else {"zero": True}
    y = {"field": "mean", "type": "quantitative", "title": unit, "scale": scale}
    order = list(series)
    return Plot(
        key=key,
        title=title,
        caption=_conditions([curve]) + ", ".join(order) + ".",
        data={"means": data},
        labels={"concurrency": "Concurrency", "series": "Statistic", "mean": f"mean ({unit})"},
        spec={
            "layer": [_range_bar(), {"mark": _line(), "encoding": {"y": y}}],
            "encoding": {
                "x": _concurrency([curve]),
                "color": {"field": "series", "type": "nominal", "title": None, "sort": order},
            },
        },
    )


def _outcomes(curve: Curve, key: str) -> Plot:
    """Failures and censoring, which no other plot shows."""
    names = {"requests failed": FAILED_SHARE, "traces cut off": "censoring_share"}
    data: Columns = {"what": [], "concurrency": [], "percent": []}
    for said, column in names.items():
        for point in curve.measured:
            if (value := point.mean(column)) is not None:
                data["what"].append(said)
                data["concurrency"].append(point.concurrency)
                data["percent"].append(100.0 * value)
    scale = {"domain": list(names), "range": [RED, GREY]}
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


def _percentiles(metric: str) -> dict[str, str]:
    return {name: f"{metric}_{name}" for name in ("p50", "p90", "p99")}


def _spreads(curve: Curve, column: str) -> Columns:
    """Mean, lowest and highest of a column by concurrency, where it was measured."""
    found = [(point.concurrency, spread) for point in curve.measured if (spread := point.spread(column)) is not None]
    return {
        "concurrency": [number for number, _ in found],
        "mean": [spread.mean for _, spread in found],
        "low": [spread.low for _, spread in found],
        "high": [spread.high for _, spread in found],
    }


def _conditions(found: Sequence[Curve]) -> str:
    """A caption's first words: what the bars are where cells were repeated, and which points would mislead."""
    points = [point for curve in found for point in curve.measured]
    said = REPEATED if any(len(point.done) > 1 for point in points) else ""
    invalid = sorted({point.concurrency for point in points if not point.valid})
    return said + (f"Invalid by their own verdict: {', '.join(map(str, invalid))}. " if invalid else "")


def _concurrency(found: Sequence[Curve]) -> dict[str, Any]:
    """The axis of all plots against load: ticks where something was measured."""
    numbers = sorted({point.concurrency for curve in found for point in curve.points})
    channel = zoomable("x", field="concurrency", type="quantitative", title="concurrency", scale={"zero": False})
    return {**channel, "axis": {"values": numbers, "labelOverlap": True}}


def _up(field: str, title: str) -> dict[str, Any]:
    return {"field": field, "type": "quantitative", "title": title, "scale": {"zero": True}}


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
