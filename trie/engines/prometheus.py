"""Prometheus' text format: its samples, and the kind of each family. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

_SAMPLE = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{(.*)\})?[ \t]+(\S+)(?:[ \t]+-?\d+)?[ \t]*$", re.MULTILINE)
_LABEL = re.compile(r'([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"')
_KIND = re.compile(r"^# TYPE ([A-Za-z_:][\w:]*) (\w+)", re.MULTILINE)


class Sample(NamedTuple):
    """One line: a name, its labels, its value; NaN and infinities as they are."""

    name: str
    labels: Mapping[str, str]
    value: float


def samples(body: bytes) -> Iterator[Sample]:
    """Every sample of a text; lines that hold none are skipped."""
    for name, labels, value in _SAMPLE.findall(body.decode("utf-8", "replace")):
        with suppress(ValueError):
            yield Sample(name, dict(_LABEL.findall(labels)), float(value))


def kinds(body: bytes) -> dict[str, str]:
    """The kind of each family that states one: counter, gauge, histogram, summary."""
    return dict(_KIND.findall(body.decode("utf-8", "replace")))


def has_names(body: bytes, prefix: str) -> bool:
    """Whether the name of a sample, or of a family that has none yet, begins with a prefix."""
    return re.search(rf"^(?:# TYPE )?{re.escape(prefix)}".encode(), body, re.MULTILINE) is not None
