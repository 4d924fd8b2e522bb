"""Plots of how times are distributed, and of what TTFT depends on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from trie.metrics.censored import survival, trace_latency
from trie.metrics.columns import Columns, Floats
from trie.metrics.definitions import PER_REQUEST, PER_TRACE, metric_of
from trie.metrics.distributions import PrefillTimes, ecdf, new_tokens, ttft_by_new_tokens
from trie.metrics.traces import Traces
from trie.report.html.channels import by_hue, nearest_point, quoted, zoomable
from trie.report.html.plot import Plot, Values
from trie.report.html.theme import BLUE, GREEN, LOG_TICKS, PINK, SHORT_TICKS, VERMILION

POINTS = 200  # of a distribution
SCATTERED = 1500
WIDE_RATIO = 20  # between the greatest value and the least, above which an axis is logarithmic
PERCENTS = [0, 25, 50, 75, 90, 99]

KINDS = {"first request": VERMILION, "later request": BLUE}  # of a trace

Channel = Mapping[str, Any]
Series = Mapping[str, tuple[Floats, str]]  # values and colour by label
Curves = Mapping[str, tuple[Floats, Floats, str]]  # values, shares and colour by label


def ttft_distribution(columns: Columns, ttft_s: Floats) -> Plot:
    """TTFT of first requests, which have nothing cached, and of later ones.

    Args:
        columns: of the run.
        ttft_s: of each request that ended well.
    """
    first = columns["turn"][columns.outcome("ok")] == 0
    values = dict(zip(KINDS, (ttft_s[first], ttft_s[~first]), strict=True))
    return _distribution("ttft", "ttft_s", {f"{kind}s": (values[kind], color) for kind, color in KINDS.items()})


def tpot_distribution(requests: Mapping[str, Floats]) -> Plot:
    """TPOT of requests."""
    return _distribution("tpot", "tpot_s", {"requests": (requests["tpot_s"], BLUE)})


def latency_distribution(requests: Mapping[str, Floats]) -> Plot:
    """Latency of requests."""
    return _distribution("request-latency", "latency_s", {"requests": (requests["latency_s"], BLUE)})


def _distribution(key: str, metric_key: str, series: Series) -> Plot:
    """The distribution of a metric of requests, in the unit that people read."""
    metric = metric_of(f"{PER_REQUEST.key}.{metric_key}")
    factor = metric.display.factor
    curves = {label: (*ecdf(values * factor, most=POINTS), color) for label, (values, color) in series.items()}
    counts = ", ".join(f"{int(np.isfinite(values).sum()):,} {label}" for label, (values, _) in series.items())
    caption = f"Cumulative share of {counts}. At most {POINTS} quantiles of each are drawn."
    return _shares(key, metric.name, caption, curves, metric.heading)


def trace_distribution(of_traces: Mapping[str, Floats], sessions: Traces, *, wall_time_s: float) -> Plot:
    """Latency of completed traces, and with those that were cut off; the time to the final answer."""
    until_s = np.where(sessions.cancelled, wall_time_s, sessions.last_s)
    duration, surviving = survival(trace_latency(sessions, until_s))
    thin = np.unique(np.linspace(0, len(duration) - 1, min(POINTS, len(duration))).astype(np.intp))
    latency, ttfat = (metric_of(f"{PER_TRACE.key}.{key}") for key in ("latency_s", "ttfat_s"))
    curves = {
        f"{ttfat.name}, completed": (*ecdf(of_traces["ttfat_s"], most=POINTS), GREEN),
        f"{latency.name}, completed": (*ecdf(of_traces["latency_s"], most=POINTS), BLUE),
        f"{latency.name}, Kaplan-Meier": (duration[thin], 1.0 - surviving[thin], PINK),
    }
    caption = (
        f"{int(sessions.completed.sum()):,} completed traces; Kaplan-Meier counts in the "
        f"{int((~sessions.completed).sum()):,} that were cut off or failed, as lasting at least until then."
    )
    title = "Trace latency and time to the final answer's first token"
    return _shares("trace-latency", title, caption, curves, f"time ({latency.display.unit})")


def _shares(key: str, title: str, caption: str, curves: Curves, unit: str) -> Plot:
    curves = {label: curve for label, curve in curves.items() if len(curve[0])}
    values = np.concatenate([values for values, _, _ in curves.values()]) if curves else np.empty(0)
    data: dict[str, Values] = {
        "series": [label for label, (values, _, _) in curves.items() for _ in values],
        "value": values,
        "share": 100.0 * np.concatenate([shares for _, shares, _ in curves.values()]) if curves else values,
    }
    x = zoomable("x", field="value", type="quantitative", title=unit, **magnitude(values))
    y = {
        "field": "share",
        "type": "quantitative",
        "title": "at most (%)",
        "scale": {"domain": [0, 101]},
        "axis": {"values": PERCENTS},
    }
    color, dash = by_hue("series", {label: color for label, (_, _, color) in curves.items()})
    tooltip = [quoted("series", ""), quoted("value", unit, ",.4~g"), quoted("share", "at most (%)", ".1f")]
    lines = {
        "mark": {"type": "line", "interpolate": "step-after", "clip": True},
        "encoding": {"x": x, "y": y, "color": color, "strokeDash": dash, "order": {"field": "share"}},
    }
    return Plot(
        key=key,
        title=title,
        caption=caption,
        data={"rows": data},
        labels={"series": "Of", "value": unit, "share": "At most (%)"},
        spec={"layer": [lines, nearest_point(x, y, color, tooltip)]},
    )


def ttft_against_new_tokens(columns: Columns) -> Plot:
    """New prompt tokens against TTFT: points for a sample, for first and later requests a line each for all."""
    metric = metric_of(f"{PER_REQUEST.key}.ttft_s")
    factor, heading = metric.display.factor, f"TTFT ({metric.display.unit})"
    times = ttft_by_new_tokens(columns, most=SCATTERED)
    rows = times.sample
    new, ttft = new_tokens(columns)[rows], (columns["first_token_s"][rows] - columns["sent_s"][rows]) * factor
    x = zoomable("x", field="new", type="quantitative", title="new prompt tokens", **magnitude(new, SHORT_TICKS))
    y = zoomable("y", field="ttft", type="quantitative", title=heading, **magnitude(ttft))
    some = len(rows) < times.requests
    drawn = f"{len(rows):,} of {times.requests:,} requests, drawn evenly at random" if some else "All requests"
    kind = np.where(columns["turn"][rows] == 0, *KINDS).tolist()
    labels = {
        "new": "New prompt tokens",
        "ttft": heading,
        "kind": "Request",
        "low": "New tokens from",
        "high": "to",
        "p50": f"TTFT p50 ({metric.display.unit})",
        "p90": f"TTFT p90 ({metric.display.unit})",
        "requests": "Requests",
    }
    return Plot(
        key="ttft-by-new-tokens",
        title="TTFT against new prompt tokens",
        caption=f"{drawn}. New tokens are those that nothing before in the trace had sent or received. Lines are p50 "
        "of all first and of all later requests, bands reach to p90, in bins of equal ratio.",
        data={"rows": {"new": new, "ttft": ttft, "kind": kind}, "trend": _trends(times, factor)},
        labels=labels,
        spec={"layer": [_scatter(x, y, heading), *_trend_lines(x, y, heading)]},
    )


def _trends(times: PrefillTimes, factor: float) -> dict[str, Values]:
    """Both trends in one table."""
    parts: list[dict[str, Any]] = [
        {
            "kind": [kind] * len(trend.count),
            "new": np.sqrt(trend.low * trend.high),
            "low": trend.low,
            "high": trend.high,
            "p50": trend.p50_s * factor,
            "p90": trend.p90_s * factor,
            "requests": trend.count,
        }
        for kind, trend in zip(KINDS, (times.first, times.later), strict=True)
    ]
    kinds = [kind for part in parts for kind in part["kind"]]
    joined: dict[str, Values] = {
        name: np.concatenate([part[name] for part in parts]) for name in parts[0] if name != "kind"
    }
    return {"kind": kinds, **joined}


def _scatter(x: Channel, y: Channel, ttft: str) -> dict[str, Any]:
    kind = {"field": "kind", "type": "nominal", "legend": {"symbolOpacity": 1}}
    color = {**kind, "scale": {"domain": list(KINDS), "range": list(KINDS.values())}}
    shape = {**kind, "scale": {"domain": list(KINDS), "range": ["diamond", "circle"]}}
    tooltip = [quoted("kind", ""), quoted("new", "new tokens", ","), quoted("ttft", ttft, ".4~g")]
    return {
        "mark": {"type": "point", "clip": True, "size": 18, "opacity": 0.3},
        "encoding": {"x": x, "y": y, "color": color, "shape": shape, "tooltip": tooltip},
    }


def _trend_lines(x: Channel, y: Channel, ttft: str) -> Iterator[dict[str, Any]]:
    color, dash = by_hue("kind", KINDS)
    encoding = {"x": x, "y": {**y, "field": "p50"}, "color": color}
    yield {
        "data": {"name": "trend"},
        "transform": [{"filter": "datum.p50 != null && datum.p90 != null"}],
        "mark": {"type": "area", "clip": True, "opacity": 0.18},
        "encoding": {**encoding, "y2": {"field": "p90"}},
    }
    tooltip = [
        quoted("kind", ""),
        quoted("low", "new tokens from", ",.0f"),
        quoted("high", "to", ",.0f"),
        quoted("p50", f"{ttft} p50", ",.4~g"),
        quoted("p90", f"{ttft} p90", ",.4~g"),
        quoted("requests", "requests", ","),
    ]
    yield {
        "data": {"name": "trend"},
        "transform": [{"filter": "datum.p50 != null"}],
        "mark": {"type": "line", "clip": True, "strokeWidth": 2.4, "point": {"size": 28, "opacity": 1}},
        "encoding": {**encoding, "strokeDash": dash, "tooltip": tooltip},
    }


def magnitude(values: Floats, ticks: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """Scale and axis: logarithmic where values span orders of magnitude, else linear from 0."""
    measured = values[np.isfinite(values)]
    if len(measured) and measured.min() > 0 and measured.max() / measured.min() > WIDE_RATIO:
        return {"scale": {"type": "log", "nice": False, "padding": 6}, "axis": {**LOG_TICKS, **ticks}}
    most = float(measured.max()) if len(measured) else 1.0
    return {"scale": {"domain": [0, 1.02 * most], "nice": False}, "axis": dict(ticks)}
