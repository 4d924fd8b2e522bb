"""The dialects, conf/endpoint/*.yaml: what is set to speak to an engine, and what an endpoint takes from that."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from typing import Any

from trie.config import EndpointConfig, shipped_groups
from trie.config.setting import written
from trie.engines import catalog

CUSTOM = "custom"  # name of an endpoint whose dialect is found by asking
OF_THE_USER = frozenset({"name", "base_url"})  # of a file, what is no part of its dialect


def names() -> list[str]:
    """All there are."""
    return shipped_groups.names("endpoint")


def settings_of(name: str) -> dict[str, Any]:
    """The settings of a dialect, as its file has them."""
    values = shipped_groups.load("endpoint", name)
    return {key: value for key, value in values.items() if key not in OF_THE_USER}


def applied(endpoint: EndpointConfig, name: str) -> tuple[EndpointConfig, dict[str, Any]]:
    """The endpoint with what a dialect sets and it leaves at its default, and what that is, by dotted keys.

    Raises:
        ConfigError: where what the endpoint sets and the dialect exclude each other.
    """
    defaults = EndpointConfig()
    changes: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    for key, value in settings_of(name).items():
        current, default = getattr(endpoint, key), getattr(defaults, key)
        if isinstance(current, dict):
            missing = {inner: inner_value for inner, inner_value in value.items() if inner not in current}
            changes[key] = {**current, **missing}
            settings.update({f"{key}.{inner}": inner_value for inner, inner_value in missing.items()})
        elif current == default and (typed := _typed(value, default)) != default:
            changes[key], settings[key] = typed, value
    return replace(endpoint, name=name, **changes), settings


def _typed(value: Any, default: Any) -> Any:
    return type(default)[value] if isinstance(default, Enum) else value


def listed(settings: Mapping[str, Any]) -> str:
    """Settings as they would be written on a command line."""
    return ", ".join(f"{key}={written(value)}" for key, value in settings.items())


def cache_flags() -> str:
    """The flags with which engines report cached tokens, for people whose engine is not known."""
    engines_by_flag: dict[str, list[str]] = defaultdict(list)
    for engine in catalog.ENGINES:
        flag = settings_of(engine.dialect).get("cache_flag")
        if flag is not None:
            engines_by_flag[flag].append(engine.name)
    return "; ".join(f"{' and '.join(engines)}: {flag}" for flag, engines in engines_by_flag.items())
