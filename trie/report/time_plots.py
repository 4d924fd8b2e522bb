"""Plots over a run's time, which zoom together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from trie.metrics.columns import Columns, Floats
from trie.metrics.definitions import WORKLOAD, metric_of
from trie.metrics.series import Bins, completion_rate, cumulative, lateness, open_phases
from trie.metrics.throughput import Points, Rates
from trie.metrics.traces import Traces
from trie.report.html.channels import by_hue, crosshair, quoted, zoomable
from trie.report.html.plot import Plot
from trie.report.html.theme import BLUE, GREEN, GREY, PALE, SHORT_TICKS, VERMILION
from trie.report.labels import EXPECTED
from trie.report.number_format import short

CURVE_BINS, MEAN_BINS, RATE_BINS = 240, 120, 72
GROUP = "time"
COMPLETION = metric_of(f"{WORKLOAD.key}.completion_tok_s")

OUTCOMES = {"ok": BLUE, "failed": VERMILION, "cancelled": PALE}

Window = tuple[float, float] | None


def time_plots(
    columns: Columns,
    points: Points,
    sessions: Traces,
    *,
    rates: Mapping[str, Rates],
    wall_time_s: float,
    configured: Sequence[tuple[int, Window]],
) -> Iterator[Plot]:
    """Cumulative tokens, throughput, concurrency and what the traces were doing.

    `configured` are numbers of active traces that were asked for, each with its time; none where it was none.
    """
    curve, mean, coarse = (Bins.over(wall_time_s, most=most) for most in (CURVE_BINS, MEAN_BINS, RATE_BINS))
    steady = points.steady_window()
    yield from _cumulative(points, curve, steady)
    yield _completion_rate(columns, points, coarse, steady, rates[COMPLETION.key].steady_state)
    yield _prompt_rate(points, coarse, steady)
    yield _concurrency(columns, sessions, mean, wall_time_s, configured)
    yield _phases(columns, mean, wall_time_s)


def outcomes_over_time(columns: Columns, *, wall_time_s: float) -> Plot:
    """Requests by how and when they ended."""
    bins = Bins.over(wall_time_s, most=RATE_BINS)

    def counts(block: Columns) -> Floats:
        return np.array([bins.count(block["end_s"][block.outcome(name)]) for name in OUTCOMES])

    kinds = dict(zip(OUTCOMES, columns.summed(counts), strict=True))
    data = {"from_s": bins.edges[:-1], "to_s": bins.edges[1:], **kinds}
    x = _time("from_s")
    color, _ = by_hue("outcome", OUTCOMES, symbol="square")
    return Plot(
        key="outcomes",
        title="Requests by outcome",
        caption=f"Requests that ended in each {_width(bins)}. What was in flight at the end is cancelled, not failed.",
        data={"rows": data if len(columns) else {}},
        labels={"from_s": "From (s)", "to_s": "To (s)"},
        zoom_group=GROUP,
        spec={
            "transform": [{"fold": list(kinds), "as": ["outcome", "requests"]}],
            "mark": {"type": "bar", "clip": True},
            "encoding": {
                "x": {**x, "bin": "binned"},
                "x2": {"field": "to_s"},
                "y": {
                    "field": "requests",
                    "type": "quantitative",
                    "title": f"requests / {_width(bins)}",
                    "stack": True,
                },
                "color": color,
                "tooltip": [
                    quoted("from_s", "from (s)"),
                    quoted("outcome", "outcome"),
                    quoted("requests", "requests", ","),
                ],
            },
        },
    )


def client_over_time(columns: Columns, *, wall_time_s: float) -> Plot:
    """How late the client's own event loop was."""
    bins = Bins.over(wall_time_s, most=CURVE_BINS)
    late = lateness(columns, bins) * 1e3
    measured = np.isfinite(late)
    data = {"t_s": bins.middles[measured], "late_ms": late[measured]}
    return Plot(
        key="client-lateness",
        title="Lateness of the client's event loop",
        caption=f"The worst in each {_width(bins)}, by the requests that ended in it; later reads mean later stamps.",
        data={"rows": data},
        labels={"t_s": "Time (s)", "late_ms": "Worst lateness (ms)"},
        zoom_group=GROUP,
        wide=True,
        spec={**_lines({"late_ms": ("worst lateness (ms)", BLUE)}, "worst lateness (ms)", ".2f"), "height": 160},
    )


