"""JSON as servers really send it, and as it can be shown, pure."""

from __future__ import annotations

import json
from typing import Any

import orjson


def loads(data: bytes) -> Any:
    """JSON as servers really send it: strict first, then with lone surrogates and invalid UTF-8 let through.

    Raises:
        ValueError: for what is no JSON at all.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            return json.loads(data.decode("utf-8", "replace"))
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def shown(value: object) -> str:
    """A value as JSON, as far as it can be."""
    try:
        return json.dumps(value)
    except (RecursionError, ValueError):  # nested deeper than it can be written, or integers of thousands of digits
        return f"a {type(value).__name__} that can't be shown"
