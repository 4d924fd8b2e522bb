"""Dataclasses out of JSON and back: defaults, unknown keys, nested objects, and what can't be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from trie.storage.typed_json import decode, encode


@dataclass(frozen=True)
class Inner:
    name: str
    number: int | None = None


@dataclass(frozen=True)
class Outer:
    inner: Inner
    several: tuple[Inner, ...] = ()
    by_name: Mapping[str, Inner | None] = field(default_factory=dict)
    maybe: Inner | None = None
    either: str | int | None = None
    unknown: Mapping[str, Any] = field(default_factory=dict)


def test_there_and_back() -> None:
    outer = Outer(Inner("a", 1), (Inner("b"), Inner("c", 3)), {"d": Inner("d"), "e": None}, Inner("f", 0), 5)
    content = encode(outer)
    assert content == {
        "inner": {"name": "a", "number": 1},
        "several": [{"name": "b", "number": None}, {"name": "c", "number": 3}],
        "by_name": {"d": {"name": "d", "number": None}, "e": None},
        "maybe": {"name": "f", "number": 0},
        "either": 5,
    }
    assert decode(Outer, content) == outer


def test_what_an_older_version_left_out_gets_its_default() -> None:
    assert decode(Outer, {"inner": {"name": "a"}}) == Outer(Inner("a"))


def test_what_a_newer_version_added_is_kept_where_there_is_a_place_for_it() -> None:
    content = {"inner": {"name": "a", "colour": "red"}, "shape": {"sides": 3}}
    outer = decode(Outer, content)
    assert outer.unknown == {"shape": {"sides": 3}}
    assert encode(outer)["shape"] == {"sides": 3}
    assert "colour" not in encode(outer)["inner"]


@pytest.mark.parametrize(
    ("content", "error"), [({}, KeyError), ({"inner": 3}, TypeError), ({"inner": {}}, KeyError), ([], TypeError)]
)
def test_what_is_no_such_object(content: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        decode(Outer, content)