def _cumulative(points: Points, bins: Bins, steady: Window) -> Iterator[Plot]:
    totals = cumulative(points, bins)
    prompt = {
        f"{name}_prompt_tok_s": (metric_of(f"{WORKLOAD.key}.{name}_prompt_tok_s").name, color)
        for name, color in {"total": BLUE, "cached": GREEN, "uncached": VERMILION}.items()
    }
    completion = {COMPLETION.key: (COMPLETION.name, BLUE)}
    for key, title, series, counted in (
        ("cumulative-prompt", "Cumulative prompt tokens", prompt, "by the trace's accounting"),
        ("cumulative-completion", "Cumulative completion tokens", completion, "those that came of what was asked for"),
    ):
        yield Plot(
            key=key,
            title=title,
            caption=f"Tokens of completed requests, {counted}, every {_width(bins)}. {_steady(steady)}",
            data={"rows": {"t_s": bins.edges, **{name: totals[name] for name in series}} if len(points.at) else {}},
            labels=_labels(series, "tokens"),
            zoom_group=GROUP,
            spec=_lines(series, "tokens", ",.0f", steady=steady, compact=True),
        )


def _completion_rate(columns: Columns, points: Points, bins: Bins, steady: Window, rate: float | None) -> Plot:
    ended = np.diff(cumulative(points, bins)[COMPLETION.key]) / bins.widths
    data = {"t_s": bins.middles, "came": completion_rate(columns, bins), "ended": ended}
    series = {
        "came": ("as tokens came (spread over each decode)", BLUE),
        "ended": ("as requests completed", VERMILION),
    }
    mean = "" if rate is None else f" The long dashes are the steady state, {short(rate)} {COMPLETION.display.unit}."
    spec = _lines(series, COMPLETION.heading, ",.1f", steady=steady, steps=True)
    if rate is not None and steady is not None:
        spec["layer"].insert(1, _level(rate, steady))
    return Plot(
        key="completion-throughput",
        title="Completion throughput",
        caption=f"Completion tokens per second of completed requests in each {_width(bins)}. "
        f"Shaded: steady state.{mean}",
        data={"rows": data if len(points.at) else {}},
        labels={
            "t_s": "Time (s)",
            **{name: f"{label} ({COMPLETION.display.unit})" for name, (label, _) in series.items()},
        },
        zoom_group=GROUP,
        spec=spec,
    )


def _prompt_rate(points: Points, bins: Bins, steady: Window) -> Plot:
    rates = {key: np.diff(total) / bins.widths for key, total in cumulative(points, bins).items()}
    cached, uncached = (metric_of(f"{WORKLOAD.key}.{name}_prompt_tok_s") for name in ("cached", "uncached"))
    series = {cached.key: (cached.name, GREEN), uncached.key: (uncached.name, VERMILION)}
    return Plot(
        key="prompt-throughput",
        title="Prompt throughput",
        caption=f"Prompt tokens per second of the requests that completed in each {_width(bins)}, stacked; cached are "
        f"those that earlier requests of the trace had sent or received, {EXPECTED}.",
        data={"rows": {"t_s": bins.middles, **{key: rates[key] for key in series}} if len(points.at) else {}},
        labels={
            "t_s": "Time (s)",
            **{name: f"{label} ({COMPLETION.display.unit})" for name, (label, _) in series.items()},
        },
        zoom_group=GROUP,
        spec=_lines(series, f"prompt {COMPLETION.display.unit}", ",.1f", steady=steady, stacked=True),
    )


def _concurrency(
    columns: Columns, sessions: Traces, bins: Bins, wall_time_s: float, configured: Sequence[tuple[int, Window]]
) -> Plot:
    until = np.where(sessions.cancelled, wall_time_s, sessions.last_s)
    data = {
        "t_s": bins.middles,
        "active": bins.open(sessions.began_s, until),
        "in_flight": columns.summed(lambda block: bins.spread(block["sent_s"], block["end_s"])) / bins.widths,
    }
    series = {"active": ("active traces", GREEN), "in_flight": ("requests in flight", BLUE)}
    spec = _lines(series, "traces, requests", ",.2f")
    levels = [_level(traces, window or (0.0, wall_time_s)) for traces, window in configured]
    spec["layer"][:0] = levels
    asked = (
        f"; configured are {', '.join(str(traces) for traces, _ in configured)} traces (dashed)" if configured else ""
    )
    return Plot(
        key="concurrency",
        title="Active traces and requests in flight",
        caption=f"Mean over each {_width(bins)}{asked}. An active trace "
        "without a request in flight waits for its tool.",
        data={"rows": data if len(columns) else {}},
        labels={"t_s": "Time (s)", "active": "Active traces", "in_flight": "Requests in flight"},
        zoom_group=GROUP,
        spec=spec,
    )


