"""A page of a report: one HTML file that holds all it needs, opens from disk and asks the network for nothing.

A page is made of blocks, each of which knows its own HTML; everything that is no markup is escaped on the way:

    page = Page(
        title="agentic, concurrency 8",
        subtitle="model M on http://localhost:8000/v1",
        blocks=[
            Verdict(word="VALID", tone="good", checks=[Check("warning", "long enough", "20 s", "run longer")]),
            Cards([Card("Steady completion", 720.2, "tok/s", "360.1 per GPU")]),
            Section("Throughput", [
                Table(
                    caption="Workload metrics",
                    columns=[Column("Metric"), Column("Overall", "tok/s", help="all tokens / wall time")],
                    rows=[["completion", 694.14], [Cell("cached prompt", note="expected"), None]],
                ),
                Plot(key=..., ...),  # trie.report.plot
            ]),
        ],
    )
    page.write(directory / "report.html")

Cells are texts, numbers (shown short, sorted whole), None for what was not measured, or a `Cell` that adds a link, a
tone or a note. Tables sort by a click on a column's head; plots are hovered, zoomed and saved from the page.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal, Protocol

from trie.errors import ReportError
from trie.report.figures import MISSING, fine
from trie.report.markup import Markup, data, element, join
from trie.report.plot import THEME, Plot

Tone = Literal["good", "warn", "bad", "plain"]


class Block(Protocol):
    """Anything that can stand on a page."""

    def html(self) -> Markup:
        """Its HTML."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table with more than its value: what it links to (a relative path), its tone, a second line."""

    value: str | float | None
    href: str | None = None
    tone: Tone = "plain"
    note: str | None = None
    text: str | None = None  # shown in place of a number's short form
    help: str | None = None  # what it means


Value = str | float | Cell | None


@dataclass(frozen=True, slots=True)
class Column:
    """The head of a column: its label, its unit and what it means."""

    label: str
    unit: str = ""
    help: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table that sorts by a click on a head; the first column names its rows."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Value]]
    note: str | None = None
    wide: bool = True  # takes both columns of a page

    def html(self) -> Markup:
        """The table, in a frame that scrolls sideways where it is too wide."""
        numeric = [all(_is_number(row[at]) for row in self.rows) for at in range(len(self.columns))]
        heads = [
            element("th", _head(column), scope="col", cls="number" if number else None, title=column.help)
            for column, number in zip(self.columns, numeric, strict=True)
        ]
        rows = [
            element(
                "tr",
                *(
                    _cell(value, number, first=at == 0)
                    for at, (value, number) in enumerate(zip(row, numeric, strict=True))
                ),
            )
            for row in self.rows
        ]
        table = element(
            "table",
            element("caption", self.caption),
            element("thead", element("tr", *heads)),
            element("tbody", *rows),
            cls="sortable",
        )
        frame = element("div", table, cls="scroll", tabindex="0", role="region", aria_label=self.caption)
        return element(
            "div", frame, self.note and element("p", self.note, cls="note"), cls="table wide" if self.wide else "table"
        )


@dataclass(frozen=True, slots=True)
class Card:
    """A headline number; a number is shown short, None as not measured."""

    label: str
    value: str | float | None
    unit: str = ""
    detail: str | None = None
    tone: Tone = "plain"
    help: str | None = None

    def html(self) -> Markup:
        """A pair of a description list."""
        value = element("span", _shown(self.value), cls="value")
        unit = element("span", self.unit, cls="unit") if self.unit and self.value is not None else None
        return element(
            "div",
            element("dt", self.label, title=self.help),
            element("dd", join(value, unit)),
            self.detail and element("dd", self.detail, cls="detail"),
            cls=f"card {self.tone}",
        )


@dataclass(frozen=True, slots=True)
class Cards:
    """A row of headline numbers."""

    cards: Sequence[Card]

    def html(self) -> Markup:
        """A description list."""
        return element("dl", *(card.html() for card in self.cards), cls="cards wide")


