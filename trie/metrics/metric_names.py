"""The numbers of summary.json by dotted keys, each with what its declaration says of it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trie.errors import ConfigError
from trie.metrics import definitions
from trie.metrics.definitions import Number
from trie.metrics.definitions.metric import Better

NOT_NUMBERS = ("schema_version", "certainty")  # intervals belong to the numbers; they are none of their own


@dataclass(frozen=True, slots=True)
class Described:
    """What stands beside a number: its key, the name of its metric and statistic, its unit, what is better."""

    key: str  # the path in summary.json
    label: str
    statistic: str  # mean, p99, Steady State ...; empty where a metric is one number
    unit: str  # of the number in summary.json
    better: Better
    number: Number | None = None  # its declaration, where it has one

    @property
    def name(self) -> str:
        """What people call it, without its unit."""
        return self.number.name if self.number else self.label

    @property
    def titled(self) -> str:
        """What people call it, with the unit that they read."""
        return self.number.titled if self.number else self.label

    @property
    def heading(self) -> str:
        """What people call its metric, with the unit that they read."""
        return self.number.metric.heading if self.number else self.label

    @property
    def shown_unit(self) -> str:
        """The unit that people read."""
        return self.number.display.unit if self.number else self.unit

    def shown(self, value: float | None) -> float | None:
        """A value of summary.json in the unit that people read."""
        return self.number.shown(value) if self.number else value


def flat(summary: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float | None]]:
    """Every number of a summary.json by its path; None where it was not measured."""
    for name, value in summary.items():
        key = f"{prefix}{name}"
        if key in NOT_NUMBERS:
            continue
        if isinstance(value, Mapping):
            yield from flat(value, f"{key}.")
        elif value is None:
            yield key, None
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield key, value


def numbers(summary: Mapping[str, Any]) -> dict[str, float | None]:
    """`flat`, with a None for each number of a metric that was not measured at all."""
    values = dict(flat(summary))
    for metric in definitions.METRICS:
        if values.get(metric.path, 0.0) is None:
            del values[metric.path]
            values |= dict.fromkeys((number.key for number in metric.numbers()), None)
    return values


def described(key: str) -> Described:
    """The declaration behind a key; a key of none is its own name, without unit and direction."""
    number = definitions.number_of(key)
    if number is None:
        return Described(key, key.replace("_", " ").replace(".", ": "), "", "", None)
    metric = number.metric
    return Described(key, metric.titled, number.statistic, number.unit, number.better, number)


def resolve(word: str, keys: Iterable[str]) -> str:
    """The key that a person means: the path in summary.json, with or without its section.

    Raises:
        ConfigError: with the near miss.
    """
    keys = list(keys)
    # A key may leave its section out; the first that fits is meant.
    sections = (definitions.PER_TRACE.key, definitions.WORKLOAD.key, definitions.PER_REQUEST.key)
    for candidate in (word, *(f"{section}.{word}" for section in sections)):
        if candidate in keys:
            return candidate
    short = {key.partition(".")[2] if key.startswith(sections) else key: key for key in reversed(keys)}
    close = difflib.get_close_matches(word, [*short, *keys], n=1, cutoff=0.6)
    hint = f"did you mean {close[0]}?" if close else "metrics are the keys of summary.json, such as ttft_s.p99"
    raise ConfigError(f"{word}: no such metric; {hint}")
