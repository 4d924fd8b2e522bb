"""The first plot of a sweep: throughput against what one user gets, of all workloads, with a choice of both axes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from trie.metrics.definitions import Number
from trie.report.html.plot import DASHES, PALETTE, SHAPES, Choice, Plot, quoted, zoomable
from trie.sweep.curves import PER_GPU, Curve, Point, pareto
from trie.sweep.table import columns

SPEED_FROM = "request_tpot_s_p50"  # 1 / TPOT: how fast an answer comes to one user
NAMED = 60  # points, up to which each has its concurrency beside it; of more those on a front
PROMPT = {PER_GPU: "total_prompt_tok_s_steady_state_per_gpu"}
SPEED = "speed to one user, 1 / TPOT p50 (tok/s)"
TITLE = "What the server gives against what one user gets"
Columns = dict[str, list[Any]]


@dataclass(frozen=True, slots=True)
class Axis:
    """What one axis of the plot can show."""

    label: str
    number: Number  # that it is made of
    lower: bool  # is better
    shown: Callable[[float], float]  # in the unit that people read

    @property
    def column(self) -> str:
        """Of the sweep's table."""
        return self.number.column

    @property
    def title(self) -> str:
        """The label, and which way is better."""
        return f"{self.label}, {'less' if self.lower else 'more'} is better"

    def value(self, point: Point) -> float | None:
        """That of a point, of too few values too."""
        mean = point.any_mean(self.column)
        return None if mean is None or (mean == 0 and self.column == SPEED_FROM) else self.shown(mean)


def _times(factor: float) -> Callable[[float], float]:
    return lambda value: value * factor


def _declared(label: str, column: str, *, lower: bool) -> Axis:
    number = columns()[column]
    return Axis(f"{label} ({number.display.unit})", number, lower, _times(number.display.factor))


def across_axes() -> list[Axis]:
    """What one user gets."""
    return [
        Axis(SPEED, columns()[SPEED_FROM], lower=False, shown=lambda tpot: 1.0 / tpot),
        _declared("TTFT p90 of requests", "request_ttft_s_p90", lower=True),
        _declared("TTFAT p90", "ttfat_s_p90", lower=True),
        _declared("trace latency p90", "latency_s_p90", lower=True),
    ]


def up_axes(column: str) -> list[Axis]:
    """What the server gives: `column` is the headline throughput."""
    gpus = " per GPU" if column == PER_GPU else ""
    prompt = PROMPT.get(column, "total_prompt_tok_s_steady_state")
    numbers = columns()
    return [
        Axis(f"completion tok/s{gpus}", numbers[column], lower=False, shown=_times(1.0)),
        Axis(f"prompt tok/s{gpus}", numbers[prompt], lower=False, shown=_times(1.0)),
        Axis("completed traces per hour", numbers["trace_per_s"], lower=False, shown=_times(3600.0)),
    ]


def hero(curves: Sequence[Curve], column: str) -> Plot:
    """Throughput against speed to one user; fronts are joined, what is doubtful is hollow and on no front."""
    across = [axis for axis in across_axes() if _measured(curves, axis)]
    up = [axis for axis in up_axes(column) if _measured(curves, axis)]
    if not across or not up:
        return Plot(key="hero", title=TITLE, caption="", data={}, spec={})
    data = dict(_points(curves, across, up))
    labels = {"workload": "Workload", "concurrency": "Concurrency", "doubt": "Doubt", "traces": "Completed traces"}
    labels |= {"x": "x", "y": "y", "low": "y from", "high": "y to", "front": "On the front", "name": "Name"}
    labels |= {f"x{at}": axis.label for at, axis in enumerate(across)}
    labels |= {f"y{at}": axis.label for at, axis in enumerate(up)}
    return Plot(
        key="hero",
        title=TITLE,
        caption="A point is a cell, its number the concurrency; lines join those of a workload that no other of it "
        "beats in both. Hollow points are invalid or of too few values, and on no line. Bars are the range of repeats, "
        "or of one cell its 95 % interval.",
        data={"points": data},
        labels=labels,
        wide=True,
        choices={"x": _choices(curves, across), "y": _choices(curves, up)},
        spec={
            "height": 420,
            "layer": list(_layers(curves, across, up)),
            "encoding": {
                "x": _channel("x", across[0], _domain(curves, across[0])),
                "y": _channel("y", up[0], _domain(curves, up[0])),
            },
        },
    )


def _measured(curves: Sequence[Curve], axis: Axis) -> bool:
    return any(axis.value(point) is not None for curve in curves for point in curve.measured)


def _choices(curves: Sequence[Curve], axes: Sequence[Axis]) -> list[Choice]:
    return [Choice(axis.label, axis.title, at, _domain(curves, axis)) for at, axis in enumerate(axes)]


def _domain(curves: Sequence[Curve], axis: Axis) -> tuple[float, float]:
    """From 0, unless that would leave a third of the axis empty, and with room for labels above the greatest."""
    values = [value for curve in curves for point in curve.measured if (value := axis.value(point)) is not None]
    low, high = min(values), max(values)
    least = low - 0.08 * (high - low) if low > high / 3 and high > low else 0.0
    return least, high + 0.07 * (high - least) or 1.0


