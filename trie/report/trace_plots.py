"""Plots of what happens within traces: cache hits by turn, and the timeline by slot."""

from __future__ import annotations

from typing import Any

import numpy as np

from trie.metrics.columns import Columns
from trie.metrics.distributions import cache_by_turn, prompt_tokens
from trie.metrics.series import PHASES, Timeline
from trie.report.html.channels import by_hue, quoted, zoomable
from trie.report.html.plot import Plot
from trie.report.html.theme import BLUE, GREEN, PALE, VERMILION
from trie.report.time_plots import GROUP

INK = "#14181f"
BAR_TOOLTIP: tuple[tuple[str, str, str | None], ...] = (
    ("phase", "", None),
    ("session", "session", "d"),
    ("turn", "turn", "d"),
    ("outcome", "outcome", None),
    ("start_s", "from (s)", ",.3f"),
    ("end_s", "to (s)", ",.3f"),
    ("prompt", "prompt (tokens)", ","),
    ("completion", "completion (tokens)", ","),
)


def cache_hits_by_turn(columns: Columns) -> Plot:
    """Cache hit rates over the turns of a trace."""
    hits = cache_by_turn(columns)
    of_all, of_eligible = "of the prompt", "of the eligible (sent or received before)"
    turn = {"field": "turn", "type": "quantitative", "title": "turn (0: first request)", "axis": {"tickMinStep": 1}}
    color, dash = by_hue("series", {of_all: BLUE, of_eligible: GREEN})
    return Plot(
        key="cache-by-turn",
        title="Cache hits by turn",
        caption="Cached tokens that the server reports, over all requests of a turn that ended well; late turns have "
        "few requests.",
        data={
            "rows": {
                "turn": hits.turn,
                "hit_pct": hits.hit_pct,
                "eligible_pct": hits.eligible_pct,
                "requests": hits.requests,
            }
        },
        labels={
            "turn": "Turn",
            "hit_pct": "Of the prompt (%)",
            "eligible_pct": "Of the eligible (%)",
            "requests": "Requests",
        },
        spec={
            "transform": [
                {"fold": ["hit_pct", "eligible_pct"], "as": ["key", "value"]},
                {"filter": "datum.value != null"},
                {"calculate": f"datum.key == 'hit_pct' ? '{of_all}' : '{of_eligible}'", "as": "series"},
            ],
            "mark": {"type": "line", "clip": True, "point": {"size": 22}},
            "encoding": {
                "x": zoomable("x", **turn, scale={"nice": False, "domainMin": 0}),
                "y": {
                    "field": "value",
                    "type": "quantitative",
                    "title": "cached tokens (%)",
                    "scale": {"domain": [0, 102]},
                    "axis": {"values": [0, 25, 50, 75, 100]},
                },
                "color": color,
                "strokeDash": dash,
                "tooltip": [
                    quoted("series", ""),
                    quoted("turn", "turn", ","),
                    quoted("value", "cached (%)", ".2f"),
                    quoted("requests", "requests", ","),
                ],
            },
        },
    )


def traces_by_slot(columns: Columns, timeline: Timeline) -> Plot:
    """The traces of each slot as bars of prefill, decode and tool wait."""
    window = {"nice": False, "domain": [timeline.since_s, timeline.until_s]}
    x = zoomable("x", field="start_s", type="quantitative", title="time (s)", scale=window)
    y = {
        "field": "slot",
        "type": "ordinal",
        "title": "slot",
        "axis": {"labelOverlap": True, "ticks": False},
        "scale": {"paddingInner": 0.25},
    }
    bars = {
        "mark": {"type": "rect", "clip": True},
        "encoding": {
            "x": x,
            "x2": {"field": "end_s"},
            "y": y,
            "color": {
                "field": "phase",
                "type": "nominal",
                "scale": {"domain": list(PHASES), "range": [GREEN, BLUE, PALE, VERMILION]},
                "legend": {"symbolType": "square"},
            },
            "tooltip": [quoted(*entry) for entry in BAR_TOOLTIP],
        },
    }
    starts = {
        "data": {"name": "starts"},
        "mark": {"type": "tick", "clip": True, "thickness": 2, "color": INK},
        "encoding": {
            "x": {**x, "field": "t_s"},
            "y": y,
            "tooltip": [quoted("session", "trace starts, session", "d"), quoted("t_s", "at (s)", ",.3f")],
        },
    }
    return Plot(
        key="timeline",
        title="Traces by slot",
        caption=_excerpt(timeline),
        data={"rows": _bars(columns, timeline), "starts": _starts(columns, timeline)},
        labels={
            "slot": "slot",
            **{name: label or name for name, label, _ in BAR_TOOLTIP},
            "t_s": "trace starts at (s)",
        },
        zoom_group=GROUP if timeline.whole else None,
        wide=True,
        spec={"layer": [bars, starts], "height": 40 + timeline.slots * (20 if timeline.slots <= 16 else 11)},
    )


def _excerpt(timeline: Timeline) -> str:
    bars = (
        "Each bar is a part of a request: from its send to the first token, its decode, the wait for the tool after "
        "it; a tick starts a trace."
    )
    if timeline.whole:
        return f"{bars} The whole run."
    window = f"{timeline.since_s:,.1f} s to {timeline.until_s:,.1f} s, slots 0 to {timeline.slots - 1}"
    return f"{bars} An excerpt of the run: {window}, with every request in it."


def _bars(columns: Columns, timeline: Timeline) -> dict[str, Any]:
    rows = timeline.row
    ok, failed = columns.outcome("ok")[rows], columns.outcome("failed")[rows]
    return {
        "slot": columns["slot"][rows],
        "start_s": timeline.start_s,
        "end_s": timeline.end_s,
        "phase": [PHASES[at] for at in timeline.phase],
        "session": columns["session_id"][rows],
        "turn": columns["turn"][rows],
        "outcome": np.where(ok, "ok", np.where(failed, "failed", "cancelled")).tolist(),
        "prompt": columns.each(prompt_tokens)[rows],
        "completion": columns.completion_tokens[rows],
    }


def _starts(columns: Columns, timeline: Timeline) -> dict[str, Any]:
    at = columns["queued_s"][columns.starts]
    slot = columns["slot"][columns.starts]
    shown = columns.starts[(at >= timeline.since_s) & (at < timeline.until_s) & (slot < timeline.slots)]
    return {"slot": columns["slot"][shown], "t_s": columns["queued_s"][shown], "session": columns["session_id"][shown]}
