"""The plots of a comparison's page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from trie.compare.comparison import Pair
from trie.compare.differences import Difference
from trie.compare.format import WORDS
from trie.compare.runs import Run
from trie.metrics import definitions
from trie.metrics.columns import Floats
from trie.metrics.definitions import Metric
from trie.report.html.plot import BLUE, GREEN, GREY, PINK, VERMILION, Plot, zoomable

COLOURS = {
    "better": GREEN,
    "worse": VERMILION,
    "differs": PINK,
    "higher": PINK,
    "lower": PINK,
    "equivalent": GREY,
    "within noise": GREY,
    "no interval": "#c3c8cf",
}
SHARES = np.linspace(0.0, 1.0, 201)  # of a distribution's curve
Row = tuple[str, Pair, Difference]  # name of a cell, its pair, one number of it


def forest(heads: Sequence[Difference], key: str) -> Plot:
    """Relative changes with their intervals, one line each."""
    rows = [difference for difference in heads if difference.relative is not None]
    data: dict[str, Sequence[Any]] = {
        "metric": [difference.of.titled for difference in rows],
        "change": [_percent(difference.relative) for difference in rows],
        "low": [_percent(difference.relative_low) for difference in rows],
        "high": [_percent(difference.relative_high) for difference in rows],
        "verdict": [WORDS[difference.verdict] or "no interval" for difference in rows],
    }
    shown = [word for word in COLOURS if word in data["verdict"]]
    y = {"field": "metric", "type": "nominal", "title": None, "sort": data["metric"], "axis": {"labelLimit": 260}}
    colour = {"field": "verdict", "type": "nominal", "scale": {"domain": shown, "range": [COLOURS[w] for w in shown]}}
    return Plot(
        key=f"changes-{key}",
        title="Changes from the baseline",
        caption="Relative change of each headline number with its interval; the line at 0 is no change. "
        "The colour says whether the interval leaves 0 out, and for whom that speaks.",
        spec={
            "height": 30 * len(rows),
            "layer": [
                {"mark": {"type": "rule"}, "encoding": {"x": {"datum": 0}}},
                {
                    "mark": {"type": "rule", "strokeWidth": 3, "tooltip": True},
                    "encoding": {
                        "x": {"field": "low", "type": "quantitative", "title": "change (%)"},
                        "x2": {"field": "high"},
                        "y": y,
                        "color": colour,
                    },
                },
                {
                    "mark": {"type": "point", "size": 70, "filled": True, "opacity": 1, "tooltip": True},
                    "encoding": {"x": {"field": "change", "type": "quantitative"}, "y": y, "color": colour},
                },
            ],
        },
        data={"rows": data},
        labels={"metric": "Metric", "change": "Change (%)", "low": "Low (%)", "high": "High (%)", "verdict": "Verdict"},
        wide=True,
    )


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def curves(pair: Pair, key: str) -> Iterator[Plot]:
    """Distributions of both runs, each as 201 points of its quantile function."""
    for metric in (metric for metric in definitions.METRICS if metric.headline.curve):
        lines = {run.label: _values(run, metric) for run in (pair.baseline, pair.candidate)}
        if not all(len(values) for values in lines.values()):
            continue
        data: dict[str, Sequence[Any]] = {
            "run": [label for label in lines for _ in SHARES],
            "value": [float(value) for values in lines.values() for value in np.quantile(values, SHARES)],
            "share": [round(100 * float(share), 1) for _ in lines for share in SHARES],
        }
        of = metric.section.over
        yield Plot(
            key=f"{metric.key.replace('_', '-')}-{key}",
            title=metric.name,
            caption=f"Share of the {of} at or below a value, as 201 quantiles of each run.",
            spec={
                "mark": {"type": "line", "clip": True, "tooltip": True},
                "encoding": {
                    "x": zoomable("x", field="value", type="quantitative", title=metric.heading),
                    "y": {"field": "share", "type": "quantitative", "title": f"share of {of} (%)"},
                    "color": {
                        "field": "run",
                        "type": "nominal",
                        "scale": {"domain": list(lines), "range": [BLUE, VERMILION]},
                    },
                },
            },
            data={"rows": data},
            labels={"run": "Run", "value": metric.heading, "share": "Share (%)"},
        )


def _values(run: Run, metric: Metric) -> Floats:
    """The values of a metric, in the unit that people read."""
    samples = [one.units.samples[metric.path].values for one in run.runs if one.units is not None]
    return np.concatenate(samples) * metric.display.factor if samples else np.empty(0)


def over_load(key: str, rows: Sequence[Row]) -> Plot:
    """A number against concurrency, one line for each run and workload."""
    description = rows[0][2].of
    points = {
        (run.label, run.manifest.workload.name, run.manifest.settings.concurrency.value, value)
        for _, pair, difference in rows
        for run, value in (
            (pair.baseline, description.shown(difference.baseline)),
            (pair.candidate, description.shown(difference.candidate)),
        )
    }
    ordered = sorted(points, key=lambda point: (point[:3], point[3] or 0.0))
    columns = zip(*ordered, strict=True)
    data: dict[str, Sequence[Any]] = dict(zip(("run", "workload", "concurrency", "value"), columns, strict=True))
    title = description.titled
    loads = {"axis": {"values": sorted(set(data["concurrency"])), "format": "d"}}
    return Plot(
        key=key.replace("_", "-").replace(".", "-"),
        title=title,
        caption="Against concurrency, one line for each run and workload.",
        spec={
            "mark": {"type": "line", "point": True, "tooltip": True},
            "encoding": {
                "x": {**loads, "field": "concurrency", "type": "quantitative", "title": "concurrency"},
                "y": {"field": "value", "type": "quantitative", "title": title},
                "color": {"field": "run", "type": "nominal"},
                "strokeDash": {"field": "workload", "type": "nominal"},
            },
        },
        data={"rows": data},
        labels={"run": "Run", "workload": "Workload", "concurrency": "Concurrency", "value": title},
    )
