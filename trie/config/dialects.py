"""The dialects that come with the package, conf/endpoint/*.yaml, and what an endpoint takes from one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from typing import Any

from trie.config import EndpointConfig, shipped_groups

CUSTOM = "custom"  # name of an endpoint whose dialect is found by asking
_OF_THE_USER = frozenset({"name", "base_url"})  # of a file, what is no part of its dialect


def names() -> list[str]:
    """All there are."""
    return shipped_groups.names("endpoint")


def settings_of(name: str) -> dict[str, Any]:
    """The settings of one, as its file has them."""
    values = shipped_groups.load("endpoint", name)
    return {key: value for key, value in values.items() if key not in _OF_THE_USER}


def settled(endpoint: EndpointConfig, name: str) -> tuple[EndpointConfig, dict[str, Any]]:
    """The endpoint with what a dialect sets and it leaves at its default, and what that is, by dotted keys.

    Raises:
        ConfigError: where what the endpoint sets and the dialect exclude each other.
    """
    blank = EndpointConfig()
    changed: dict[str, Any] = {}
    taken: dict[str, Any] = {}
    for key, value in settings_of(name).items():
        own, default = getattr(endpoint, key), getattr(blank, key)
        if isinstance(own, dict):
            new = {inner: found for inner, found in value.items() if inner not in own}
            changed[key] = {**own, **new}
            taken.update({f"{key}.{inner}": found for inner, found in new.items()})
        elif own == default and (wanted := _typed(value, default)) != default:
            changed[key], taken[key] = wanted, value
    return replace(endpoint, name=name, **changed), taken


def _typed(value: Any, default: Any) -> Any:
    return type(default)[value] if isinstance(default, Enum) else value


def listed(taken: Mapping[str, Any]) -> str:
    """Settings as they would be written on a command line."""
    return ", ".join(f"{key}={_written(value)}" for key, value in taken.items())


def _written(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
