"""A sweep as one long table: a row a cell, a column a metric, units in the names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trie.config import RunConfig
from trie.config.setting import unmeasured
from trie.metrics.definitions import (
    PER_REQUEST,
    PER_TRACE,
    RUN,
    STATISTICS,
    WINDOW_DEFINITIONS,
    WINDOW_LABELS,
    WINDOWS,
    WORKLOAD,
    Metric,
)
from trie.storage.sweep_dir import Cell, at

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
COUNTS = {"traces": ("completed", "failed", "cancelled"), "requests": ("ok", "failed", "cancelled")}
PARTS = {  # places in summary.json of the metrics of a run that are several numbers
    "budget": tuple(("budget", name) for name in ("prefill", "decode", "retries", "tool_wait", "client")),
    "censoring.latency_km_s": (("censoring", "latency_km_p50_s"), ("censoring", "latency_km_p90_s")),
}
FAILED_SHARE = "requests_failed_share"
# The columns before the metrics, with the types that Arrow gives them.
FACTS = {
    "cell": "string",
    "workload": "string",
    "variant": "string",
    "concurrency": "int64",
    "repeat": "int64",
    "status": "string",
    "why": "string",
    "valid": "bool",
    "warnings": "int64",
    "model": "string",
    "num_gpus": "int64",
    "duration_s": "float64",
    "started": "string",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A column that holds a metric: where summary.json has it, and what its declaration says."""

    name: str
    path: tuple[str, ...]
    label: str
    unit: str
    definition: str


def figures() -> Iterator[Figure]:
    """Every number of a summary that has a declaration, in the order of the columns."""
    for outer, names in COUNTS.items():
        for name in names:
            yield Figure(f"{outer}_{name}", (outer, name), f"{outer} {name}", outer, f"{outer} that ended {name}")
    for metric in WORKLOAD:
        for window, label in zip(WINDOWS, WINDOW_LABELS, strict=True):
            said = f"{metric.definition}: {WINDOW_DEFINITIONS[window]}"
            place = ("workload", metric.key, window)
            yield Figure(f"{metric.key}_{window}", place, f"{metric.label}, {label}", metric.unit, said)
    for prefix, outer, metrics in (("", "per_trace", PER_TRACE), ("request_", "per_request", PER_REQUEST)):
        for metric in metrics:
            for name in STATISTICS:
                place = (outer, metric.key, name)
                flat, label = f"{prefix}{metric.key}_{name}", f"{metric.label} {name}"
                yield Figure(flat, place, label, metric.unit, metric.definition)
    for metric in RUN:
        for path in PARTS.get(metric.key, (tuple(metric.key.split(".")),)):
            yield Figure(
                _flat_name(path, metric), path, " ".join(path[1:]) or metric.label, metric.unit, metric.definition
            )


def _flat_name(path: tuple[str, ...], metric: Metric) -> str:
    """The place in summary.json as a name that ends in its unit."""
    name = "_".join(path)
    return f"{name}_ratio" if metric.unit == "ratio" and not name.endswith(("ratio", "share")) else name


def rows(cells: Sequence[Cell]) -> list[Row]:
    """One mapping a cell, all with the same keys; None for what was not measured or did not come about."""
    every = list(figures())
    return [
        {**_facts(cell, variant), **_numbers(cell.summary, every)}
        for cell, variant in zip(cells, variants(cells), strict=True)
    ]


def _facts(cell: Cell, variant: str) -> Row:
    off = [
        check for check in at(cell.summary, "verdict") or () if isinstance(check, dict) and not check.get("ok", True)
    ]
    misleading = [
        f"{check.get('title', check.get('check'))}: {check.get('found')}"
        for check in off
        if check.get("level") == "error"
    ]
    found = {
        "cell": cell.path.name,
        "workload": cell.workload,
        "variant": variant,
        "concurrency": cell.concurrency,
        "repeat": cell.repeat,
        "status": cell.status.name,
        "why": cell.why or "; ".join(misleading),
        "valid": cell.summary.get("valid"),
        "warnings": len(off) - len(misleading) if cell.summary else None,
        "model": at(cell.manifest, "server", "model") or cell.config.get("model"),
        "num_gpus": cell.config.get("num_gpus"),
        "duration_s": cell.config.get("duration"),
        "started": at(cell.manifest, "started", "wall_clock"),
    }
    assert found.keys() == FACTS.keys()
    return found


def _numbers(summary: Mapping[str, Any], every: Sequence[Figure]) -> dict[str, float | None]:
    found = {figure.name: _number(summary, figure.path) for figure in every}
    failed, ok = found["requests_failed"], found["requests_ok"]
    ended = (failed or 0) + (ok or 0)
    return {**found, FAILED_SHARE: failed / ended if failed is not None and ended else None}


def _number(content: Any, path: Sequence[str]) -> float | None:
    """A number in nested JSON objects, None where there is none."""
    found = at(content, *path)
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None


def to_arrow(found: Sequence[Row]) -> pa.Table:
    """The rows as an Arrow table whose types do not depend on what happened to be measured; labels as metadata."""
    import pyarrow as pa  # not for those who look at a plan

    said = {figure.name: figure for figure in figures()}
    fields = [pa.field(name, kind) for name, kind in FACTS.items()]
    for name in (name for name in found[0] if name not in FACTS):
        figure = said.get(name)
        metadata = {"label": figure.label, "unit": figure.unit, "definition": figure.definition} if figure else None
        fields.append(pa.field(name, pa.float64(), metadata=metadata))
    schema = pa.schema(fields)
    return pa.Table.from_pylist(list(found), schema=schema)


# The rows and columns of a sweep's tables, the seed that every run draws for itself, values that manifests hide, and
# what changes nothing in what is measured.
NOT_A_VARIANT = frozenset({"workload", "concurrency", "seed", "endpoint.headers"}) | unmeasured(RunConfig)


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
