"""How plots look: hues, dashes and shapes, axes and legends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, sans-serif"

# Hues of Okabe and Ito that colour-blind readers tell apart, and that stand out from white and from black alike; a
# second code (dash, shape, a label) goes with them. tests/report/test_palette.py computes the distances.
BLUE, VERMILION, GREEN, PINK = "#0072b2 #d55e00 #009e73 #cc79a7".split()
GREY = "#6b7280"  # for what is beside the point: limits, what was cut off
PALE = "#c3c9d1"  # for areas alone
PALETTE = (BLUE, VERMILION, GREEN, PINK)
DASHES: Sequence[Sequence[int]] = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])  # one for each hue
SHAPES = ("circle", "diamond", "square", "triangle-up")
STRENGTHS = {"p50": 1.0, "p90": 0.65, "p99": 0.4}  # of one hue: opacity of a percentile's line

_AXIS = {
    "labelColor": "#4b5563",
    "titleColor": "#374151",
    "gridColor": "#e5e7eb",
    "domainColor": "#9ca3af",
    "tickColor": "#9ca3af",
    "labelFontSize": 11,
    "titleFontSize": 12,
    "titleFontWeight": 500,
    "titlePadding": 8,
    "labelPadding": 5,
    "tickSize": 4,
}
_LEGEND = {
    "orient": "top",
    "direction": "horizontal",
    "title": None,
    "labelFontSize": 12,
    "labelColor": "#374151",
    "symbolSize": 130,
    "symbolStrokeWidth": 2.5,
    "offset": 10,
    "columnPadding": 16,
    "labelLimit": 260,
}
THEME: Mapping[str, Any] = {
    "font": FONT,
    "background": None,
    "padding": 4,
    "view": {"stroke": None},
    "axis": _AXIS,
    "axisX": {"grid": False, "tickCount": 8},
    "axisY": {"domain": False, "ticks": False, "tickCount": 6},
    "legend": _LEGEND,
    "range": {"category": list(PALETTE), "heatmap": {"scheme": "viridis"}},
    "mark": {"color": BLUE},
    "line": {"strokeWidth": 1.8, "strokeJoin": "round"},
    "area": {"line": False},
    "point": {"size": 26, "filled": True, "opacity": 0.6},
    "rule": {"color": GREY},
    "text": {"fontSize": 11, "color": GREY},
}


# Axes of tokens and of values over orders of magnitude; spread into a channel's `axis`.
SHORT_TICKS: Mapping[str, Any] = {"labelExpr": "datum.value ? replace(format(datum.value, '~s'), 'G', 'B') : '0'"}
_POWER_OF_TEN = "abs(log(datum.value) / LN10 - round(log(datum.value) / LN10)) < 1e-9"
LOG_TICKS: Mapping[str, Any] = {
    "format": "~r",
    "labelOverlap": True,
    "gridOpacity": {
        "condition": {"test": _POWER_OF_TEN, "value": 1},
        "value": 0,
    },
}
