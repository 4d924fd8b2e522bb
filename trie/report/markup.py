"""HTML as values: text is escaped where it becomes markup, which happens here and nowhere else."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from trie.text import printable

VOID = frozenset({"br", "col", "meta"})


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


def text(said: str) -> Markup:
    """Anybody's text: escaped, and without control characters."""
    return Markup(escape(printable(said)))


def data(value: Any) -> Markup:
    """JSON for a script element of a type that no browser runs; nothing in it can end the element."""
    found = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return Markup(found.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _attribute(key: str, value: str | float | bool | None) -> str:
    name = {"cls": "class"}.get(key, key.replace("_", "-"))
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(printable(str(value)))}"'
