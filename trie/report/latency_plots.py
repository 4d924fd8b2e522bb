"""Plots of how times are distributed, and of what TTFT depends on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from trie.metrics.censored import survival, trace_latency
from trie.metrics.columns import Columns, Floats
from trie.metrics.definitions import PER_REQUEST, PER_TRACE, metric_of
from trie.metrics.distributions import ecdf, prompt_tokens, ttft_by_context
from trie.metrics.traces import Traces
from trie.report.html.plot import (
    BLUE,
    LOG_TICKS,
    ORANGE,
    PURPLE,
    SHORT_TICKS,
    TEAL,
    Plot,
    Values,
    nearest_point,
    quoted,
    zoomable,
)

POINTS = 200  # of a distribution
SCATTERED = 1500
WIDE_RATIO = 20  # between the greatest value and the least, above which an axis is logarithmic
PERCENTS = [0, 25, 50, 75, 90, 99]

KINDS = ("first request", "later request")
_DOTS = {"size": 24, "color": PURPLE}

Channel = Mapping[str, Any]
Series = Mapping[str, tuple[Floats, str]]  # values and colour by label
Curves = Mapping[str, tuple[Floats, Floats, str]]  # values, shares and colour by label


def distributions(
    requests: Mapping[str, Floats], of_traces: Mapping[str, Floats], sessions: Traces, *, wall_time_s: float
) -> Iterator[Plot]:
    """TTFT, TPOT, latency of requests and of traces: the share of all that took at most so long."""
    first = {"first request of a trace": (of_traces["ttft_s"], ORANGE)}
    yield _distribution("ttft", "ttft_s", {"every request": (requests["ttft_s"], BLUE), **first})
    yield _distribution("tpot", "tpot_s", {"requests": (requests["tpot_s"], BLUE)})
    yield _distribution("request-latency", "latency_s", {"requests": (requests["latency_s"], BLUE)})
    yield _traces(of_traces, sessions, wall_time_s)


def _distribution(key: str, metric_key: str, series: Series) -> Plot:
    """The distribution of a metric of requests, in the unit that people read."""
    metric = metric_of(f"{PER_REQUEST.key}.{metric_key}")
    factor = metric.display.factor
    curves = {label: (*ecdf(values * factor, most=POINTS), color) for label, (values, color) in series.items()}
    counts = ", ".join(f"{int(np.isfinite(values).sum()):,} ({label})" for label, (values, _) in series.items())
    caption = f"Share that took at most so long; thinned to {POINTS} quantiles where there are more. Of {counts}."
    return _shares(key, metric.name, caption, curves, metric.heading)


def _traces(of_traces: Mapping[str, Floats], sessions: Traces, wall_time_s: float) -> Plot:
    until_s = np.where(sessions.cancelled, wall_time_s, sessions.last_s)
    duration, surviving = survival(trace_latency(sessions, until_s))
    thin = np.unique(np.linspace(0, len(duration) - 1, min(POINTS, len(duration))).astype(np.intp))
    latency, ttfat = (metric_of(f"{PER_TRACE.key}.{key}") for key in ("latency_s", "ttfat_s"))
    curves = {
        f"{ttfat.name}, completed": (*ecdf(of_traces["ttfat_s"], most=POINTS), TEAL),
        f"{latency.name}, completed": (*ecdf(of_traces["latency_s"], most=POINTS), BLUE),
        f"{latency.name}, Kaplan-Meier": (duration[thin], 1.0 - surviving[thin], PURPLE),
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
    x = zoomable("x", field="value", type="quantitative", title=unit, **_magnitude(values))
    y = {
        "field": "share",
        "type": "quantitative",
        "title": "at most (%)",
        "scale": {"domain": [0, 100]},
        "axis": {"values": PERCENTS},
    }
    scale = {"domain": list(curves), "range": [color for _, _, color in curves.values()]}
    color = {"field": "series", "type": "nominal", "scale": scale, **({"legend": None} if len(curves) < 2 else {})}
    tooltip = [quoted("series", ""), quoted("value", unit, ",.4~g"), quoted("share", "at most (%)", ".1f")]
    lines = {
        "mark": {"type": "line", "interpolate": "step-after", "clip": True},
        "encoding": {"x": x, "y": y, "color": color, "order": {"field": "share"}},
    }
    return Plot(
        key=key,
        title=title,
        caption=caption,
        data={"rows": data},
        labels={"series": "Of", "value": unit, "share": "At most (%)"},
        spec={"layer": [lines, nearest_point(x, y, color, tooltip)]},
    )


def ttft_against_context(columns: Columns) -> Plot:
    """Context length against TTFT: points for a sample, lines for all."""
    metric = metric_of(f"{PER_REQUEST.key}.ttft_s")
    factor, unit = metric.display.factor, metric.display.unit
    trend = ttft_by_context(columns, most=SCATTERED)
    rows = trend.sample
    context, ttft = prompt_tokens(columns)[rows], (columns["first_token_s"] - columns["sent_s"])[rows] * factor
    x = zoomable("x", field="context", type="quantitative", title="prompt (tokens)", **_magnitude(context, SHORT_TICKS))
    y = zoomable("y", field="ttft", type="quantitative", title=f"TTFT ({unit})", **_magnitude(ttft))
    some = len(rows) < trend.requests
    drawn = f"{len(rows):,} of {trend.requests:,} requests, drawn evenly at random" if some else "All requests"
    kind = np.where(columns["turn"][rows] == 0, *KINDS).tolist()
    scattered: dict[str, Values] = {"context": context, "ttft": ttft, "kind": kind}
    lines: dict[str, Values] = {
        "context": np.sqrt(trend.low * trend.high),
        "low": trend.low,
        "high": trend.high,
        "p50": trend.p50_s * factor,
        "p90": trend.p90_s * factor,
        "requests": trend.count,
    }
    labels = {
        "context": "Prompt (tokens)",
        "ttft": f"TTFT ({unit})",
        "kind": "Request",
        "low": "From (tokens)",
        "high": "To (tokens)",
        "p50": f"TTFT p50 ({unit})",
        "p90": f"TTFT p90 ({unit})",
        "requests": "Requests",
    }
    return Plot(
        key="ttft-by-context",
        title="TTFT against context length",
        caption=f"{drawn}. Lines: p50 and p90 of all, in bins of equal ratio of prompt tokens.",
        data={"rows": scattered, "trend": lines},
        labels=labels,
        spec={"layer": [_scatter(x, y, labels["ttft"]), _trend(x, y, labels["ttft"])]},
    )


def _scatter(x: Channel, y: Channel, ttft: str) -> dict[str, Any]:
    color = {"field": "kind", "type": "nominal", "scale": {"domain": list(KINDS), "range": [ORANGE, BLUE]}}
    tooltip = [quoted("kind", ""), quoted("context", "prompt (tokens)", ","), quoted("ttft", ttft, ".4~g")]
    return {
        "mark": {"type": "point", "clip": True, "size": 18, "opacity": 0.45},
        "encoding": {"x": x, "y": y, "color": color, "tooltip": tooltip},
    }


def _trend(x: Channel, y: Channel, ttft: str) -> dict[str, Any]:
    dashes = {"domain": ["p50 of all", "p90 of all"], "range": [[1, 0], [5, 4]]}
    return {
        "data": {"name": "trend"},
        "transform": [
            {"fold": ["p50", "p90"], "as": ["key", "ttft"]},
            {"filter": "datum.ttft != null"},
            {"calculate": "datum.key + ' of all'", "as": "line"},
        ],
        "mark": {"type": "line", "clip": True, "color": PURPLE, "strokeWidth": 2.2, "point": _DOTS},
        "encoding": {
            "x": x,
            "y": y,
            "strokeDash": {"field": "line", "type": "nominal", "scale": dashes},
            "tooltip": [
                quoted("line", ""),
                quoted("low", "prompt from", ",.0f"),
                quoted("high", "to (tokens)", ",.0f"),
                quoted("ttft", ttft, ",.4~g"),
                quoted("requests", "requests", ","),
            ],
        },
    }


def _magnitude(values: Floats, ticks: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """Scale and axis: logarithmic where values span orders of magnitude, else linear from 0."""
    measured = values[np.isfinite(values)]
    if len(measured) and measured.min() > 0 and measured.max() / measured.min() > WIDE_RATIO:
        return {"scale": {"type": "log", "nice": False}, "axis": {**LOG_TICKS, **ticks}}
    return {"scale": {"zero": True, "nice": False}, "axis": dict(ticks)}
