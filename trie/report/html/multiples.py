"""Small plots in rows and columns, under the names of the columns, with one caption for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trie.report.html.blocks import Markup, element
from trie.report.html.plot import Plot


@dataclass(frozen=True, slots=True)
class Row:
    """The plots of one row, one for each column."""

    title: str
    plots: Sequence[Plot]
    legend: Mapping[str, tuple[str, Sequence[int]]] = field(default_factory=dict)  # hue and dash by label

    def head(self) -> Markup:
        """The title, and what the lines of all its plots are."""
        entries = [
            element("span", _stroke(color, dash), label, cls="entry") for label, (color, dash) in self.legend.items()
        ]
        return element("div", element("h3", self.title), *entries, cls="of-all")


def _stroke(color: str, dash: Sequence[int]) -> Markup:
    dashes = " ".join(map(str, dash))
    line = element("line", x1=0, y1=5, x2=24, y2=5, stroke=color, stroke_width=2, stroke_dasharray=dashes)
    return element("svg", line, width=24, height=10, aria_hidden="true")


@dataclass(frozen=True, slots=True, kw_only=True)
class Multiples:
    """A grid of small plots; it scrolls sideways where there are many columns."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Row]

    @property
    def plots(self) -> list[Plot]:
        """All of them, row by row."""
        return [plot for row in self.rows for plot in row.plots]

    def html(self) -> Markup:
        """The grid in a frame."""
        heads = element("div", *(element("span", column) for column in self.columns), cls="heads", aria_hidden="true")
        rows = [
            element(
                "div",
                row.head(),
                element("div", *(plot.html() for plot in row.plots), cls="row"),
                cls="of-row",
            )
            for row in self.rows
        ]
        return element(
            "div",
            element("p", self.caption, cls="note"),
            element(
                "div",
                element("div", heads, *rows, cls="across", style=f"--columns: {len(self.columns)}"),
                cls="scroll",
                tabindex="0",
                role="region",
                aria_label="Small plots by workload",
            ),
            cls="multiples wide",
        )
