"""Parts of Vega-Lite specs: channels that zoom, lines that a hue and a dash tell apart, and what the pointer shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from trie.report.html.theme import DASHES, GREY


def zoomable(axis: str, /, **channel: Any) -> dict[str, Any]:
    """An encoding channel ("x" or "y") that the reader of a page can zoom into; its marks should have `clip`."""
    scale = {**channel.pop("scale", {}), "domainRaw": {"expr": f"zoom_{axis}"}}
    return {**channel, "scale": scale}


def by_hue(
    field: str, colors: Mapping[str, str], *, symbol: Literal["stroke", "square"] = "stroke"
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The channels `color` and `strokeDash` of lines that a hue and a dash tell apart; one line has no legend."""
    legend: dict[str, Any] = {"legend": None if len(colors) < 2 else {"symbolType": symbol}}
    nominal = {"field": field, "type": "nominal", "title": None, **legend}
    dashes = [list(DASHES[at % len(DASHES)]) for at in range(len(colors))]
    return (
        {**nominal, "scale": {"domain": list(colors), "range": list(colors.values())}},
        {**nominal, "scale": {"domain": list(colors), "range": dashes}},
    )


def quoted(field: str, title: str, number: str | None = None) -> dict[str, Any]:
    """A line of a tooltip: a text, or a number in a format of d3."""
    kind = "nominal" if number is None else "quantitative"
    return {"field": field, "type": kind, "title": title, **({"format": number} if number else {})}


def crosshair(x: Mapping[str, Any], tooltip: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A layer that shows a line and the values at the x nearest to the pointer; its data have one row for each x."""
    return {
        "params": [{"name": "at", "select": {**_NEAREST, "fields": [x["field"]]}}],
        "mark": {"type": "rule", "clip": True, "color": GREY},
        "encoding": {"x": x, "opacity": _when_near(0.8), "tooltip": list(tooltip)},
    }


def nearest_point(
    x: Mapping[str, Any], y: Mapping[str, Any], color: Mapping[str, Any], tooltip: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """A layer that shows a dot and the values at the point nearest to the pointer."""
    return {
        "params": [{"name": "at", "select": {**_NEAREST, "encodings": ["x", "y"]}}],
        "mark": {"type": "point", "clip": True, "size": 60, "opacity": 1},
        "encoding": {"x": x, "y": y, "color": color, "opacity": _when_near(1), "tooltip": list(tooltip)},
    }


_NEAREST = {"type": "point", "nearest": True, "on": "pointerover", "clear": "pointerout"}


def _when_near(opacity: float) -> dict[str, Any]:
    return {"condition": {"param": "at", "empty": False, "value": opacity}, "value": 0}
