"""A page of a report: one HTML file that holds all it needs, opens from disk and asks the network for nothing.

A page is made of blocks, each of which knows its own HTML; everything that is no markup is escaped on the way:

    page = Page(
        title="agentic, concurrency 8",
        subtitle="model M on http://localhost:8000/v1",
        blocks=[
            Verdict(word="VALID", tone="good", checks=[Check("warning", "the run was short", "20 s", "run longer")]),
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
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Protocol

from trie.errors import ReportError
from trie.report.html.blocks import (
    Card,
    Cards,
    Cell,
    Check,
    Column,
    Facts,
    Markup,
    Note,
    Table,
    Tone,
    Value,
    Verdict,
    data,
    element,
)
from trie.report.html.multiples import Multiples
from trie.report.html.plot import Plot
from trie.report.html.theme import THEME

__all__ = [
    "Block", "Card", "Cards", "Cell", "Check", "Column", "Facts", "Note", "Page", "Section", "Table", "Tone", "Value",
    "Verdict",
]  # fmt: skip


class Block(Protocol):
    """Anything that can stand on a page."""

    def html(self) -> Markup:
        """Its HTML."""


@dataclass(frozen=True, slots=True)
class Section:
    """Blocks under a heading, plots side by side where there is room; a folded one is opened by the reader."""

    title: str
    blocks: Sequence[Block]
    intro: str | None = None
    folded: bool = False
    printed: bool = True

    def html(self) -> Markup:
        """A section, or a folded one."""
        heading = element("h2", self.title, id=anchor(self.title))
        intro = self.intro and element("p", self.intro, cls="intro wide")
        body = element("div", intro, *(block.html() for block in self.blocks), cls="grid")
        if self.folded:
            classes = "section" if self.printed else "section unprinted"
            return element("details", element("summary", heading), body, cls=classes)
        return element("section", heading, body, aria_labelledby=anchor(self.title))


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A whole page."""

    title: str
    subtitle: str = ""
    blocks: Sequence[Block] = field(default_factory=tuple)
    footer: str = ""
    refresh_s: float | None = None  # after so long the browser loads the page again
    further_plots: Sequence[Plot] = ()  # that are written as files and are not on the page

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
        """Write each plot that shows anything, on the page or not, into a folder, as "svg" or "png"; returns the files.

        Raises:
            ReportError: without vl-convert, or when they can't be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ReportError(f"{folder}: can't make the folder: {error.strerror}") from error
        every = (*self.plots(), *self.further_plots)
        shown = {folder / f"{plot.key}.{ending}": plot for plot in every if not plot.empty}
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
            element("meta", http_equiv="refresh", content=f"{self.refresh_s:g}") if self.refresh_s else None,
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
        elif isinstance(block, Multiples):
            yield from block.plots


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
