"""How a setting is declared: its default, its meaning, what is allowed, and whether it changes what is measured.

All of it stands at the dataclass field as metadata, once. The checks below, docs/configuration.md, `trie help KEY`,
hints in errors, and the comparisons of runs and of sweep cells read it from there.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from trie.errors import ConfigError

T = TypeVar("T")

MAX_SECONDS = 1e8  # three years: a longer time is a mistake
MAX_WHOLE = 1 << 53  # the same for counts and seeds
SECONDS = "seconds"
_RULE = "trie"  # key of a field's metadata


@dataclass(frozen=True, slots=True)
class Rule:
    """What a field's metadata states."""

    doc: str
    minimum: float | None = None  # the least value that is allowed
    above: float | None = None  # instead of a minimum: every larger value is allowed
    maximum: float | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()  # of a text, or of the items of a list
    text: str = ""  # what a text must be, where it may not be empty
    measured: bool = True  # False: no value of it changes what a run measures

    def check(self, key: str, value: Any) -> None:
        """Refuse a value that is not allowed; None stands for a setting that was not given.

        Raises:
            ConfigError: naming the key, the value and what is allowed.
        """
        if value is None:
            return
        if self.choices:
            items = value if isinstance(value, list) else [value]
            allowed = f"{'a list' if items is value else 'one'} of {', '.join(self.choices)}"
            require(set(items) <= set(self.choices), key, value, allowed)
        elif self.text:
            require(value != "", key, "(empty)", self.text)
        elif self.minimum is not None or self.above is not None:
            require(self._in_range(value), key, value, self.range_text(value))

    def _ceiling(self, value: float) -> float:
        """The largest allowed value; without a declared one, the limit of a time, of a count or of any number."""
        if self.maximum is not None:
            return self.maximum
        if self.unit == SECONDS:
            return MAX_SECONDS
        return MAX_WHOLE if isinstance(value, int) else sys.float_info.max

    def _in_range(self, value: float) -> bool:
        low_enough = value <= self._ceiling(value)  # False for NaN, too
        return low_enough and (value > self.above if self.above is not None else value >= (self.minimum or 0))

    def range_text(self, value: float = 0) -> str:
        """The allowed range as a person reads it; a limit that nobody declared appears where `value` is above it."""
        if self.minimum is None and self.above is None:
            return ""
        low = f"{_number(self.minimum)} or more" if self.minimum is not None else f"above {_number(self.above or 0)}"
        ceiling = self._ceiling(value)
        if self.maximum is None and not value > ceiling:
            text = low
        elif ceiling == sys.float_info.max:
            text = f"{low} and finite"
        elif self.minimum is not None:
            text = f"from {_number(self.minimum)} to {_number(ceiling)}"
        else:
            text = f"at most {_number(ceiling)}" if self.maximum is None else f"{low} and at most {_number(ceiling)}"
        return f"{text} ({self.unit})" if self.unit else text


def setting(
    default: T,
    doc: str,
    *,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    unit: str = "",
    choices: tuple[str, ...] = (),
    text: str = "",
    measured: bool = True,
    shown: bool = True,
) -> T:
    """A dataclass field with its rule as metadata; a list or dict as default is copied for each object.

    Args:
        default: the field's value where none is given.
        doc: one phrase on its meaning, without the unit and the range.
        minimum: see `Rule`, as for the arguments after it.
        above: see `Rule`.
        maximum: see `Rule`.
        unit: see `Rule`.
        choices: see `Rule`.
        text: see `Rule`.
        measured: see `Rule`.
        shown: False keeps the value out of the object's repr.
    """
    metadata = {_RULE: Rule(doc, minimum, above, maximum, unit, choices, text, measured)}
    if isinstance(default, list | dict):
        return field(default_factory=lambda: copy.copy(default), metadata=metadata, repr=shown)
    return field(default=default, metadata=metadata, repr=shown)


