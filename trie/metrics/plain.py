"""Dataclasses out of decoded JSON, checked against their annotations."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

from trie.errors import RunDirError

T = TypeVar("T")


def from_plain(kind: type[T], data: object, where: str) -> T:
    """An instance of the dataclass `kind`, whose fields may be numbers, strings, lists, dicts and further dataclasses.

    Raises:
        RunDirError: naming the path from `where` on to a key that is missing or has a value of another type.
    """
    if not isinstance(data, Mapping):
        raise _wrong(where, data, "an object")
    values = {}
    for name, hint in _hints(kind).items():
        if name not in data:
            raise RunDirError(f"{where}: {name} is missing")
        values[name] = _value(hint, data[name], f"{where}: {name}")
    return kind(**values)


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {item.name: hints[item.name] for item in fields(kind)}


def _value(hint: Any, value: Any, where: str) -> Any:
    if is_dataclass(hint):
        return from_plain(cast("type[Any]", hint), value, where)
    origin = get_origin(hint)
    if origin is types.UnionType:
        return _optional(hint, value, where)
    if origin is list and isinstance(value, list):
        return [_value(get_args(hint)[0], item, f"{where}[{i}]") for i, item in enumerate(value)]
    if origin is dict and isinstance(value, Mapping):
        return {str(key): _value(get_args(hint)[1], item, f"{where}.{key}") for key, item in value.items()}
    return _scalar(hint, value, where)


def _optional(hint: Any, value: Any, where: str) -> Any:
    if value is None:
        return None
    (inner,) = (arg for arg in get_args(hint) if arg is not types.NoneType)
    return _value(inner, value, where)


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if get_origin(hint) is Literal:
        if value in get_args(hint):
            return value
        raise _wrong(where, value, " or ".join(get_args(hint)))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and isinstance(value, hint) and isinstance(value, bool) == (hint is bool):
        return value
    raise _wrong(where, value, getattr(hint, "__name__", str(hint)))


def _wrong(where: str, value: object, allowed: str) -> RunDirError:
    return RunDirError(f"{where}: found {ascii(value)[:60]}, must be {allowed}")
