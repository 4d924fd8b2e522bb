"""A sweep as one long table: a row a cell, a column a metric, units in the names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from trie.config import RunConfig
from trie.config.setting import unmeasured
from trie.metrics import definitions
from trie.metrics.checks.check import Check
from trie.metrics.definitions import Number
from trie.metrics.shown_numbers import OUTCOMES, enough
from trie.storage.sweep_dir import Cell, at
from trie.sweep import objectives

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
FAILED_SHARE = "requests_failed_share"
# The rows and columns of a sweep's tables, the seed that every run draws for itself, values that manifests hide, and
# what changes nothing in what is measured.
NOT_A_VARIANT = frozenset({"workload", "concurrency", "seed", "endpoint.headers"}) | unmeasured(RunConfig)
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
    "clock": "string",
    "slo": "string",
    "slo_met": "string",  # yes, no or unsure
    "slo_why": "string",
}


# The intervals of steady-state rates, by column, where a run has them: of how many GPUs, of which rate, which end.
INTERVALS = {
    f"{rate}_steady_state{per_gpu}_{end}": (rate, bool(per_gpu), end)
    for rate in ("completion_tok_s", "total_prompt_tok_s")
    for per_gpu in ("", "_per_gpu")
    for end in ("low", "high")
}

# Estimates for the whole workload, by column: where each stands in summary.json.
POPULATION = {
    f"population_{'_'.join(path)}{suffix}": ("certainty", "population", *path, end)
    for path in (("completion_tok_s",), ("trace_per_s",), *product(("latency_s", "ttft_s", "ttfat_s"), ("p50", "p90")))
    for suffix, end in (("", "value"), ("_low", "low"), ("_high", "high"))
}


def columns() -> dict[str, Number]:
    """Every number that has a declaration, by its column."""
    return {number.column: number for number in definitions.numbers()}


def rows(cells: Sequence[Cell]) -> list[Row]:
    """One mapping a cell, all with the same keys; None for what was not measured or did not come about."""
    numbers = columns()
    return [
        {**_facts(cell, variant), **_numbers(cell.summary, numbers), **_intervals(cell), **_population(cell)}
        for cell, variant in zip(cells, variants(cells), strict=True)
    ]


def _facts(cell: Cell, variant: str) -> Row:
    checks = [Check.from_json(check) for check in at(cell.summary, "verdict") or ()]
    off = [check for check in checks if not check.ok]
    misleading = [check.line for check in off if check.level == "error"]
    facts = {
        "cell": cell.path.name,
        "workload": cell.workload,
        "variant": variant,
        "concurrency": cell.concurrency,
        "repeat": cell.repeat,
        "status": cell.status.name,
        "why": cell.why or "; ".join(misleading),
        "valid": at(cell.summary, "valid"),
        "warnings": len(off) - len(misleading) if cell.summary else None,
        "model": cell.config.get("model") if cell.manifest is None else cell.manifest.server.model,
        "num_gpus": cell.config.get("num_gpus"),
        "duration_s": cell.config.get("duration"),
        "started": None if cell.manifest is None else cell.manifest.started.wall_clock,
        "clock": cell.config.get("clock", "real"),
        **objectives.facts(cell.summary),
    }
    assert facts.keys() == FACTS.keys()
    return facts


def _numbers(summary: Mapping[str, Any], numbers: Mapping[str, Number]) -> dict[str, float | None]:
    row = {column: _number(summary, number.key.split(".")) for column, number in numbers.items()}
    failed, ok = row["requests_failed"], row["requests_ok"]
    if row[FAILED_SHARE] is None and failed is not None and ok is not None and failed + ok:
        row[FAILED_SHARE] = failed / (failed + ok)  # an older summary.json has the counts alone
    return row


def _intervals(cell: Cell) -> dict[str, float | None]:
    gpus = cell.config.get("num_gpus")
    found: dict[str, float | None] = {}
    for column, (rate, per_gpu, end) in INTERVALS.items():
        bound = _number(cell.summary, ("certainty", "steady_state", rate, end))
        share = (1.0 / gpus if gpus else None) if per_gpu else 1.0
        found[column] = None if bound is None or share is None else bound * share
    return found


def _population(cell: Cell) -> dict[str, float | None]:
    return {column: _number(cell.summary, path) for column, path in POPULATION.items()}


def _number(summary: Mapping[str, Any], path: Sequence[str]) -> float | None:
    """A number in nested JSON objects, None where there is none."""
    value = at(summary, *path)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def shown(rows: Sequence[Row]) -> list[Row]:
    """The rows as people read them: None for each percentile of too few values, which `few` then has."""
    numbers = columns()
    percentiles = {column: number for column, number in numbers.items() if number.part and number.part.least > 1}
    counts = {number.key: column for column, number in numbers.items() if number.counts}
    few = [{column: row[column] for column in _too_few(row, percentiles, counts)} for row in rows]
    return [{**row, **dict.fromkeys(hidden), "few": hidden} for row, hidden in zip(rows, few, strict=True)]


def _too_few(row: Row, percentiles: Mapping[str, Number], counts: Mapping[str, str]) -> Iterator[str]:
    values = outcomes(row) | {key: row.get(column) for key, column in counts.items()}
    for column, number in percentiles.items():
        if row.get(column) is not None and not enough(number, values):
            yield column


def outcomes(row: Row) -> dict[str, float | None]:
    """How many traces and requests of a cell completed, failed and were cut off, by path in summary.json."""
    return {path: row.get(path.replace(".", "_")) for paths in OUTCOMES.values() for path in paths}


def to_arrow(rows: Sequence[Row]) -> pa.Table:
    """The rows as an Arrow table whose types do not depend on what happened to be measured; labels as metadata."""
    import pyarrow as pa  # not for those who look at a plan

    facts = [pa.field(name, kind) for name, kind in FACTS.items()]
    numbers = [pa.field(column, pa.float64(), metadata=_metadata(number)) for column, number in columns().items()]
    bounds = [pa.field(column, pa.float64()) for column in (*INTERVALS, *POPULATION)]
    return pa.Table.from_pylist(list(rows), schema=pa.schema([*facts, *numbers, *bounds]))


def _metadata(number: Number) -> dict[str, str]:
    """What a reader of the table wants to know of a column."""
    metric = number.metric
    label = f"{metric.titled} {number.statistic}".rstrip()
    return {"label": label, "unit": number.unit, "definition": number.definition}


def variants(cells: Sequence[Cell]) -> list[str]:
    """For each cell the settings in which the cells of its workload differ, such as `duration=60`; often nothing."""
    settings = [dict(_flat(cell.config)) for cell in cells]
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for cell, values in zip(cells, settings, strict=True):
        groups[cell.workload].append(values)
    keys = {workload: list(_differing(group)) for workload, group in groups.items()}
    return [
        ", ".join(f"{key}={values.get(key)}" for key in keys[cell.workload])
        for cell, values in zip(cells, settings, strict=True)
    ]


def _differing(settings: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Keys that all have and that are not the same in all."""
    for key in sorted(set.intersection(*map(set, settings))):
        if len({str(values[key]) for values in settings}) > 1:
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
