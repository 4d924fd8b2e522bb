"""Plots of what happens within traces: cache hits by turn, and the timeline by slot."""

from __future__ import annotations

from typing import Any

import numpy as np

from trie.metrics.columns import Columns
from trie.metrics.distributions import cache_by_turn, prompt_tokens
from trie.metrics.series import PHASES, Timeline
from trie.report.html.plot import BLUE, ORANGE, RED, TEAL, Plot, quoted, zoomable
from trie.report.time_plots import GROUP

INK, PALE = "#14181f", "#c3c9d1"
BAR_SAYS: tuple[tuple[str, str, str | None], ...] = (
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
    found = cache_by_turn(columns)
    of_all, of_eligible = "of the prompt", "of the eligible (sent or received before)"
    turn = {"field": "turn", "type": "quantitative", "title": "turn (0: first request)", "axis": {"tickMinStep": 1}}
    color = {"field": "series", "type": "nominal", "scale": {"domain": [of_all, of_eligible], "range": [BLUE, TEAL]}}
    return Plot(
        key="cache-by-turn",
        title="Cache hits by turn",
        caption="Cached tokens that the server reports, over all requests of a turn that ended well; late turns have "
        "few requests.",
        data={
            "rows": {
                "turn": found.turn,
                "hit_pct": found.hit_pct,
                "eligible_pct": found.eligible_pct,
                "requests": found.requests,
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
                "x": zoomable("x", **turn, scale={"nice": False}),
                "y": {
                    "field": "value",
                    "type": "quantitative",
                    "title": "cached tokens (%)",
                    "scale": {"domain": [0, 100]},
                },
                "color": color,
                "tooltip": [
                    quoted("series", ""),
                    quoted("turn", "turn", ","),
                    quoted("value", "cached (%)", ".2f"),
                    quoted("requests", "requests", ","),
                ],
            },
        },
    )


def traces_by_slot(columns: Columns, found: Timeline) -> Plot:
    """The traces of each slot as bars of prefill, decode and tool wait."""
    window = {"nice": False, "domain": [found.since_s, found.until_s]}
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
                "scale": {"domain": list(PHASES), "range": [ORANGE, BLUE, PALE, RED]},
            },
            "tooltip": [quoted(*said) for said in BAR_SAYS],
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
        caption=_excerpt(found),
        data={"rows": _bars(columns, found), "starts": _starts(columns, found)},
        labels={"slot": "slot", **{said[0]: said[1] or said[0] for said in BAR_SAYS}, "t_s": "trace starts at (s)"},
        zoom_group=GROUP if found.whole else None,
        wide=True,
        spec={"layer": [bars, starts], "height": 40 + found.slots * (20 if found.slots <= 16 else 11)},
    )


def _excerpt(found: Timeline) -> str:
    said = (
        "Each bar is a part of a request: from its send to the first token, its decode, the wait for the tool after "
        "it; a tick starts a trace."
    )
    if found.whole:
        return f"{said} The whole run."
    window = f"{found.since_s:,.1f} s to {found.until_s:,.1f} s, slots 0 to {found.slots - 1}"
    return f"{said} An excerpt of the run: {window}, with every request in it."


def _bars(columns: Columns, found: Timeline) -> dict[str, Any]:
    rows = found.row
    ok, failed = columns.outcome("ok")[rows], columns.outcome("failed")[rows]
    return {
        "slot": columns["slot"][rows],
        "start_s": found.start_s,
        "end_s": found.end_s,
        "phase": [PHASES[at] for at in found.phase],
        "session": columns["session_id"][rows],
        "turn": columns["turn"][rows],
        "outcome": np.where(ok, "ok", np.where(failed, "failed", "cancelled")).tolist(),
        "prompt": prompt_tokens(columns)[rows],
        "completion": columns.completion_tokens[rows],
    }


def _starts(columns: Columns, found: Timeline) -> dict[str, Any]:
    at = columns["queued_s"][columns.starts]
    slot = columns["slot"][columns.starts]
    shown = columns.starts[(at >= found.since_s) & (at < found.until_s) & (slot < found.slots)]
    return {"slot": columns["slot"][shown], "t_s": columns["queued_s"][shown], "session": columns["session_id"][shown]}
