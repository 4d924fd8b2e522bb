"""The plots of a comparison's page: changes, all runs over each other, and numbers over the load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from trie.compare.comparison import Comparison, Pair
from trie.compare.differences import Difference
from trie.compare.format import WORDS, title_of_number
from trie.compare.runs import Run
from trie.metrics import definitions
from trie.metrics.columns import Floats
from trie.metrics.definitions import Metric, Number
from trie.metrics.shown_numbers import too_few
from trie.report.html.channels import quoted, zoomable
from trie.report.html.plot import Plot
from trie.report.html.theme import GREEN, GREY, PINK, SHAPES, VERMILION
from trie.report.latency_plots import magnitude
from trie.report.pareto import IN_TOTAL, PER_GPU, Curve, Measured, in_turn, pareto_plot, told_apart

COLOURS = {"better": GREEN, "worse": VERMILION, None: GREY}  # by whom a difference speaks for
SHARES = np.linspace(0.0, 1.0, 201)  # of a distribution's curve
PERCENTS = [0, 25, 50, 75, 90, 99]
Row = tuple[str, Pair, Difference]  # name of a cell, its pair, one number of it
Names = Mapping[str, str]  # of the runs, by label


def forest(heads: Sequence[tuple[Pair, Sequence[Difference]]], names: Names) -> Plot:
    """Relative changes of all candidates with their intervals, one line each."""
    rows = [(names[pair.candidate.label], row) for pair, of in heads for row in of if row.relative is not None]
    data: dict[str, Sequence[Any]] = {
        "metric": [title_of_number(row) for _, row in rows],
        "candidate": [name for name, _ in rows],
        "change": [_percent(row.relative) for _, row in rows],
        "low": [_percent(row.relative_low) for _, row in rows],
        "high": [_percent(row.relative_high) for _, row in rows],
        "verdict": [word_of(row) for _, row in rows],
    }
    colors = {word_of(row): PINK if row.verdict == "differs" else COLOURS[row.speaks_for] for _, row in rows}
    metrics, candidates = list(dict.fromkeys(data["metric"])), list(dict.fromkeys(data["candidate"]))
    return Plot(
        key="changes",
        title="Changes from the baseline",
        caption="Relative change of each headline number with its interval; the line at 0 is no change. Coloured: "
        "the interval leaves out 0; the legend says in whose favour"
        + ("; the shape says which candidate it is." if len(candidates) > 1 else "."),
        spec={
            "height": max(30, 14 * len(candidates) + 14) * len(metrics),
            "layer": list(_intervals(metrics, candidates, colors)),
        },
        data={"rows": data},
        labels={
            "metric": "Metric",
            "candidate": "Candidate",
            "change": "Change (%)",
            "low": "Low (%)",
            "high": "High (%)",
            "verdict": "Verdict",
        },
        wide=True,
    )


def word_of(difference: Difference) -> str:
    """The verdict, and for whom it speaks where the word does not tell."""
    word = WORDS[difference.verdict] or "no interval"
    return f"{word} ({difference.speaks_for})" if word in ("higher", "lower") and difference.speaks_for else word


def _intervals(
    metrics: Sequence[str], candidates: Sequence[str], colors: Mapping[str, str]
) -> Iterator[dict[str, Any]]:  # fmt: skip
    y = {"field": "metric", "type": "nominal", "title": None, "sort": list(metrics), "axis": {"labelLimit": 260}}
    color = {"field": "verdict", "type": "nominal", "scale": {"domain": list(colors), "range": list(colors.values())}}
    several = len(candidates) > 1
    offset = {"yOffset": {"field": "candidate", "type": "nominal", "sort": list(candidates)}} if several else {}
    shapes = [SHAPES[at % len(SHAPES)] for at in range(len(candidates))]
    shape = {"field": "candidate", "type": "nominal", "scale": {"domain": list(candidates), "range": shapes}}
    where = {"y": y, **offset, "color": color}
    tooltip = [
        quoted("candidate", "candidate"),
        quoted("metric", "metric"),
        quoted("change", "change (%)", "+.2f"),
        quoted("low", "from (%)", "+.2f"),
        quoted("high", "to (%)", "+.2f"),
        quoted("verdict", "verdict"),
    ]
    x = {"type": "quantitative", "title": "change (%)"}
    yield {"mark": {"type": "rule"}, "encoding": {"x": {"datum": 0}}}
    yield {
        "mark": {"type": "rule", "strokeWidth": 3},
        "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}, **where, "tooltip": tooltip},
    }
    yield {
        "mark": {"type": "point", "size": 70, "filled": True, "opacity": 1},
        "encoding": {
            "x": {**x, "field": "change"},
            **where,
            "tooltip": tooltip,
            **({"shape": shape} if several else {}),
        },
    }


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def over_time(runs: Sequence[tuple[str, Run]]) -> Plot:
    """Completion throughput of all runs over each other."""
    courses = [(name, run.course) for name, run in runs if run.course is not None and len(run.course[0])]
    data: dict[str, Sequence[Any]] = {
        "run": [name for name, (at, _) in courses for _ in at],
        "t_s": [float(value) for _, (at, _) in courses for value in at],
        "rate": [float(value) for _, (_, rate) in courses for value in rate],
    }
    told = told_apart([(name, *in_turn(at)) for at, (name, _) in enumerate(runs)], "run")
    x = zoomable("x", field="t_s", type="quantitative", title="time (s)", scale={"nice": False, "zero": True})
    y = {"field": "rate", "type": "quantitative", "title": "completion tok/s", "scale": {"domainMin": 0}}
    return Plot(
        key="throughput",
        title="Completion throughput",
        caption="Completion tokens per second of completed requests, of all GPUs together, as they came.",
        spec={
            "mark": {"type": "line", "interpolate": "step", "clip": True, "tooltip": True},
            "encoding": {
                "x": x,
                "y": y,
                "color": told["color"],
                "strokeDash": told["strokeDash"],
            },
        },
        data={"rows": data},
        labels={"run": "Run", "t_s": "Time (s)", "rate": "completion tok/s"},
    )


def distributions(runs: Sequence[tuple[str, Run]]) -> Iterator[Plot]:
    """Distributions of all runs, each as 201 points of its quantile function."""
    for metric in (metric for metric in definitions.METRICS if metric.headline.curve):
        lines = {name: _values(run, metric) for name, run in runs}
        measured = {name: values for name, values in lines.items() if len(values)}
        if len(measured) > 1:
            yield _distribution(metric, measured, [name for name, _ in runs])


def _distribution(metric: Metric, lines: Mapping[str, Floats], every: Sequence[str]) -> Plot:
    data: dict[str, Sequence[Any]] = {
        "run": [name for name in lines for _ in SHARES],
        "value": [float(value) for values in lines.values() for value in np.quantile(values, SHARES)],
        "share": [round(100 * float(share), 1) for _ in lines for share in SHARES],
    }
    of, key = metric.section.over, metric.key.replace("_", "-")
    told = told_apart([(name, *in_turn(at)) for at, name in enumerate(every)], "run")
    axis = magnitude(np.array(data["value"]))
    share = {"field": "share", "type": "quantitative", "title": f"share of {of} (%)"}
    return Plot(
        key=f"request-{key}" if metric.section is definitions.PER_REQUEST else key,
        title=metric.name,
        caption=f"Share of the {of} at or below a value, as 201 quantiles of each run.",
        spec={
            "mark": {"type": "line", "clip": True, "tooltip": True},
            "encoding": {
                "x": zoomable("x", field="value", type="quantitative", title=metric.heading, **axis),
                "y": {**share, "scale": {"domain": [0, 101]}, "axis": {"values": PERCENTS}},
                "color": told["color"],
                "strokeDash": told["strokeDash"],
                "order": {"field": "share"},
            },
        },
        data={"rows": data},
        labels={"run": "Run", "value": metric.heading, "share": "Share (%)"},
    )


def _values(run: Run, metric: Metric) -> Floats:
    """The values of a metric, in the unit that people read."""
    return np.empty(0) if run.units is None else run.units.samples[metric.path].values * metric.display.factor


def hero(comparison: Comparison, names: Names) -> Plot:
    """Throughput against what one user gets, of all runs; those of one input share a hue."""
    runs = {run.path: run for pair in comparison.pairs for side in (pair.baseline, pair.candidate) for run in side.runs}
    workloads = list(dict.fromkeys(run.manifest.workload.name for run in runs.values()))
    numbers = list(definitions.numbers())
    points: dict[tuple[str, str], list[Measured]] = {}
    for run in runs.values():
        points.setdefault((run.label, run.manifest.workload.name), []).append(_point(run, numbers))
    labels = list(names)
    curves = [
        Curve(
            f"{names[label]}: {workload}" if len(workloads) > 1 else names[label],
            sorted(several, key=lambda point: point.concurrency),
            labels.index(label),
            workloads.index(workload) if len(workloads) > 1 else labels.index(label),
        )
        for (label, workload), several in points.items()
    ]
    every = [point for curve in curves for point in curve.points]
    per_gpu = all(point.values.get(PER_GPU) is not None for point in every)
    return pareto_plot(curves, PER_GPU if per_gpu else IN_TOTAL, "run" if len(workloads) == 1 else "workload")


def _point(run: Run, numbers: Sequence[Number]) -> Measured:
    few = list(too_few(run.numbers))
    errors = [check.line for check in run.summary.verdict if check.level == "error" and not check.ok]
    return Measured(
        concurrency=run.manifest.settings.concurrency.value,
        traces=run.summary.traces["completed"],
        values={number.column: run.numbers.get(number.key) for number in numbers},
        few={number.column: int(run.numbers.get(f"{number.metric.path}.n") or 0) for number in few},
        invalid=errors[0] if errors else "",
    )


def over_load(key: str, rows: Sequence[Row], names: Names) -> Plot:
    """A number against concurrency, one line for each run and workload."""
    description = rows[0][2].of
    points = {
        (names[run.label], run.manifest.workload.name, run.manifest.settings.concurrency.value, value)
        for _, pair, difference in rows
        for run, value in (
            (pair.baseline, description.shown(difference.baseline)),
            (pair.candidate, description.shown(difference.candidate)),
        )
    }
    ordered = sorted(points, key=lambda point: (point[:3], point[3] or 0.0))
    columns = zip(*ordered, strict=True)
    data: dict[str, Sequence[Any]] = dict(zip(("run", "workload", "concurrency", "value"), columns, strict=True))
    title = title_of_number(rows[0][2])
    loads = {"axis": {"values": sorted(set(data["concurrency"])), "format": "d", "labelOverlap": True}}
    scale = {"type": "log", "base": 2, "nice": False, "padding": 12}
    told = told_apart([(name, *in_turn(at)) for at, name in enumerate(names.values())], "run")
    return Plot(
        key=key.replace("_", "-").replace(".", "-"),
        title=title,
        caption="Against concurrency, one line for each run and workload.",
        spec={
            "mark": {"type": "line", "point": {"size": 40}, "tooltip": True},
            "encoding": {
                "x": {**loads, "field": "concurrency", "type": "quantitative", "title": "concurrency", "scale": scale},
                "y": {"field": "value", "type": "quantitative", "title": title, "scale": {"domainMin": 0}},
                "color": told["color"],
                "strokeDash": {"field": "workload", "type": "nominal"},
            },
        },
        data={"rows": data},
        labels={"run": "Run", "workload": "Workload", "concurrency": "Concurrency", "value": title},
    )
