"""The six numbers of a run that stand first wherever it is shown: on its page, in a list of runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trie.metrics import definitions
from trie.metrics.definitions import PER_TRACE, Metric, Number
from trie.metrics.metric_names import flat, numbers
from trie.metrics.shown_numbers import Values, marked, shown, with_cut_off

POPULATION = "of the whole workload"
PER_GPU = "steady_state_per_gpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstNumber:
    """One of the six, in the unit that people read."""

    number: Number
    value: float | None  # None: not measured, or of too few values
    low: float | None = None  # of its interval
    high: float | None = None
    n: int | None = None  # values that it is of
    plain: float | None = None  # what the metric's own formula gives, where `value` is an estimate that replaces it
    of: str = ""  # what the number speaks of, where that is not all that was measured

    @property
    def name(self) -> str:
        """What people call it, without its unit."""
        return self.number.metric.headline.name or self.number.name

    @property
    def unit(self) -> str:
        """The unit that people read."""
        return f"{self.number.display.unit}{' per GPU' if self.number.key.endswith(PER_GPU) else ''}"


def first_numbers(summary: dict[str, Any]) -> list[FirstNumber]:
    """The six, in their order, out of a summary.json of any version."""
    values = shown(numbers(summary)) | dict(flat(summary.get("certainty") or {}, "certainty."))
    metrics = sorted(
        (metric for metric in definitions.METRICS if metric.headline.place), key=lambda m: m.headline.place
    )
    return [_first_number(metric, values) for metric in metrics]


def _first_number(metric: Metric, values: Values) -> FirstNumber:
    candidates = [number for part in metric.headline.first for number in metric.numbers() if _key(number) == part]
    number = next((number for number in candidates if values.get(number.key) is not None), candidates[-1])
    plain = number.shown(values.get(number.key))
    part = _key(number)
    population = f"certainty.population.{metric.key}.{part}"
    if metric.section is PER_TRACE and values.get(f"{population}.value") is not None:
        low, high = _bounds(number, values, population)
        value = number.shown(values[f"{population}.value"])
        return FirstNumber(number=number, value=value, low=low, high=high, plain=plain, of=POPULATION)
    n = _count(metric, values)
    if marked(metric, values):
        estimate = number.shown(with_cut_off(number, values))
        return FirstNumber(number=number, value=estimate, n=n, plain=plain, of="with what was cut off")
    low, high = _bounds(number, values, _certain(metric, part))
    return FirstNumber(number=number, value=plain, low=low, high=high, n=n)


def _key(number: Number) -> str:
    return number.part.key if number.part else ""


def _certain(metric: Metric, part: str) -> str:
    """Where the interval of a number stands."""
    if part.startswith("steady_state"):
        return f"certainty.steady_state.{metric.key}"
    return f"certainty.{metric.section.key}.{metric.key}.{part}"


def _bounds(number: Number, values: Values, path: str) -> tuple[float | None, float | None]:
    """The interval at a path; that of a throughput is of all GPUs together."""
    scale = 1.0
    if number.key.endswith(PER_GPU):
        whole, share = values.get(number.key.removesuffix("_per_gpu")), values.get(number.key)
        scale = share / whole if share and whole else 1.0
    low, high = (values.get(f"{path}.{name}") for name in ("low", "high"))
    return number.shown(low and low * scale), number.shown(high and high * scale)


def _count(metric: Metric, values: Values) -> int | None:
    counts: Iterator[float | None] = (values.get(number.key) for number in metric.numbers() if number.counts)
    count = next(counts, None)
    if metric.key == "requests_failed_share":
        ended = [values.get(f"requests.{outcome}") for outcome in ("ok", "failed")]
        count = sum(number or 0.0 for number in ended)
    return None if count is None else int(count)
