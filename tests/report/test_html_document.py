"""Pages: what is escaped, what a table carries for its sorting, what a plot takes along and is saved as."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trie.errors import ReportError
from trie.report.html.blocks import Markup, data, element, join
from trie.report.html.channels import crosshair, quoted, zoomable
from trie.report.html.document import Card, Cards, Cell, Check, Column, Facts, Note, Page, Section, Table, Verdict
from trie.report.html.plot import Plot

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=\"alert('2')\">&\x1b[31m"


def plot(key: str = "speed", **about: Any) -> Plot:
    x = zoomable("x", field="t_s", type="quantitative")
    lines = {"mark": {"type": "line", "clip": True}, "encoding": {"x": x, "y": {"field": "v", "type": "quantitative"}}}
    spec = {"layer": [lines, crosshair(x, [quoted("v", "speed", ",.1f")])]}
    given: dict[str, Any] = {"data": {"rows": {"t_s": [0.0, 1.0], "v": [1.5, None]}}, "spec": spec, **about}
    return Plot(key=key, title="Speed", caption="Two points.", **given)


class Elements(HTMLParser):
    """Every element of a page, with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def everything(text: str) -> Page:
    """A page that has a text in every place that takes one."""
    checks = [Check("error", text, text, text), Check("ok", text, text)]
    heads = [Column(text, text, help=text)]
    return Page(
        title=text,
        subtitle=text,
        footer=text,
        blocks=[
            Verdict(word=text, tone="good", detail=text, checks=checks),
            Cards([Card(text, text, text, text, help=text)]),
            Section(
                text,
                [
                    Table(caption=text, columns=heads, rows=[[text], [Cell(text, text)]], note=text),
                    Facts({text: text}),
                    Note(text),
                    plot(text, labels={"v": text}, data={"rows": {"t_s": [0.0], "v": [text]}}),
                ],
                intro=text,
            ),
        ],
    )  # fmt: skip


def test_text_is_text_in_every_place():
    plain, hostile = Elements(everything("plain").html()), Elements(everything(HOSTILE).html())
    assert [tag for tag, _ in hostile.found] == [tag for tag, _ in plain.found]
    assert [sorted(given) for _, given in hostile.found] == [sorted(given) for _, given in plain.found]
    assert "\x1b" not in everything(HOSTILE).html()


def test_a_page_allows_its_own_scripts_and_no_address():
    page = everything("plain").html()
    policy = next(meta["content"] for meta in Elements(page).named("meta") if "http-equiv" in meta)
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert "connect-src" not in policy
    assert "http" not in policy
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    assert len(scripts) == 3
    for script in scripts:
        assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)


def test_a_page_without_plots_carries_no_library():
    page = Page(title="t", blocks=[Note("said")])
    assert len(page.html()) < 40_000


def test_cells_carry_what_they_sort_by():
    rows = [["a", 12345.678], ["b", None], ["c", Cell(0.5, text="half", tone="bad", note="of it")]]
    table = Table(caption="c", columns=[Column("name"), Column("value", "s", help="what it is")], rows=rows).html()
    assert [cell.get("data-value") for cell in Elements(table).named("td")] == ["12345.678", None, "0.5"]
    assert re.findall(r"<td[^>]*>(.*?)</td>", table) == ["12,346", "-", "half<small>of it</small>"]
    assert [head["class"] for head in Elements(table).named("th")[:2] if "class" in head] == ["number"]


def test_missing_is_a_dash_and_zero_is_zero():
    assert '<dd><span class="value">-</span></dd>' in Card("l", None, "s").html()
    assert ">0<" in Card("l", 0, "s").html()
    assert ">0.000<" in Card("l", 0.0, "s").html()


def test_sections_are_linked_from_the_top():
    page = Page(title="t", blocks=[Section("Over time", []), Section("What & why", [])])
    links = [link["href"] for link in Elements(page.html()).named("a")]
    assert links[1:] == ["#section-over-time", "#section-what-why"]
    assert {heading["id"] for heading in Elements(page.html()).named("h2")} == {"section-over-time", "section-what-why"}


