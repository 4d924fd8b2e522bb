"""Plots of how times are distributed, and of what TTFT depends on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from trie.metrics.columns import Columns, Floats
from trie.metrics.distributions import ecdf, prompt_tokens, ttft_by_context
from trie.metrics.traces import Traces, survival
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
CONTEXT_LABELS = {
    "context": "Prompt (tokens)",
    "ttft_s": "TTFT (s)",
    "kind": "Request",
    "low": "From (tokens)",
    "high": "To (tokens)",
    "p50_s": "TTFT p50 (s)",
    "p90_s": "TTFT p90 (s)",
    "requests": "Requests",
}
_DOTS = {"size": 24, "color": PURPLE}

Channel = Mapping[str, Any]
Series = Mapping[str, tuple[Floats, str]]  # values and colour by label
Curves = Mapping[str, tuple[Floats, Floats, str]]  # values, shares and colour by label


def distributions(requests: Mapping[str, Floats], sessions: Traces, *, wall_time_s: float) -> Iterator[Plot]:
    """TTFT, TPOT, latency of requests and of traces: the share of all that took at most so long."""
    yield _distribution(
        "ttft",
        "Time to first token",
        {"every request": (requests["ttft_s"], BLUE), "first request of a trace": (sessions.ttft_s, ORANGE)},
        "TTFT (s)",
    )
    yield _distribution("tpot", "Time per output token", {"requests": (requests["tpot_s"] * 1e3, BLUE)}, "TPOT (ms)")
    yield _distribution(
        "request-latency", "Request latency", {"requests": (requests["latency_s"], BLUE)}, "latency (s)"
    )
    yield _traces(sessions, wall_time_s)


def _distribution(key: str, title: str, series: Series, unit: str) -> Plot:
    curves = {label: (*ecdf(values, most=POINTS), color) for label, (values, color) in series.items()}
    counts = ", ".join(f"{int(np.isfinite(values).sum()):,} ({label})" for label, (values, _) in series.items())
    caption = f"Share that took at most so long; thinned to {POINTS} quantiles where there are more. Of {counts}."
    return _shares(key, title, caption, curves, unit)


def _traces(sessions: Traces, wall_time_s: float) -> Plot:
    lasted = np.where(sessions.cancelled, wall_time_s, sessions.last_s) - sessions.sent_s
    duration, surviving = survival(lasted, sessions.completed)
    thin = np.unique(np.linspace(0, len(duration) - 1, min(POINTS, len(duration))).astype(np.intp))
    curves = {
        "TTFAT, completed": (*ecdf(sessions.ttfat_s, most=POINTS), TEAL),
        "latency, completed": (*ecdf(sessions.latency_s, most=POINTS), BLUE),
        "latency, Kaplan-Meier": (duration[thin], 1.0 - surviving[thin], PURPLE),
    }
    caption = (
        f"{int(sessions.completed.sum()):,} completed traces; Kaplan-Meier counts in the "
        f"{int(sessions.cancelled.sum()):,} that were cut off at the end, as lasting at least until then."
    )
    return _shares(
        "trace-latency", "Trace latency and time to the final answer's first token", caption, curves, "time (s)"
    )


def _shares(key: str, title: str, caption: str, curves: Curves, unit: str) -> Plot:
    curves = {label: curve for label, curve in curves.items() if len(curve[0])}
    values = np.concatenate([found for found, _, _ in curves.values()]) if curves else np.empty(0)
    data: dict[str, Values] = {
        "series": [label for label, (found, _, _) in curves.items() for _ in found],
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
    found = ttft_by_context(columns, most=SCATTERED)
    rows = found.sample
    context, ttft = prompt_tokens(columns)[rows], (columns["first_token_s"] - columns["sent_s"])[rows]
    x = zoomable("x", field="context", type="quantitative", title="prompt (tokens)", **_magnitude(context, SHORT_TICKS))
    y = zoomable("y", field="ttft_s", type="quantitative", title="TTFT (s)", **_magnitude(ttft))
    some = len(rows) < found.requests
    drawn = f"{len(rows):,} of {found.requests:,} requests, drawn evenly at random" if some else "All requests"
    kind = np.where(columns["turn"][rows] == 0, *KINDS).tolist()
    scattered: dict[str, Values] = {"context": context, "ttft_s": ttft, "kind": kind}
    trend: dict[str, Values] = {
        "context": np.sqrt(found.low * found.high),
        "low": found.low,
        "high": found.high,
        "p50_s": found.p50_s,
        "p90_s": found.p90_s,
        "requests": found.count,
    }
    return Plot(
        key="ttft-by-context",
        title="TTFT against context length",
        caption=f"{drawn}. Lines: p50 and p90 of all, in bins of equal ratio of prompt tokens.",
        data={"rows": scattered, "trend": trend},
        labels=CONTEXT_LABELS,
        spec={"layer": [_scatter(x, y), _trend(x, y)]},
    )


def _scatter(x: Channel, y: Channel) -> dict[str, Any]:
    color = {"field": "kind", "type": "nominal", "scale": {"domain": list(KINDS), "range": [ORANGE, BLUE]}}
    tooltip = [quoted("kind", ""), quoted("context", "prompt (tokens)", ","), quoted("ttft_s", "TTFT (s)", ".4~g")]
    return {
        "mark": {"type": "point", "clip": True, "size": 18, "opacity": 0.45},
        "encoding": {"x": x, "y": y, "color": color, "tooltip": tooltip},
    }


def _trend(x: Channel, y: Channel) -> dict[str, Any]:
    dashes = {"domain": ["p50 of all", "p90 of all"], "range": [[1, 0], [5, 4]]}
    return {
        "data": {"name": "trend"},
        "transform": [
            {"fold": ["p50_s", "p90_s"], "as": ["key", "ttft_s"]},
            {"filter": "datum.ttft_s != null"},
            {"calculate": "datum.key == 'p50_s' ? 'p50 of all' : 'p90 of all'", "as": "line"},
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
                quoted("ttft_s", "TTFT (s)", ".4~g"),
                quoted("requests", "requests", ","),
            ],
        },
    }


def _magnitude(values: Floats, ticks: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """Scale and axis: logarithmic where values span orders of magnitude, else linear from 0."""
    known = values[np.isfinite(values)]
    if len(known) and known.min() > 0 and known.max() / known.min() > WIDE_RATIO:
        return {"scale": {"type": "log", "nice": False}, "axis": {**LOG_TICKS, **ticks}}
    return {"scale": {"zero": True, "nice": False}, "axis": dict(ticks)}