def check(settings: Any, prefix: str = "") -> None:
    """Refuse settings of which one breaks its rule.

    Raises:
        ConfigError: naming the key, the value and what is allowed.
    """
    for attribute in fields(settings):
        rule = attribute.metadata.get(_RULE)
        if rule is not None:
            key = f"{prefix}{attribute.name}".removesuffix(".value")  # people type concurrency=8
            rule.check(key, getattr(settings, attribute.name))


def require(ok: bool, key: str, value: object, allowed: str) -> None:
    """Refuse a value in the one form that every settings error has.

    Raises:
        ConfigError: when `ok` is false.
    """
    if not ok:
        raise ConfigError(f"{key}={value}: must be {allowed}")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a schema, for documentation and hints."""

    key: str  # dotted
    kind: Any  # its type, without None
    optional: bool
    default: Any
    rule: Rule

    def from_file(self, value: Any) -> Any:
        """A value as a file has it, in the setting's own type."""
        return self.kind[value] if self._is_enum else value

    @property
    def type_name(self) -> str:
        """The type as a configuration file has it."""
        if self.kind is Any:
            return "str, map or null"
        name = "str" if self._is_enum else getattr(self.kind, "__name__", "")
        if get_origin(self.kind) is not None:
            name = f"{get_origin(self.kind).__name__} of {get_args(self.kind)[-1].__name__}"
        return f"{name} or null" if self.optional else name

    @property
    def default_text(self) -> str:
        """The default as a configuration file has it; of a long list, its length."""
        if isinstance(self.default, list) and len(self.default) > 3:
            return f"{len(self.default)} names"
        if isinstance(self.default, list):
            return f"[{', '.join(map(str, self.default))}]"
        return written(self.default)

    @property
    def choices(self) -> tuple[str, ...]:
        """All allowed texts, where they can be listed."""
        return tuple(member.name for member in self.kind) if self._is_enum else self.rule.choices

    @property
    def allowed(self) -> str:
        """What may be given beyond the type: choices, a range, a unit; often nothing."""
        return ", ".join(self.choices) or self.rule.range_text() or self.rule.unit

    @property
    def wanted(self) -> str:
        """What a value must be, for an error: type and range in one phrase."""
        if self.kind is Any:
            return self.rule.text
        text = self.rule.text.removesuffix(", or null") or "text"
        nouns = {float: "a number", int: "a whole number", bool: "true or false", str: text, list: "a list"}
        noun = nouns.get(get_origin(self.kind) or self.kind, "a mapping of keys to values")
        if self.choices:
            noun = f"{'a list' if get_origin(self.kind) else 'one'} of {', '.join(self.choices)}"
        elif span := self.rule.range_text():
            noun = f"{noun}, {span}" if "or more" in span else f"{noun} {span}"
        return f"{noun}, or null" if self.optional and "null" not in noun else noun

    @property
    def _is_enum(self) -> bool:
        return isinstance(self.kind, type) and issubclass(self.kind, Enum)


def settings_of(schema: type, prefix: str = "") -> Iterator[Setting]:
    """Every setting of a schema and of the schemas in it, in their order."""
    hints = get_type_hints(schema)
    for attribute in fields(schema):
        kind, key = hints[attribute.name], f"{prefix}{attribute.name}"
        if is_dataclass(kind):
            yield from settings_of(kind, f"{key}.")  # type: ignore[arg-type]  # hints are types
            continue
        optional = isinstance(kind, UnionType) and NoneType in get_args(kind)
        [kind] = [part for part in get_args(kind) if part is not NoneType] if optional else [kind]
        yield Setting(key, kind, optional, _default(attribute), attribute.metadata[_RULE])


def _default(attribute: Any) -> Any:
    return attribute.default_factory() if attribute.default is MISSING else attribute.default


def unmeasured(schema: type) -> frozenset[str]:
    """The keys of the settings that change nothing in what a run measures."""
    return frozenset(setting.key for setting in settings_of(schema) if not setting.rule.measured)


def written(value: Any) -> str:
    """A value as it would be written on a command line."""
    if isinstance(value, list):
        return f"[{','.join(map(written, value))}]"
    if value is None:
        return "null"
    if isinstance(value, Enum):
        return value.name
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:g}"