@dataclass(frozen=True, slots=True)
class Check:
    """A line of a verdict: what was checked, what was found, what to do about it."""

    level: Literal["ok", "warning", "error"]
    name: str
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """May these numbers be published, and if not, why."""

    word: str
    tone: Tone
    said: str = ""
    checks: Sequence[Check] = ()

    def html(self) -> Markup:
        """The word, what does not hold, and folded away what does."""
        off = [check for check in self.checks if check.level != "ok"]
        held = [check for check in self.checks if check.level == "ok"]
        return element(
            "section",
            element("p", element("strong", self.word), self.said and element("span", self.said), cls="word"),
            _checks(off) if off else None,
            element("details", element("summary", f"{len(held)} checks hold"), _checks(held)) if held else None,
            cls=f"verdict wide {self.tone}",
            aria_label="Verdict",
        )


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and what there is to say of them; None is left out."""

    facts: Mapping[str, str | None]

    def html(self) -> Markup:
        """A description list in two columns."""
        pairs = [
            join(element("dt", name), element("dd", said)) for name, said in self.facts.items() if said is not None
        ]
        return element("dl", *(element("div", pair) for pair in pairs), cls="facts wide")


@dataclass(frozen=True, slots=True)
class Note:
    """A paragraph."""

    said: str
    tone: Tone = "plain"

    def html(self) -> Markup:
        """A paragraph across the page."""
        return element("p", self.said, cls=f"note wide {self.tone}")


@dataclass(frozen=True, slots=True)
class Section:
    """Blocks under a heading, plots side by side where there is room; a folded one is opened by the reader."""

    title: str
    blocks: Sequence[Block]
    intro: str | None = None
    folded: bool = False

    def html(self) -> Markup:
        """A section, or a folded one."""
        heading = element("h2", self.title, id=anchor(self.title))
        intro = self.intro and element("p", self.intro, cls="intro wide")
        body = element("div", intro, *(block.html() for block in self.blocks), cls="grid")
        if self.folded:
            return element("details", element("summary", heading), body, cls="section")
        return element("section", heading, body, aria_labelledby=anchor(self.title))


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A whole page."""

    title: str
    subtitle: str = ""
    blocks: Sequence[Block] = field(default_factory=tuple)
    footer: str = ""

    def plots(self) -> list[Plot]:
        """All plots of the page in order, in sections or not."""
        return list(_plots(self.blocks))

    def write(self, path: Path) -> None:
        """Write the page, whole or not at all.

        Raises:
            ReportError: when it can't be written.
        """
        aside = path.with_suffix(".tmp")
        try:
            aside.write_text(self.html(), encoding="utf-8")
            aside.replace(path)
        except OSError as error:
            with suppress(OSError):  # where there can be no such file, there is none
                aside.unlink()
            raise ReportError(f"{path}: can't be written: {error.strerror}") from error

    def save_plots(self, folder: Path, ending: str) -> list[Path]:
        """Write each plot that shows anything into a folder, as "svg" or "png"; the files, in the page's order.

        Raises:
            ReportError: without vl-convert, or when they can't be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ReportError(f"{folder}: can't make the folder: {error.strerror}") from error
        shown = {folder / f"{plot.key}.{ending}": plot for plot in self.plots() if not plot.empty}
        for path, plot in shown.items():
            plot.save(path)
        return list(shown)

    def html(self) -> str:
        """The document: one file, with a policy that lets it run its own scripts and load nothing."""
        plots = self.plots()
        scripts = [*(_asset(name) for name in ("vega.min.js", "vega-lite.min.js") if plots), _asset("page.js")]
        head = element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", http_equiv="Content-Security-Policy", content=_policy(scripts)),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="color-scheme", content="light dark"),
            element("meta", name="generator", content="trie"),
            element("title", self.title),
            element("style", Markup(_asset("page.css"))),
        )
        body = element(
            "body",
            element("a", "Skip to the report", href="#report", cls="skip"),
            element(
                "header",
                element("h1", self.title),
                self.subtitle and element("p", self.subtitle),
                _contents(self.blocks),
            ),
            element("main", *(block.html() for block in self.blocks), id="report", cls="grid"),
            element("footer", element("p", self.footer)) if self.footer else None,
            element("script", data(dict(THEME)), type="application/json", id="theme"),
            *(element("script", Markup(script)) for script in scripts),
        )
        return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def anchor(title: str) -> str:
    """A heading's address within the page."""
    words = "".join(c if c.isalnum() else " " for c in title.lower()).split()
    return "-".join(("section", *words))  # apart from the plots' keys


def _plots(blocks: Sequence[Block]) -> Iterator[Plot]:
    for block in blocks:
        if isinstance(block, Plot):
            yield block
        elif isinstance(block, Section):
            yield from _plots(block.blocks)


def _contents(blocks: Sequence[Block]) -> Markup | None:
    """Links to the sections, where there are several."""
    titles = [block.title for block in blocks if isinstance(block, Section)]
    links = [element("a", title, href=f"#{anchor(title)}") for title in titles]
    return element("nav", *links, aria_label="Sections") if len(links) > 1 else None


def _policy(scripts: Sequence[str]) -> str:
    """Only these scripts, by their digest, and no address at all; Vega compiles its expressions."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed} 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _asset(name: str) -> str:
    return files("trie.report").joinpath("assets", name).read_text(encoding="utf-8")


def _checks(checks: Sequence[Check]) -> Markup:
    """A list of checks, each with its level in words."""
    return element(
        "ul",
        *(
            element(
                "li",
                element("span", check.level, cls="level"),
                element("b", check.name),
                element("span", check.found, cls="found"),
                element("span", check.advice, cls="advice") if check.advice and check.level != "ok" else None,
                cls=check.level,
            )
            for check in checks
        ),
        cls="checks",
    )


def _head(column: Column) -> Markup:
    """A column's label above its unit."""
    return join(column.label, column.unit and element("span", column.unit, cls="unit"))


def _cell(value: Value, number: bool, *, first: bool) -> Markup:
    """A cell; a number carries its whole value, by which the page sorts."""
    cell = value if isinstance(value, Cell) else Cell(value)
    shown: str = cell.text if cell.text is not None else _shown(cell.value)
    inside = element("a", shown, href=cell.href) if cell.href is not None else shown
    classes = [*(["number"] if number else []), *([cell.tone] if cell.tone != "plain" else [])]
    sort = None if cell.value is None or isinstance(cell.value, str) else repr(float(cell.value))
    return element(
        "th" if first else "td",
        inside,
        cell.note and element("small", cell.note),
        cls=" ".join(classes) or None,
        scope="row" if first else None,
        title=cell.help,
        data_value=sort,
    )


def _is_number(value: Value) -> bool:
    found = value.value if isinstance(value, Cell) else value
    return not isinstance(found, str)


def _shown(value: str | float | None) -> str:
    if value is None:
        return MISSING
    if isinstance(value, int):
        return f"{value:,}"
    return value if isinstance(value, str) else fine(value)
