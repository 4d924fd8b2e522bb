"""The index: a table of runs and sweeps that refreshes itself, in which several are ticked and compared."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from trie.metrics.first_numbers import POPULATION
from trie.metrics.shown_numbers import MARK
from trie.one_line import lasting
from trie.report.html.blocks import Markup, element
from trie.report.run_list import INVALID, RUNNING, VALID, WHOLE, WITH_CUT_OFF, Listed, columns
from trie.storage.run_dir import REPORT
from trie.sweep.page import PAGE

ABOUT = (
    f"The numbers of a run that goes on are those so far. {WHOLE} {POPULATION}, estimated. {MARK} {WITH_CUT_OFF}. "
    "Times are UTC."
)
TAGS = {VALID: "valid", INVALID: "invalid"}


def index(entries: Sequence[Listed], folder: Path) -> str:
    """The whole page."""
    script = _asset("index.js")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"Runs below {folder}"),
        element("style", Markup(_page_css() + _asset("index.css"))),
    )
    numbers = [f"{number.name} ({number.unit})" for number in columns()]
    heads = [element("th", name, scope="col") for name in ("", "Run", "Verdict")]
    heads += [element("th", name, scope="col", cls="number") for name in numbers]
    table = element("table", element("thead", element("tr", *heads)), element("tbody", Markup(rows(entries, folder))))
    form = element(
        "form",
        element("button", "Compare", type="submit"),
        element("div", element("div", table, cls="scroll"), cls="table wide"),
        action="compare",
        method="get",
    )
    body = element(
        "body",
        element("header", element("h1", "Runs"), element("p", str(folder.absolute())), element("p", id="status")),
        element("main", form, cls="grid"),
        element("footer", element("p", ABOUT)),
        element("script", Markup(script)),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def rows(entries: Sequence[Listed], folder: Path) -> str:
    """The rows of the table alone."""
    return "\n".join(str(_row(entry, entry.path.relative_to(folder).as_posix())) for entry in entries)


def _row(entry: Listed, place: str) -> Markup:
    page = PAGE if entry.is_sweep else REPORT
    running = RUNNING in entry.verdict
    tag = TAGS.get(entry.verdict, "other") + (" running" if running else "")
    box = element("input", type="checkbox", name="run", value=place, aria_label=f"compare {place}")
    lasted = lasting(entry.duration_s) if entry.duration_s else ""
    facts = (entry.started[:16].replace("T", " "), entry.workload, entry.model, entry.load, lasted)
    what = element("div", ", ".join(fact for fact in facts if fact), cls="note")
    return element(
        "tr",
        element("td", box),
        element("th", element("a", place, href=f"at/{quote(place)}/{page}"), what, scope="row"),
        element("td", element("span", entry.verdict, cls=f"tag {tag}")),
        *(element("td", text, cls="number") for text in entry.texts),
    )


def policy() -> str:
    """What the page may do: run its own script, ask this server, and send its form there."""
    digest = base64.b64encode(hashlib.sha256(_asset("index.js").encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def _asset(name: str) -> str:
    return files("trie.serve").joinpath("assets", name).read_text(encoding="utf-8")


def _page_css() -> str:
    return files("trie.report").joinpath("assets", "page.css").read_text(encoding="utf-8")