def _phases(columns: Columns, bins: Bins, wall_time_s: float) -> Plot:
    series = {
        "prefill": ("prefill (send to first token)", GREEN),
        "decode": ("decode", BLUE),
        "tool_wait": ("tool wait", PALE),
    }
    data = {"t_s": bins.middles, **open_phases(columns, bins, wall_time_s=wall_time_s)}
    return Plot(
        key="phases",
        title="What the traces were doing",
        caption=f"Traces in each phase, mean over each {_width(bins)}, stacked; prefill includes the server's queue.",
        data={"rows": data if len(columns) else {}},
        labels=_labels(series, "traces"),
        zoom_group=GROUP,
        wide=True,
        spec={**_lines(series, "traces", ",.2f", stacked=True), "height": 200},
    )


def _labels(series: Mapping[str, tuple[str, str]], unit: str) -> dict[str, str]:
    """The columns of series over time, for people."""
    return {"t_s": "Time (s)", **{key: f"{label} ({unit})" for key, (label, _) in series.items()}}


def _lines(
    series: Mapping[str, tuple[str, str]],
    title: str,
    number: str,
    *,
    steady: Window = None,
    stacked: bool = False,
    compact: bool = False,
    steps: bool = False,
) -> dict[str, Any]:
    """Lines or stacked areas of wide rows over `t_s`; series are label and colour by column."""
    x = _time("t_s")
    label = "{" + ", ".join(f"{key!r}: {name!r}" for key, (name, _) in series.items()) + "}[datum.key]"
    axis = SHORT_TICKS if compact else {}
    color, dash = by_hue("series", dict(series.values()), symbol="square" if stacked else "stroke")
    line = {"type": "line", "clip": True, **({"interpolate": "step"} if steps else {})}
    lines = {
        "transform": [
            {"fold": list(series), "as": ["key", "value"]},
            {"calculate": label, "as": "series"},
        ],
        "mark": {"type": "area", "clip": True, "opacity": 0.85} if stacked else line,
        "encoding": {
            "x": x,
            "y": {
                "field": "value",
                "type": "quantitative",
                "title": title,
                "axis": axis,
                "stack": "zero" if stacked else None,
                "scale": {"domainMin": 0},
            },
            "color": color,
            **({} if stacked else {"strokeDash": dash}),
        },
    }
    tooltip = [quoted("t_s", "time (s)", ",.6~g"), *(quoted(key, name, number) for key, (name, _) in series.items())]
    return {"layer": [*_shade(steady), lines, crosshair(x, tooltip)]}


def _shade(steady: Window) -> list[dict[str, Any]]:
    if steady is None:
        return []
    x = _time("since")
    return [
        {
            "data": {"values": [{"since": steady[0], "until": steady[1]}]},
            "mark": {"type": "rect", "color": GREY, "opacity": 0.13, "clip": True},
            "encoding": {"x": x, "x2": {"field": "until"}},
        }
    ]


def _level(value: float, window: tuple[float, float]) -> dict[str, Any]:
    """A dashed line at a value."""
    return {
        "data": {"values": [{"t_s": at, "level": value} for at in window]},
        "mark": {"type": "line", "strokeDash": [12, 5], "color": GREY, "strokeWidth": 1.4, "clip": True},
        "encoding": {"x": _time("t_s"), "y": {"field": "level", "type": "quantitative"}},
    }


def _time(field: str) -> dict[str, Any]:
    return zoomable("x", field=field, type="quantitative", title="time (s)", scale={"nice": False, "zero": True})


def _width(bins: Bins) -> str:
    return f"{bins.width_s:g} s"


def _steady(steady: Window) -> str:
    return "" if steady is None else f"Shaded: steady state, {steady[0]:,.1f} s to {steady[1]:,.1f} s."