def test_a_plot_takes_its_data_along_in_columns():
    figure = plot(
        labels={"v": "Speed (m/s)"}, data={"rows": {"t_s": np.array([0.0, 1 / 3]), "v": [np.nan, 2.0]}}
    ).html()
    held = json.loads(re.findall(r'type="application/json">(.*?)</script>', figure)[0])
    assert held["data"] == {"rows": {"t_s": [0, 0.3333333], "v": [None, 2]}}
    assert held["labels"] == {"v": "Speed (m/s)"}
    assert [given["name"] for given in held["spec"]["params"]] == ["zoom_x"]
    chart = Elements(figure).named("div")[0]
    assert (chart["role"], chart["tabindex"]) == ("img", "0")
    assert (chart["aria-labelledby"], chart["aria-describedby"]) == ("speed-title", "speed-caption")
    assert '<h3 id="speed-title">Speed</h3><p id="speed-caption">Two points.</p>' in figure


def test_without_scripts_the_data_of_a_plot_are_tables():
    figure = plot(labels={"v": "Speed (m/s)"}, data={"rows": {"t_s": np.arange(100.0), "v": [None] * 100}}).html()
    (tables,) = re.findall("<noscript>(.*)</noscript>", figure)
    assert '<th scope="col">Speed (m/s)</th>' in tables
    assert "<caption>34 of 100 rows</caption>" in tables  # every third: more than 40 are thinned
    assert tables.count("<tr><td>") == 34
    assert "<tr><td>99</td><td>-</td></tr>" in tables


def test_a_plot_of_nothing_says_so():
    for nothing in ({}, {"rows": {}}, {"rows": {"t_s": [], "v": np.empty(0)}}):
        empty = plot(data=nothing)
        assert empty.empty
        assert "Not measured" in empty.html()
        assert "script" not in empty.html()


def test_columns_of_a_plot_are_of_one_length():
    with pytest.raises(ReportError, match="speed: the columns of rows differ"):
        plot(data={"rows": {"t_s": [1.0], "v": []}})


def test_a_plot_is_a_whole_vega_lite_spec():
    spec = plot().vega_lite()
    assert spec["datasets"] == {"rows": [{"t_s": 0, "v": 1.5}, {"t_s": 1, "v": None}]}
    assert spec["data"] == {"name": "rows"}
    assert spec["description"] == "Two points."
    json.dumps(spec, allow_nan=False)


def test_plots_are_saved_as_svg_and_png(tmp_path: Path):
    page = Page(title="t", blocks=[Section("s", [plot("one"), plot("none", data={})]), plot("two")])
    assert [path.name for path in page.save_plots(tmp_path / "new", "svg")] == ["one.svg", "two.svg"]
    svg = (tmp_path / "new" / "one.svg").read_text()
    assert svg.startswith("<svg")
    assert "mark-line" in svg
    plot().save(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    width = int.from_bytes((tmp_path / "a.png").read_bytes()[16:20], "big")
    assert width == pytest.approx(3 * 680, abs=3)


def test_where_a_plot_or_a_page_cannot_go_is_one_line(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(ReportError, match=r"a\.gif: plots are written as \.svg or \.png"):
        plot().save(tmp_path / "a.gif")
    with pytest.raises(ReportError, match="file: can't make the folder"):
        Page(title="t").save_plots(tmp_path / "file", "svg")
    with pytest.raises(ReportError, match="can't be written"):
        Page(title="t").write(tmp_path / "none" / "report.html")
    with pytest.raises(ReportError, match="can't be written"):
        plot().save(tmp_path / "none" / "a.svg")


def test_a_page_is_written_whole(tmp_path: Path):
    Page(title="t").write(tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


def test_markup_escapes_what_is_no_markup():
    assert element("p", "a<b", Markup("<i>c</i>"), None, cls='x"y', hidden=True, title=None) == (
        '<p class="x&quot;y" hidden>a&lt;b<i>c</i></p>'
    )
    assert join("a&", None, "", Markup("<br>")) == "a&amp;<br>"
    assert json.loads(data({"a": HOSTILE})) == {"a": HOSTILE}
    assert "<" not in data({"a": HOSTILE})
