"""A JSON schema of configuration files, for editors: meanings, types and ranges, out of the settings themselves."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any, get_args, get_origin

from trie.config.command import CommandConfig
from trie.config.setting import Setting, settings_of
from trie.errors import ConfigError, near_miss

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TYPES: dict[Any, str] = {float: "number", int: "integer", bool: "boolean", str: "string", list: "array", dict: "object"}
HYDRAS = {
    "defaults": {"type": "array", "description": "the options that this file chooses, as Hydra reads them"},
    "hydra": {"type": "object", "description": "what Hydra does around a run"},
}

Schema = dict[str, Any]


def json_schema(group: str = "") -> Schema:
    """The schema of a file that sets a whole run, as experiments and sweeps do, or of one with a group's settings.

    Raises:
        ConfigError: for a group that there is not.
    """
    chosen = [setting for setting in settings_of(CommandConfig) if not group or setting.key.startswith(f"{group}.")]
    if not chosen:
        groups = sorted({setting.key.partition(".")[0] for setting in settings_of(CommandConfig) if "." in setting.key})
        hint = near_miss(group, groups) or f"; there are {', '.join(groups)}"
        raise ConfigError(f"{group}: no such group of settings{hint}")
    prefix = f"{group}." if group else ""
    title = f"{group} settings of trie" if group else "a run or a sweep of trie"
    schema = _object((setting.key.removeprefix(prefix), setting) for setting in chosen)
    schema["properties"] = {**HYDRAS, **schema["properties"]}
    return {"$schema": DIALECT, "title": title, **schema}


def _object(settings: Iterable[tuple[str, Setting]]) -> Schema:
    """An object of these settings, by their keys in it; a dot leads into an object of its own."""
    properties: Schema = {}
    inner: dict[str, list[tuple[str, Setting]]] = {}
    for key, setting in settings:
        name, _, rest = key.partition(".")
        if rest:
            inner.setdefault(name, []).append((rest, setting))
            properties.setdefault(name, {})
        else:
            properties[name] = _value(setting)
    properties |= {name: _object(members) for name, members in inner.items()}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _value(setting: Setting) -> Schema:
    """One setting: what it means and what is allowed."""
    rule = setting.rule
    meaning = f"{rule.doc} ({rule.unit})" if rule.unit else rule.doc
    default = setting.default.name if isinstance(setting.default, Enum) else setting.default
    kind = get_origin(setting.kind) or setting.kind
    schema: Schema = {"description": meaning, "default": default}
    if kind is Any:
        return schema
    name = TYPES.get(kind, "string")  # the names of an enum
    schema["type"] = [name, "null"] if setting.optional else name
    allowed: list[str | None] = [*setting.choices]
    if kind is list:
        (of,) = get_args(setting.kind)
        schema["items"] = {"enum": allowed} if allowed else {"type": TYPES[of]}
    elif allowed:
        schema["enum"] = [*allowed, None] if setting.optional else allowed
    limits = {"minimum": rule.minimum, "exclusiveMinimum": rule.above, "maximum": rule.maximum}
    schema |= {key: limit for key, limit in limits.items() if limit is not None and kind in (int, float)}
    if rule.text and not rule.choices:
        schema["minLength"] = 1
    return schema
