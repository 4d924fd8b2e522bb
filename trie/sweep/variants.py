"""What tells cells of one workload apart, beside concurrency and repeat."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trie.sweepdir import Cell

# Rows and columns of a sweep, what every run draws for itself, and what changes nothing in what is measured.
NOT_A_VARIANT = ("workload", "concurrency", "repeat", "seed", "html", "progress", "strict", "endpoint.headers")


def variants(cells: Sequence[Cell]) -> list[str]:
    """For each cell the settings in which the cells of its workload differ, such as `duration=60`; often nothing."""
    settings = [dict(_flat(cell.config)) for cell in cells]
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for cell, one in zip(cells, settings, strict=True):
        groups[cell.workload].append(one)
    keys = {workload: list(_differing(group)) for workload, group in groups.items()}
    return [
        ", ".join(f"{key}={one.get(key)}" for key in keys[cell.workload])
        for cell, one in zip(cells, settings, strict=True)
    ]


def _differing(settings: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Keys that all have and that are not the same in all."""
    for key in sorted(set.intersection(*map(set, settings))):
        if len({str(one[key]) for one in settings}) > 1:
            yield key


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values; numbers as one type, since YAML says 20 where JSON says 20.0."""
    for key, value in config.items():
        name = f"{prefix}{key}"
        if name in NOT_A_VARIANT:
            continue
        if isinstance(value, dict):
            yield from _flat(value, f"{name}.")
        else:
            yield name, float(value) if isinstance(value, int) and not isinstance(value, bool) else value