def _channel(name: str, axis: Axis, domain: tuple[float, float]) -> dict[str, Any]:
    scale = {"domain": list(domain), "nice": False}
    return zoomable(name, field=name, type="quantitative", title=axis.title, scale=scale)


def _points(curves: Sequence[Curve], across: Sequence[Axis], up: Sequence[Axis]) -> Iterator[tuple[str, list[Any]]]:
    """The columns of all choices; `x`, `y`, `low`, `high`, `front` and `doubt` are those of the first."""
    points = [(curve, point) for curve in curves for point in curve.measured]
    fronts = {
        (at, to): {id(point) for curve in curves for point in _front(curve, x, y)}
        for at, x in enumerate(across)
        for to, y in enumerate(up)
    }
    table: Columns = {
        "workload": [curve.label for curve, _ in points],
        "concurrency": [point.concurrency for _, point in points],
        "traces": [point.traces for _, point in points],
    }
    for at, x in enumerate(across):
        table[f"x{at}"] = [x.value(point) for _, point in points]
    for to, y in enumerate(up):
        table[f"y{to}"] = [y.value(point) for _, point in points]
        intervals = [point.interval(y.column) for _, point in points]
        for end, name in enumerate(("low", "high")):
            table[f"{name}{to}"] = [interval and y.shown(interval[end]) for interval in intervals]
    for (at, to), front in fronts.items():
        table[f"front{at}{to}"] = [id(point) in front for _, point in points]
        table[f"doubt{at}{to}"] = [point.doubt((across[at].number, up[to].number)) for _, point in points]
    first = {"x": "x0", "y": "y0", "low": "low0", "high": "high0", "front": "front00", "doubt": "doubt00"}
    yield from {name: table[of] for name, of in first.items()}.items()
    yield from table.items()


def _front(curve: Curve, x: Axis, y: Axis) -> list[Point]:
    lower = x.lower or x.column == SPEED_FROM  # less TPOT is more speed
    return pareto(curve, y.column, x.column, lower=lower)


def by_workload(curves: Sequence[Curve]) -> dict[str, dict[str, Any]]:
    """The channels color, strokeDash and shape that tell workloads apart, the same in all plots of a page."""
    labels = [curve.label for curve in curves]
    hues = [PALETTE[at % len(PALETTE)] for at in range(len(labels))]
    turns = [(at + at // len(PALETTE)) % len(PALETTE) for at in range(len(labels))]
    legend = {"columns": 6, "symbolLimit": 60} if len(labels) > 1 else None
    nominal = {"field": "workload", "type": "nominal", "title": None, "legend": legend}
    return {
        "color": {**nominal, "scale": {"domain": labels, "range": hues}},
        "strokeDash": {**nominal, "scale": {"domain": labels, "range": [list(DASHES[turn]) for turn in turns]}},
        "shape": {**nominal, "scale": {"domain": labels, "range": [SHAPES[turn] for turn in turns]}},
    }


def _layers(curves: Sequence[Curve], across: Sequence[Axis], up: Sequence[Axis]) -> Iterator[dict[str, Any]]:
    told = by_workload(curves)
    lines = {"color": told["color"], "strokeDash": told["strokeDash"]}
    points = {"color": told["color"], "shape": told["shape"]}
    there = "isValid(datum.x) && isValid(datum.y)"
    yield {
        "transform": [{"filter": f"{there} && datum.front"}],
        "mark": {"type": "line", "clip": True, "strokeWidth": 2},
        "encoding": lines,
    }
    yield {
        "transform": [{"filter": f"{there} && isValid(datum.low)"}],
        "mark": {"type": "rule", "strokeWidth": 5, "opacity": 0.3, "clip": True},
        "encoding": {"y": {"field": "low", "type": "quantitative"}, "y2": {"field": "high"}, "color": told["color"]},
    }
    tooltip = [
        quoted("workload", "workload"),
        quoted("concurrency", "concurrency", ","),
        quoted("doubt", "doubt"),
        quoted("traces", "completed traces", ","),
        *(quoted(f"x{at}", axis.label, ",.4~g") for at, axis in enumerate(across)),
        *(quoted(f"y{at}", axis.label, ",.4~g") for at, axis in enumerate(up)),
    ]
    for filled, test in ((True, "datum.doubt == ''"), (False, "datum.doubt != ''")):
        yield {
            "transform": [{"filter": f"{there} && {test}"}],
            "mark": {"type": "point", "filled": filled, "size": 80, "opacity": 1, "strokeWidth": 1.8, "clip": True},
            "encoding": {**points, "tooltip": tooltip},
        }
    many = sum(len(curve.measured) for curve in curves) > NAMED
    yield {
        "transform": [{"filter": f"{there} && datum.front" if many else there}],
        "mark": {"type": "text", "dy": -11, "clip": True},
        "encoding": {"text": {"field": "concurrency"}},
    }
