"""The numbers of summary.json by dotted keys, each with what its declaration says of it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from trie.errors import ConfigError
from trie.metrics.definitions import PER_REQUEST, PER_TRACE, RUN, STATISTICS, WINDOW_LABELS, WINDOWS, WORKLOAD, Metric

SECTIONS = ("per_trace", "workload", "per_request")  # which a key may leave out; the first that fits is meant
FEWER = ("traces.failed", "requests.failed")  # counts are not declared; of these fewer are better
BESIDE = ("schema_version",)


@dataclass(frozen=True, slots=True)
class Described:
    """What stands beside a number: its key, the name of its metric and statistic, its unit, what is better."""

    key: str  # the path in summary.json
    label: str
    statistic: str  # mean, p99, Steady State ...; empty where a metric is one number
    unit: str
    better: Literal["higher", "lower"] | None


def flat(summary: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float | None]]:
    """Every number of a summary.json by its path; None where it was not measured."""
    for name, value in summary.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from flat(value, f"{key}.")
        elif value is None:
            yield key, None
        elif isinstance(value, int | float) and not isinstance(value, bool) and key not in BESIDE:
            yield key, value


def numbers(summary: Mapping[str, Any]) -> dict[str, float | None]:
    """`flat`, with a None for each statistic of a metric that was not measured at all."""
    found = dict(flat(summary))
    for section, metrics in (("per_trace", PER_TRACE), ("per_request", PER_REQUEST)):
        for metric in metrics:
            if found.get(f"{section}.{metric.key}", 0.0) is None:
                del found[f"{section}.{metric.key}"]
                found |= dict.fromkeys((f"{section}.{metric.key}.{name}" for name in STATISTICS), None)
    return found


def described(key: str) -> Described:
    """The declaration behind a key; a key of none is its own name, without unit and direction."""
    section, _, rest = key.partition(".")
    name, _, last = rest.partition(".")
    for owner, metrics in (("per_trace", PER_TRACE), ("per_request", PER_REQUEST), ("workload", WORKLOAD)):
        for metric in metrics:
            if (section, name) == (owner, metric.key):
                words = dict(zip(WINDOWS, WINDOW_LABELS, strict=True))
                return Described(key, metric.label, words.get(last, last), metric.unit, metric.better)
    for metric in RUN:
        if (statistic := _statistic(metric, key)) is not None:
            return Described(key, metric.label, statistic, metric.unit, metric.better)
    lower = key in FEWER or section == "errors"
    return Described(key, key.replace("_", " ").replace(".", ": "), "", "", "lower" if lower else None)


def _statistic(metric: Metric, key: str) -> str | None:
    """Which of a metric's numbers a key is; None when it is none of them."""
    if key == metric.key:
        return ""
    if key.startswith(f"{metric.key}."):
        return key.removeprefix(f"{metric.key}.").replace("_", " ")
    head, _, unit = metric.key.rpartition("_")
    if head and key.startswith(f"{head}_") and key.endswith(f"_{unit}"):
        return key[len(head) + 1 : -len(unit) - 1]
    return None


def resolve(word: str, known: Iterable[str]) -> str:
    """The key that a person means: the path in summary.json, with or without its section.

    Raises:
        ConfigError: with the near miss.
    """
    keys = list(known)
    for candidate in (word, *(f"{section}.{word}" for section in SECTIONS)):
        if candidate in keys:
            return candidate
    short = {key.partition(".")[2] if key.startswith(SECTIONS) else key: key for key in reversed(keys)}
    close = difflib.get_close_matches(word, [*short, *keys], n=1, cutoff=0.6)
    hint = f"did you mean {close[0]}?" if close else "metrics are the keys of summary.json, such as ttft_s.p99"
    raise ConfigError(f"{word}: no such metric; {hint}")
