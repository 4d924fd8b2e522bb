"""Throughput against what one user gets, of several curves, with a choice of both axes: sweeps and comparisons."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from trie.metrics.definitions import Number, numbers
from trie.report.html.channels import quoted, zoomable
from trie.report.html.plot import Choice, Plot
from trie.report.html.theme import DASHES, GREY, PALETTE, SHAPES

PER_GPU, IN_TOTAL = "completion_tok_s_steady_state_per_gpu", "completion_tok_s_steady_state"
COST = "cost_traces_per_unit_of_cost_value"  # where the hour of a GPU has a price
SPEED_FROM = "request_tpot_s_p50"  # 1 / TPOT: how fast an answer comes to one user
NAMED = 60  # points, up to which each has its concurrency beside it; of more those on a front
PROMPT = {PER_GPU: "total_prompt_tok_s_steady_state_per_gpu", IN_TOTAL: "total_prompt_tok_s_steady_state"}
MET, MISSED = "met", "missed"  # limits, by a point
CROSS = "M-1,-1L1,1M1,-1L-1,1"
SPEED = "speed to one user, 1 / TPOT p50 (tok/s)"
TITLE = "What the server gives against what one user gets"
Columns = dict[str, list[Any]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A point: one load of one curve."""

    concurrency: int
    traces: int  # completed
    values: Mapping[str, float | None]  # by a sweep's column, in the unit of summary.json; of too few values too
    few: Mapping[str, int] = field(default_factory=dict)  # columns whose value is of too few, and of how many
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    invalid: str = ""  # why its verdict says that its numbers would mislead
    slo: str = ""  # whether it keeps its limits, in a word; empty where no point has any

    def doubt(self, of: Iterable[Number]) -> str:
        """Why some numbers are not to be relied on; empty where they are."""
        if self.invalid:
            return f"invalid: {self.invalid}"
        few = [number for number in of if number.column in self.few]
        return ", ".join(f"{number.name} of too few values (n = {self.few[number.column]})" for number in few)


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of one colour; those of a comparison share a hue where they are of one run."""

    label: str
    points: Sequence[Measured]
    hue: int
    dash: int


@dataclass(frozen=True, slots=True)
class Axis:
    """What one axis of the plot can show."""

    label: str
    number: Number  # that it is made of
    lower: bool  # is better
    shown: Callable[[float], float]  # in the unit that people read

    @property
    def title(self) -> str:
        """The label, and which way is better."""
        return f"{self.label}, {'less' if self.lower else 'more'} is better"

    def value(self, point: Measured) -> float | None:
        """That of a point."""
        value = point.values.get(self.number.column)
        return None if value is None or (value == 0 and self.number.column == SPEED_FROM) else self.shown(value)


def _times(factor: float) -> Callable[[float], float]:
    return lambda value: value * factor


def _across(by_column: Mapping[str, Number]) -> list[Axis]:
    """What one user gets."""

    def time(label: str, column: str) -> Axis:
        display = by_column[column].display
        return Axis(f"{label} ({display.unit})", by_column[column], lower=True, shown=_times(display.factor))

    return [
        Axis(SPEED, by_column[SPEED_FROM], lower=False, shown=lambda tpot: 1.0 / tpot),
        time("TTFT p90 of requests", "request_ttft_s_p90"),
        time("TTFAT p90", "ttfat_s_p90"),
        time("trace latency p90", "latency_s_p90"),
    ]


def _up(by_column: Mapping[str, Number], column: str) -> list[Axis]:
    """What the server gives: `column` is the headline throughput."""
    gpus = " per GPU" if column == PER_GPU else ""
    cost = [by_column[name] for name in (COST,) if name in by_column]
    return [
        Axis(f"completion tok/s{gpus}", by_column[column], lower=False, shown=_times(1.0)),
        Axis(f"prompt tok/s{gpus}", by_column[PROMPT[column]], lower=False, shown=_times(1.0)),
        Axis("completed traces per hour", by_column["trace_per_s"], lower=False, shown=_times(3600.0)),
        *(Axis("traces per unit of cost", number, lower=False, shown=_times(1.0)) for number in cost),
    ]


def pareto_plot(curves: Sequence[Curve], column: str, one: str = "workload", limits: str = "") -> Plot:
    """Fronts are joined; what is doubtful is hollow and on no front, nor is what does not surely keep its limits.

    Args:
        curves: with at least one point each.
        column: of the headline throughput.
        one: what a curve is of.
        limits: that points keep or miss, as people type them; empty: there are none.
    """
    by_column = {number.column: number for number in numbers()}
    across = [axis for axis in _across(by_column) if _has(curves, axis)]
    up = [axis for axis in _up(by_column, column) if _has(curves, axis)]
    if not across or not up:
        return Plot(key="hero", title=TITLE, caption="", data={}, spec={})
    labels = {"curve": one.capitalize(), "concurrency": "Concurrency", "doubt": "Doubt", "traces": "Completed traces"}
    labels |= {"slo": "SLO"} if limits else {}
    labels |= {"x": "x", "y": "y", "low": "y from", "high": "y to", "front": "On the front"}
    labels |= {f"x{at}": axis.label for at, axis in enumerate(across)}
    labels |= {f"y{at}": axis.label for at, axis in enumerate(up)}
    return Plot(
        key="hero",
        title=TITLE,
        caption=_caption(one, limits),
        data={"points": dict(_table(curves, across, up))},
        labels=labels,
        wide=True,
        choices={"x": _choices(curves, across), "y": _choices(curves, up)},
        spec={
            "height": 420,
            "layer": list(_layers(curves, across, up, one)),
            "encoding": {
                "x": _channel("x", across[0], _domain(curves, across[0])),
                "y": _channel("y", up[0], _domain(curves, up[0])),
            },
        },
    )


def _caption(one: str, limits: str) -> str:
    of = f"of a {one} that surely meet its limits ({limits}) and" if limits else f"of a {one}"
    marks = " A cross misses them, ? is not sure." if limits else ""
    return (
        f"A point is a cell, its number the concurrency; lines join those {of} that no other beats in both.{marks} "
        "Hollow points are invalid or of too few values, and on no line. Bars are the range of repeats, or of one cell "
        "its 95 % interval."
    )


def _choices(curves: Sequence[Curve], axes: Sequence[Axis]) -> list[Choice]:
    return [Choice(axis.label, axis.title, at, _domain(curves, axis)) for at, axis in enumerate(axes)]


def _domain(curves: Sequence[Curve], axis: Axis) -> tuple[float, float]:
    """From 0, unless that would leave a third of the axis empty, and with room for labels above the greatest."""
    values = [value for curve in curves for point in curve.points if (value := axis.value(point)) is not None]
    low, high = min(values), max(values)
    least = low - 0.08 * (high - low) if low > high / 3 and high > low else 0.0
    return least, high + 0.07 * (high - least) or 1.0


def _channel(name: str, axis: Axis, domain: tuple[float, float]) -> dict[str, Any]:
    scale = {"domain": list(domain), "nice": False}
    return zoomable(name, field=name, type="quantitative", title=axis.title, scale=scale)


def _has(curves: Sequence[Curve], axis: Axis) -> bool:
    return any(axis.value(point) is not None for curve in curves for point in curve.points)


def _table(curves: Sequence[Curve], across: Sequence[Axis], up: Sequence[Axis]) -> Iterator[tuple[str, list[Any]]]:
    """The columns of all choices; `x`, `y`, `low`, `high`, `front` and `doubt` are those of the first."""
    points = [(curve, point) for curve in curves for point in curve.points]
    table: Columns = {
        "curve": [curve.label for curve, _ in points],
        "concurrency": [point.concurrency for _, point in points],
        "traces": [point.traces for _, point in points],
        "slo": [point.slo for _, point in points],
    }
    for at, x in enumerate(across):
        table[f"x{at}"] = [x.value(point) for _, point in points]
    for to, y in enumerate(up):
        table[f"y{to}"] = [y.value(point) for _, point in points]
        intervals = [point.intervals.get(y.number.column) for _, point in points]
        for end, name in enumerate(("low", "high")):
            table[f"{name}{to}"] = [interval and y.shown(interval[end]) for interval in intervals]
        for at, x in enumerate(across):
            front = {id(point) for curve in curves for point in _front(curve, x, y)}
            table[f"front{at}{to}"] = [id(point) in front for _, point in points]
            table[f"doubt{at}{to}"] = [point.doubt((x.number, y.number)) for _, point in points]
    first = {"x": "x0", "y": "y0", "low": "low0", "high": "high0", "front": "front00", "doubt": "doubt00"}
    yield from {name: table[of] for name, of in first.items()}.items()
    yield from table.items()


def _front(curve: Curve, x: Axis, y: Axis) -> list[Measured]:
    """The points of a curve that none of its own beats in both axes, of those beyond doubt that miss no limit."""
    both = [
        (rise, (-1.0 if x.lower else 1.0) * over, point)
        for point in curve.points
        if not point.doubt((x.number, y.number))
        and point.slo in ("", MET)
        and (rise := y.value(point)) is not None
        and (over := x.value(point)) is not None
    ]
    return unbeaten(both)


def unbeaten(points: Iterable[tuple[float, float, T]]) -> list[T]:
    """Those that none beats in both of two figures, more of which is better; the highest of the first come first."""
    front: list[T] = []
    bar = float("-inf")
    for _, over, point in sorted(points, key=lambda item: item[:2], reverse=True):
        if over > bar:
            front.append(point)
            bar = over
    return front


def told_apart(curves: Sequence[tuple[str, int, int]], name: str) -> dict[str, dict[str, Any]]:
    """The channels color, strokeDash and shape by label, hue and dash, the same in all plots of a page."""
    labels = [label for label, _, _ in curves]
    legend = {"columns": 6, "symbolLimit": 60} if len(labels) > 1 else None
    nominal = {"field": name, "type": "nominal", "title": None, "legend": legend}
    hues = [PALETTE[hue % len(PALETTE)] for _, hue, _ in curves]
    dashes = [list(DASHES[dash % len(DASHES)]) for _, _, dash in curves]
    shapes = [SHAPES[dash % len(SHAPES)] for _, _, dash in curves]
    return {
        "color": {**nominal, "scale": {"domain": labels, "range": hues}},
        "strokeDash": {**nominal, "scale": {"domain": labels, "range": dashes}},
        "shape": {**nominal, "scale": {"domain": labels, "range": shapes}},
    }


def in_turn(at: int) -> tuple[int, int]:
    """Hue and dash of the nth curve: 16 are told apart."""
    return at % len(PALETTE), at + at // len(PALETTE)


def _layers(
    curves: Sequence[Curve], across: Sequence[Axis], up: Sequence[Axis], one: str
) -> Iterator[dict[str, Any]]:  # fmt: skip
    told = told_apart([(curve.label, curve.hue, curve.dash) for curve in curves], "curve")
    there = "isValid(datum.x) && isValid(datum.y)"
    judged = any(point.slo for curve in curves for point in curve.points)
    yield {
        "transform": [{"filter": f"{there} && datum.front"}],
        "mark": {"type": "line", "clip": True, "strokeWidth": 2},
        "encoding": {"color": told["color"], "strokeDash": told["strokeDash"]},
    }
    yield {
        "transform": [{"filter": f"{there} && isValid(datum.low)"}],
        "mark": {"type": "rule", "strokeWidth": 5, "opacity": 0.3, "clip": True},
        "encoding": {"y": {"field": "low", "type": "quantitative"}, "y2": {"field": "high"}, "color": told["color"]},
    }
    tooltip = [
        quoted("curve", one),
        quoted("concurrency", "concurrency", ","),
        quoted("doubt", "doubt"),
        *([quoted("slo", "SLO")] if judged else []),
        quoted("traces", "completed traces", ","),
        *(quoted(f"x{at}", axis.label, ",.4~g") for at, axis in enumerate(across)),
        *(quoted(f"y{at}", axis.label, ",.4~g") for at, axis in enumerate(up)),
    ]
    for filled, test in ((True, "datum.doubt == ''"), (False, "datum.doubt != ''")):
        yield {
            "transform": [{"filter": f"{there} && {test}"}],
            "mark": {"type": "point", "filled": filled, "size": 80, "opacity": 1, "strokeWidth": 1.8, "clip": True},
            "encoding": {"color": told["color"], "shape": told["shape"], "tooltip": tooltip},
        }
    if judged:
        yield from _limit_marks(there)
    many = sum(len(curve.points) for curve in curves) > NAMED
    yield {
        "transform": [{"filter": f"{there} && datum.front" if many else there}],
        "mark": {"type": "text", "dy": -11, "clip": True},
        "encoding": {"text": {"field": "concurrency"}},
    }


def _limit_marks(there: str) -> Iterator[dict[str, Any]]:
    """What tells by its shape that a point does not surely keep its limits."""
    yield {
        "transform": [{"filter": f"{there} && datum.slo == '{MISSED}'"}],
        "mark": {"type": "point", "shape": CROSS, "filled": False, "size": 200, "strokeWidth": 1.8, "clip": True},
        "encoding": {"color": {"value": GREY}},
    }
    yield {
        "transform": [{"filter": f"{there} && datum.slo != '{MISSED}' && datum.slo != '{MET}'"}],
        "mark": {"type": "text", "text": "?", "dx": 11, "fontWeight": 600, "clip": True},
    }
