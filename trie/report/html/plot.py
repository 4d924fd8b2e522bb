"""A plot: what it shows in words, its Vega-Lite spec and its data, drawn by the page or written as SVG or PNG.

A spec is a plain dict of Vega-Lite 6 without data, width and config, which are added here. Data are columns of equal
length by name of the data set; a spec with one data set needs not name it:

    plot = Plot(
        key="ttft-by-concurrency",
        title="TTFT against concurrency",
        caption="p50 and p99 over completed traces.",
        data={"rows": {"concurrency": [8, 16], "p50": [0.1, 0.2], "p99": [0.4, 0.9]}},
        labels={"concurrency": "Concurrency", "p50": "p50 (s)", "p99": "p99 (s)"},
        spec={
            "transform": [{"fold": ["p50", "p99"], "as": ["statistic", "s"]}],
            "mark": {"type": "line", "point": True, "tooltip": True},
            "encoding": {
                "x": zoomable("x", field="concurrency", type="quantitative", title="concurrency"),
                "y": {"field": "s", "type": "quantitative", "title": "TTFT (s)"},
                "color": {"field": "statistic", "type": "nominal", "title": None},
            },
        },
    )
    plot.save(directory / "ttft-by-concurrency.svg")  # or .png
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from trie.errors import ReportError
from trie.report.html.blocks import Markup, data, element
from trie.report.html.theme import THEME
from trie.report.number_format import MISSING

Values = Sequence[Any] | NDArray[Any]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
VL_VERSION = "6.4"  # of vl-convert's, the one beside the page's own build
DIGITS = 7  # significant, of what goes into a page: milliseconds in a run of hours
WIDTH, HEIGHT = 680, 280  # pixels of an exported plot; on a page the width is that of its column
NOSCRIPT_ROWS = 40  # of each table behind a plot
PNG_SCALE = 3  # of an exported PNG: 300 dpi at a column's width

PlainTables = Mapping[str, Mapping[str, list[Any]]]  # columns of JSON values by their names, by the name of the table


@dataclass(frozen=True, slots=True)
class Choice:
    """What an axis can show: its name in a list, the title of the axis, the number that its columns' names end in."""

    label: str
    title: str
    at: int
    domain: tuple[float, float]  # of the axis


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One plot of a page.

    Raises:
        ReportError: when a data set's columns differ in length.
    """

    key: str  # file name of its exports and anchor on the page: lower case, with dashes
    title: str
    caption: str  # what it shows, and how many of the points: read out in place of the picture
    spec: Mapping[str, Any]
    data: Mapping[str, Mapping[str, Values]]  # columns by data set: numbers, texts, None
    labels: Mapping[str, str] = field(default_factory=dict)  # columns' names with units, for the table behind the plot
    zoom_group: str | None = None  # plots of one group share their x axis, and zoom together
    wide: bool = False  # takes both columns of a page
    small: bool = False  # one of many in a grid: without tools, its caption is that of the grid
    choices: Mapping[str, Sequence[Choice]] = field(
        default_factory=dict
    )  # of the axes x and y, for the reader of a page

    def __post_init__(self) -> None:
        for name, columns in self.data.items():
            if len({len(column) for column in columns.values()}) > 1:
                raise ReportError(f"plot {self.key}: the columns of {name} differ in length")

    @property
    def empty(self) -> bool:
        """Nothing was measured of what it would show."""
        return not any(len(column) for columns in self.data.values() for column in columns.values())

    def vega_lite(self) -> dict[str, Any]:
        """The whole spec, data included, for any other tool that reads Vega-Lite."""
        columns = self._columns()
        rows = {
            name: [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
            for name, table in columns.items()
        }
        return {
            "$schema": SCHEMA,
            "description": self.caption,
            "config": {**THEME, "background": "white"},
            "width": WIDTH,
            **self._spec(),
            "datasets": rows,
        }

    def save(self, path: Path) -> None:
        """Write the plot as SVG or PNG, as the file's ending says.

        Raises:
            ReportError: without vl-convert, for another ending, or when the file can't be written.
        """
        vl_convert = _vl_convert()
        if path.suffix == ".svg":
            content = self.svg().encode()
        elif path.suffix == ".png":
            content = vl_convert.vegalite_to_png(self.vega_lite(), vl_version=VL_VERSION, scale=PNG_SCALE)
        else:
            raise ReportError(f"{path}: plots are written as .svg or .png")
        try:
            path.write_bytes(content)
        except OSError as error:
            raise ReportError(f"{path}: can't be written: {error.strerror}") from error

    def svg(self) -> str:
        """The plot as SVG.

        Raises:
            ReportError: without vl-convert.
        """
        return str(_vl_convert().vegalite_to_svg(self.vega_lite(), vl_version=VL_VERSION))

    def html(self) -> Markup:
        """The figure: its words, a place for the picture, and the data that the page's script draws."""
        title, caption = f"{self.key}-title", f"{self.key}-caption"
        if self.empty:
            return element(
                "figure",
                element("figcaption", element("h3", self.title), element("p", "Not measured.")),
                cls="plot empty small" if self.small else "plot empty",
                id=self.key,
            )
        columns = self._columns()
        return element(
            "figure",
            element("figcaption", element("h3", self.title, id=title), element("p", self.caption, id=caption)),
            element("div", cls="chart", role="img", tabindex="0", aria_labelledby=title, aria_describedby=caption),
            element("noscript", *self._tables(columns)),
            element("script", data(self._for_page(columns)), type="application/json"),
            cls=f"plot{' wide' if self.wide else ''}{' small' if self.small else ''}",
            id=self.key,
            data_zoom=self.zoom_group,
        )

    def _tables(self, tables: PlainTables) -> Iterator[Markup]:
        """The data as tables, for readers without scripts: of long ones rows at equal distances."""
        for columns in tables.values():
            names, rows = list(columns), list(zip(*columns.values(), strict=True))
            if not rows:
                continue
            every = range(0, len(rows), -(-len(rows) // NOSCRIPT_ROWS))
            head = element("tr", *(element("th", self.labels.get(name, name), scope="col") for name in names))
            body = [element("tr", *(element("td", _text(value)) for value in rows[at])) for at in every]
            note = f"{len(body)} of {len(rows):,} rows" if len(body) < len(rows) else f"{len(rows)} rows"
            yield element(
                "table", element("caption", note), element("thead", head), element("tbody", *body), cls="behind"
            )

    def _for_page(self, tables: PlainTables) -> dict[str, Any]:
        choices = {axis: [asdict(choice) for choice in several] for axis, several in self.choices.items()}
        chosen = {"choices": choices} if choices else {}
        spec = {"width": "container", **self._spec()}
        return {"spec": spec, "data": tables, "labels": dict(self.labels), **chosen}

    def _spec(self) -> dict[str, Any]:
        own = dict(self.spec)
        written = json.dumps(own)
        zooms = [{"name": f"zoom_{axis}", "value": None} for axis in ("x", "y") if f'"zoom_{axis}"' in written]
        own["params"] = [*own.get("params", ()), *zooms]
        own.setdefault("height", HEIGHT)
        own.setdefault("data", {"name": next(iter(self.data))})
        own.setdefault("autosize", {"type": "fit-x", "contains": "padding"})
        return own

    def _columns(self) -> PlainTables:
        return {
            name: {key: [_plain(value) for value in column] for key, column in columns.items()}
            for name, columns in self.data.items()
        }


def _text(value: Any) -> str:
    return MISSING if value is None else str(value)


def _vl_convert() -> Any:
    try:
        import vl_convert  # optional, and 30 MB
    except ImportError as error:
        raise ReportError("plots as files need vl-convert-python: pip install 'trie[plots]'") from error
    return vl_convert


def _plain(value: Any) -> Any:
    """A JSON value: a number of few digits, None for what was not measured."""
    if value is None or isinstance(value, str | int):
        return value
    number = float(value)
    if not math.isfinite(number):
        return None
    rounded = float(f"{number:.{DIGITS}g}")
    return int(rounded) if rounded.is_integer() else rounded
