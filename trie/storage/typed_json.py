"""Frozen dataclasses out of JSON values, and back: one reader and one writer for all that a run leaves as JSON.

A key that is missing gets the field's default. One that the class does not declare goes into its field `unknown`, where
it has one, and is left out otherwise. So files of older and newer versions are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")

UNKNOWN = "unknown"


def decode(kind: type[T], content: Mapping[str, Any]) -> T:
    """An object of a dataclass whose fields are JSON values, dataclasses, tuples or mappings of them, or None.

    Raises:
        KeyError: for a field that has no default and is missing.
        TypeError: for a value where an object is expected.
    """
    if not isinstance(content, Mapping):
        raise TypeError(f"{kind.__name__} is no JSON object")
    hints = _hints(kind)  # type: ignore[arg-type]  # a class is hashable
    values: dict[str, Any] = {}
    for field in fields(kind):  # type: ignore[arg-type]  # a dataclass, which the type can't say
        if field.name in content and field.name != UNKNOWN:
            values[field.name] = _value(hints[field.name], content[field.name])
        elif field.default is MISSING and field.default_factory is MISSING:
            raise KeyError(field.name)
    if UNKNOWN in hints:
        values[UNKNOWN] = {key: content[key] for key in content if key not in hints}
    return kind(**values)


def encode(value: Any) -> Any:
    """JSON values of an object that `decode` reads."""
    if is_dataclass(value):
        content = {field.name: encode(getattr(value, field.name)) for field in fields(value)}
        unknown = content.pop(UNKNOWN, {})
        return {**content, **unknown}
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    return value


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _value(hint: Any, value: Any) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if value is None:
        return None
    if origin is UnionType:
        kinds = [argument for argument in arguments if argument is not type(None)]
        return _value(kinds[0], value) if len(kinds) == 1 else value
    if is_dataclass(hint):
        return decode(hint, value)  # type: ignore[arg-type]  # a class, as every hint
    if origin is tuple:
        return tuple(_value(arguments[0], item) for item in value)
    if origin is Mapping:
        return {key: _value(arguments[1], item) for key, item in value.items()}
    return value
