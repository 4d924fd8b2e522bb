"""Field maps: which field of a format's row says what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

MS = 1e-3


class Field(NamedTuple):
    """Where a value stands: of several names the first that a row has; a dot may go into an object."""

    names: tuple[str, ...]
    unit: float = 1.0  # seconds of a time's unit

    def get(self, row: Mapping[str, Any]) -> Any:
        """The value, None where there is none."""
        for name in self.names:
            value = row.get(name)
            if value is None and "." in name:
                value = nested(row, name)
            if value is not None:
                return value
        return None

    def tokens(self, row: Mapping[str, Any]) -> int | None:
        """The value as a whole number."""
        value = self.get(row)
        return value if type(value) is int or value is None else whole(value)

    def seconds(self, row: Mapping[str, Any]) -> float | None:
        """The value as seconds: a number in the field's unit, or a date."""
        value = self.get(row)
        if type(value) is float or type(value) is int:
            return value * self.unit
        return instant(value, self.unit) if type(value) is str else None


NOWHERE = Field(())


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """What a row of a format says about one request, or about its session."""

    session: Field = NOWHERE
    prompt: Field
    completion: Field
    reasoning: Field = NOWHERE
    survives: Field = NOWHERE  # cached tokens: what of the conversation is the same
    start: Field = NOWHERE
    end: Field = NOWHERE
    wait: Field = NOWHERE


def nested(row: Mapping[str, Any], name: str) -> Any:
    """The value behind a dotted name."""
    value: Any = row
    for part in name.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


def whole(value: Any) -> int | None:
    """A whole number out of what JSON or CSV holds: 3, 3.0 and "3" are 3."""
    if isinstance(value, bool) or value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return int(number) if number.is_integer() else None


def instant(text: str, unit: float = 1.0) -> float | None:
    """Seconds since 1970 out of a date, or a number in `unit`; a date without a zone is UTC."""
    try:
        if text[4:5] == "-":
            moment = datetime.fromisoformat(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        return float(text) * unit
    except ValueError:
        return None
