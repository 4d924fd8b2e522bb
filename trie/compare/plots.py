"""The plots of a comparison's page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from trie.compare.comparison import Pair, Run
from trie.compare.differences import Difference
from trie.compare.format import WORDS
from trie.metrics.columns import Floats
from trie.report.html.plot import BLUE, GREY, ORANGE, PURPLE, RED, TEAL, Plot, zoomable

COLOURS = {"better": TEAL, "worse": RED, "differs": PURPLE, "within noise": GREY, "no interval": "#c3c8cf"}
CURVES = {
    "per_trace.ttft_s": "TTFT",
    "per_trace.latency_s": "Trace latency",
    "per_trace.decode_tps": "Decode TPS",
    "per_request.tpot_s": "TPOT",
}
SHARES = np.linspace(0.0, 1.0, 201)  # of a distribution's curve
Row = tuple[str, Pair, Difference]  # name of a cell, its pair, one number of it


def forest(heads: Sequence[Difference], key: str) -> Plot:
    """Relative changes with their intervals, one line each."""
    rows = [found for found in heads if found.relative is not None]
    data: dict[str, Sequence[Any]] = {
        "metric": [f"{found.of.label} {found.of.statistic}" for found in rows],
        "change": [100 * (found.relative or 0.0) for found in rows],
        "low": [None if found.relative_low is None else 100 * found.relative_low for found in rows],
        "high": [None if found.relative_high is None else 100 * found.relative_high for found in rows],
        "verdict": [WORDS[found.verdict] or "no interval" for found in rows],
    }
    shown = [word for word in COLOURS if word in data["verdict"]]
    y = {"field": "metric", "type": "nominal", "title": None, "sort": data["metric"], "axis": {"labelLimit": 260}}
    colour = {"field": "verdict", "type": "nominal", "scale": {"domain": shown, "range": [COLOURS[w] for w in shown]}}
    return Plot(
        key=f"changes-{key}",
        title="Changes from the baseline",
        caption="Relative change of each headline number with its bootstrap interval; the line at 0 is no change. "
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


def curves(pair: Pair, key: str) -> Iterator[Plot]:
    """Distributions of both runs, each as 201 points of its quantile function."""
    for metric, title in CURVES.items():
        lines = [(run.label, _values(run, metric)) for run in (pair.baseline, pair.candidate)]
        if not all(len(values) for _, values in lines):
            continue
        unit = next(found.of.unit for found in pair.differences if found.of.key.startswith(f"{metric}."))
        data: dict[str, Sequence[Any]] = {
            "run": [label for label, _ in lines for _ in SHARES],
            "value": [float(value) for _, values in lines for value in np.quantile(values, SHARES)],
            "share": [round(100 * float(share), 1) for _ in lines for share in SHARES],
        }
        of = "completed traces" if metric.startswith("per_trace") else "requests that ended well"
        yield Plot(
            key=f"{metric.partition('.')[2].replace('_', '-')}-{key}",
            title=title,
            caption=f"Share of the {of} at or below a value, as 201 quantiles of each run.",
            spec={
                "mark": {"type": "line", "clip": True, "tooltip": True},
                "encoding": {
                    "x": zoomable("x", field="value", type="quantitative", title=f"{title} ({unit})"),
                    "y": {"field": "share", "type": "quantitative", "title": f"share of {of} (%)"},
                    "color": {
                        "field": "run",
                        "type": "nominal",
                        "scale": {"domain": [label for label, _ in lines], "range": [BLUE, ORANGE]},
                    },
                },
            },
            data={"rows": data},
            labels={"run": "Run", "value": f"{title} ({unit})", "share": "Share (%)"},
        )


def _values(run: Run, metric: str) -> Floats:
    return np.empty(0) if run.units is None else run.units.samples[metric].values


def over_load(key: str, rows: Sequence[Row]) -> Plot:
    """A number against concurrency, one line for each run and workload."""
    points = {
        (run.label, run.manifest["workload"]["name"], run.manifest["config"]["concurrency"]["value"], value)
        for _, pair, found in rows
        for run, value in ((pair.baseline, found.baseline), (pair.candidate, found.candidate))
    }
    ordered = sorted(points, key=lambda point: (point[:3], point[3] or 0.0))
    columns = zip(*ordered, strict=True)
    data: dict[str, Sequence[Any]] = dict(zip(("run", "workload", "concurrency", "value"), columns, strict=True))
    of = rows[0][2].of
    title = f"{of.label} {of.statistic}"
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
