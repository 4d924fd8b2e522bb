"""What a page is made of: tables, headline numbers, verdicts, facts and notes, each of which knows its own HTML."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

from trie.one_line import printable
from trie.report.number_format import MISSING, fine

Tone = Literal["good", "warn", "bad", "plain"]
BROAD = 10  # columns, above which a table is printed small
CHIPS = 4  # beside a verdict's word; the checks below have all
VOID = frozenset({"br", "col", "meta"})  # elements that have no content


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
    more: bool = False  # hidden until the reader asks for every column; without scripts it is there


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
        kinds = [_kind(column, [row[at] for row in self.rows]) for at, column in enumerate(self.columns)]
        heads = [
            element("th", _head(column), scope="col", cls=kind or None, title=column.help)
            for column, kind in zip(self.columns, kinds, strict=True)
        ]
        rows = [
            element(
                "tr",
                *(_cell(value, kind, first=at == 0) for at, (value, kind) in enumerate(zip(row, kinds, strict=True))),
            )
            for row in self.rows
        ]
        table = element(
            "table",
            element("caption", self.caption),
            element("thead", element("tr", *heads)),
            element("tbody", *rows),
            cls="sortable fewer" if any(column.more for column in self.columns) else "sortable",
        )
        frame = element("div", table, cls="scroll", tabindex="0", role="region", aria_label=self.caption)
        return element(
            "div", frame, self.note and element("p", self.note, cls="note"), cls=" ".join(["table", *self._shape()])
        )

    def _shape(self) -> list[str]:
        wide, broad = ["wide"] if self.wide else [], ["broad"] if len(self.columns) > BROAD else []
        return [*wide, *broad]


@dataclass(frozen=True, slots=True)
class Card:
    """A headline number; a number is shown short, None as not measured."""

    label: str
    value: str | float | None
    unit: str = ""
    detail: str | None = None  # parts between "; " are not broken where there is room for them
    tone: Tone = "plain"
    help: str | None = None
    over_time: Sequence[float | None] = ()  # drawn as a small line, from 0 up

    def html(self) -> Markup:
        """A pair of a description list."""
        value = element("span", _shown(self.value), cls="value")
        unit = element("span", self.unit, cls="unit") if self.unit and self.value is not None else None
        return element(
            "div",
            element("dt", self.label, title=self.help),
            element("dd", join(value, unit)),
            self.detail and element("dd", *(element("span", part) for part in self.detail.split("; ")), cls="detail"),
            self._line(),
            cls=f"card {self.tone}",
        )

    def _line(self) -> Markup | None:
        """The course over the run, in as many pieces as there is something measured without a gap."""
        measured = [value for value in self.over_time if value is not None]
        if len(measured) < 2:
            return None
        low, high = fine(min(measured)), fine(max(measured))
        name = f"{self.label} over the run: from {low} to {high} {self.unit}".rstrip()
        svg = element(
            "svg",
            element("title", name),
            *_strokes(self.over_time, max(measured)),
            viewBox="0 0 100 20",
            preserveAspectRatio="none",
            role="img",
            aria_label=name,
        )
        return element("dd", svg, cls="spark")


def _strokes(values: Sequence[float | None], most: float) -> Iterator[Markup]:
    """Lines through the values of a box of 100 by 20, from 0 at its foot to the greatest at its top."""
    pieces: list[list[str]] = [[]]
    for at, value in enumerate(values):
        if value is None:
            pieces.append([])
        else:
            height = 19.0 - 18.0 * (value / most if most > 0 else 0.0)
            pieces[-1].append(f"{100 * at / (len(values) - 1):.1f},{height:.1f}")
    for points in pieces:
        if points:
            yield element("polyline", points=" ".join(points if len(points) > 1 else points * 2))


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
    detail: str = ""
    checks: Sequence[Check] = ()

    def html(self) -> Markup:
        """One line: the word, and what does not hold as chips; the checks below it, folded unless the tone is bad."""
        off = [check for check in self.checks if check.level != "ok"]
        held = [check for check in self.checks if check.level == "ok"]
        levels = {check.name: check.level for check in reversed(off)}
        names = list(dict.fromkeys(check.name for check in off))
        chips = [element("span", name, cls=f"chip {levels[name]}") for name in names[:CHIPS]]
        more = element("span", f"and {len(names) - CHIPS} more", cls="chip") if len(names) > CHIPS else None
        word = join(element("strong", self.word), self.detail and element("span", self.detail), *chips, more)
        frame = {"cls": f"verdict wide {self.tone}", "aria_label": "Verdict"}
        if not self.checks:
            return element("section", element("p", word, cls="word"), **frame)
        holds = element("summary", "1 check holds" if len(held) == 1 else f"{len(held)} checks hold")
        folded = element(
            "details",
            element("summary", word, cls="word"),
            _checks(off) if off else None,
            element("details", holds, _checks(held)) if held else None,
            open=self.tone == "bad",
        )
        return element("section", folded, **frame)


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and what there is to say of them; None is left out."""

    facts: Mapping[str, str | None]

    def html(self) -> Markup:
        """A description list in two columns."""
        pairs = [
            join(element("dt", name), element("dd", fact)) for name, fact in self.facts.items() if fact is not None
        ]
        return element("dl", *(element("div", pair) for pair in pairs), cls="facts wide")


@dataclass(frozen=True, slots=True)
class Note:
    """A paragraph."""

    text: str
    tone: Tone = "plain"

    def html(self) -> Markup:
        """A paragraph across the page."""
        return element("p", self.text, cls=f"note wide {self.tone}")


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


def _kind(column: Column, values: Sequence[Value]) -> str:
    """The classes of a column's cells."""
    return " ".join([*(["number"] if all(map(_is_number, values)) else []), *(["more"] if column.more else [])])


def _cell(value: Value, kind: str, *, first: bool) -> Markup:
    """A cell; a number carries its whole value, by which the page sorts."""
    cell = value if isinstance(value, Cell) else Cell(value)
    shown: str = cell.text if cell.text is not None else _shown(cell.value)
    inside = element("a", shown, href=cell.href) if cell.href is not None else shown
    classes = [*([kind] if kind else []), *([cell.tone] if cell.tone != "plain" else [])]
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
    content = value.value if isinstance(value, Cell) else value
    return not isinstance(content, str)


def _shown(value: str | float | None) -> str:
    if value is None:
        return MISSING
    if isinstance(value, int):
        return f"{value:,}"
    return value if isinstance(value, str) else fine(value)


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, /, *children: str | None, **attributes: str | float | bool | None) -> Markup:
    """An element; children that are no Markup are escaped, None is left out.

    Attributes: `cls` is class and `_` is `-` in names; True gives a bare attribute, False and None none.
    """
    given = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{join(*children)}</{name}>")


def join(*children: str | None) -> Markup:
    """Children one after the other."""
    return Markup("".join(child if isinstance(child, Markup) else text(child) for child in children if child))


def text(content: str) -> Markup:
    """Anybody's text: escaped, and without control characters."""
    return Markup(escape(printable(content)))


def data(value: Any) -> Markup:
    """JSON for a script element of a type that no browser runs; nothing in it can end the element."""
    content = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return Markup(content.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _attribute(key: str, value: str | float | bool | None) -> str:
    name = {"cls": "class"}.get(key, key.replace("_", "-"))
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(printable(str(value)))}"'
