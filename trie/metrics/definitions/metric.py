"""What a metric declares: its name, its units, its formula, and each of its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from trie.metrics.columns import Bools, Columns, Floats
from trie.metrics.traces import Traces

Better = Literal["higher", "lower"] | None
Sums = tuple[Floats, Floats]  # what each row adds above and below the line of a ratio


def sums(above: Floats, below: Floats, counted: Bools) -> Sums:
    """The two sums of a ratio; a row that is not counted adds 0 to both."""
    return np.where(counted, above, 0.0), np.where(counted, below, 0.0)


@dataclass(frozen=True, slots=True)
class Values:
    """A formula with one value for each trace or each request, or the tokens that each request adds; NaN: not known."""

    of: Callable[[Columns], Floats]
    streaming: bool = False  # it takes streaming to measure it


@dataclass(frozen=True, slots=True)
class Ratio:
    """A formula that is a ratio of two sums over rows."""

    of: Callable[[Columns], Sums]
    streaming: bool = False  # it takes streaming to measure it


@dataclass(frozen=True, slots=True)
class RunRows:
    """What the formula of a single number is given."""

    columns: Columns
    sessions: Traces
    wall_time_s: float
    waiting_s: Floats = field(default_factory=lambda: np.empty(0))  # how long traces were due that never began

    @property
    def until_s(self) -> Floats:
        """When each session left its slot: a cancelled one at the end of the run."""
        return np.where(self.sessions.cancelled, self.wall_time_s, self.sessions.last_s)

    def per_s(self, amount: float) -> float | None:
        """An amount per second of the run; None for a run of no time."""
        return amount / self.wall_time_s if self.wall_time_s > 0 else None


@dataclass(frozen=True, slots=True)
class Single:
    """A formula that is one number of a run; None where it was not measured."""

    of: Callable[[RunRows], float | None]


@dataclass(frozen=True, slots=True)
class Several:
    """A formula that gives a number for each part of its metric; None where none was measured."""

    of: Callable[[RunRows], Mapping[str, float | None] | None]
    streaming: bool = False  # it takes streaming to measure it


@dataclass(frozen=True, slots=True)
class Part:
    """One of the numbers of a metric: a statistic, a window, a share."""

    key: str
    label: str
    definition: str = ""
    better: Better = None  # where it is not the metric's own
    brief: bool = True  # stands in tables that leave something out
    least: int = 1  # values that it takes: a percentile of fewer is shown to nobody
    counts: bool = False  # how many values the other parts are of: without unit and direction


@dataclass(frozen=True, slots=True)
class Section:
    """A part of summary.json whose metrics stand in one table."""

    key: str  # in summary.json; empty where a metric's key is its whole path
    title: str
    over: str = ""  # what the statistics are over
    parts: tuple[Part, ...] = ()  # of each metric
    column: str = ""  # before the names of a sweep's columns
    titled: str = "{label} ({unit})"


@dataclass(frozen=True, slots=True)
class Shown:
    """The unit that people read, and what a number of summary.json is multiplied with to be in it."""

    unit: str
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Headline:
    """The numbers of a metric that a report shows first: keys of its parts, "" where it is one number."""

    first: tuple[str, ...] = ()  # one of the six numbers of a run; the first of them that was measured is shown
    place: int = 0  # among the six
    name: str = ""  # of that number, where it has a better one there
    sweep: tuple[str, ...] = ()  # rows and columns of a sweep's tables
    compare: tuple[str, ...] = ()  # cards and plots of a comparison
    curve: bool = False  # a comparison draws the distribution


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric, as everything that computes, shows or documents it reads it."""

    section: Section
    key: str  # in its section; {part} stands where the part's key is not at the end
    label: str
    unit: str  # in summary.json
    better: Better
    definition: str
    formula: Values | Ratio | Single | Several | None = None  # None: its section comes as a whole from the summary
    reference: bool = False  # equal by definition to the reference's; otherwise an addition of ours
    shown: Shown | None = None  # where people read another unit than summary.json has
    parts: tuple[Part, ...] | None = None  # the section's where None
    any_part: bool = False  # further parts, whose keys no declaration can know
    expected: bool = False  # by the accounting of the trace; nothing that the server did
    headline: Headline = Headline()
    with_cut_off: str = ""  # the path of the estimates of the same that count in what was cut off or failed

    @property
    def name(self) -> str:
        """The label; says so where the metric is not measured."""
        return f"{self.label} (expected)" if self.expected else self.label

    @property
    def display(self) -> Shown:
        """The unit that people read."""
        return self.shown or Shown(self.unit)

    @property
    def titled(self) -> str:
        """The label with the unit of summary.json, as tables of raw values have it."""
        return self.section.titled.format(label=self.label, unit=self.unit)

    @property
    def heading(self) -> str:
        """The label with the unit that people read."""
        return self.section.titled.format(label=self.label, unit=self.display.unit)

    def numbers(self) -> Iterator[Number]:
        """Each of the metric's numbers."""
        parts = self.section.parts if self.parts is None else self.parts
        for part in parts or (() if self.any_part else (None,)):
            yield Number(self, part)

    def number(self, key: str) -> Number | None:
        """The number at a path of summary.json; None where it is none of this metric's."""
        if not key.startswith(self.path.partition("{")[0]):
            return None
        declared = next((number for number in self.numbers() if number.key == key), None)
        if declared is not None or not self.any_part or not key.startswith(f"{self.path}."):
            return declared
        rest = key.removeprefix(f"{self.path}.")
        return Number(self, Part(rest, rest.replace("_", " ")))

    @property
    def path(self) -> str:
        """The whole key."""
        return f"{self.section.key}.{self.key}" if self.section.key else self.key


@dataclass(frozen=True, slots=True)
class Number:
    """One number of a metric, as summary.json has it."""

    metric: Metric
    part: Part | None = None

    @property
    def key(self) -> str:
        """Its path in summary.json."""
        return self._in(self.metric.path)

    @property
    def column(self) -> str:
        """Its column in a sweep's table, a name that ends in its unit."""
        name = f"{self.metric.section.column}{self._in(self.metric.key)}".replace(".", "_")
        return f"{name}_ratio" if self.metric.unit == "ratio" and not name.endswith(("ratio", "share")) else name

    @property
    def statistic(self) -> str:
        """The label of the part; empty where the metric is one number."""
        return self.part.label if self.part else ""

    @property
    def name(self) -> str:
        """What people call it, without its unit."""
        return f"{self.metric.name} {self.statistic}".rstrip()

    @property
    def counts(self) -> bool:
        """Whether it says how many values the metric's other numbers are of."""
        return self.part is not None and self.part.counts

    @property
    def unit(self) -> str:
        """That of summary.json."""
        return "" if self.counts else self.metric.unit

    @property
    def display(self) -> Shown:
        """The unit that people read."""
        return Shown("") if self.counts else self.metric.display

    @property
    def titled(self) -> str:
        """What people call it, with the unit that they read."""
        return f"{self.name} ({unit})" if (unit := self.display.unit) else self.name

    @property
    def better(self) -> Better:
        """Which direction is better."""
        return None if self.counts else (self.part and self.part.better) or self.metric.better

    @property
    def definition(self) -> str:
        """That of the metric, and where a part has its own both."""
        own = self.part.definition if self.part else ""
        return f"{self.metric.definition}: {own}" if own else self.metric.definition

    def shown(self, value: float | None) -> float | None:
        """A value of summary.json in the unit that people read."""
        factor = self.display.factor
        return value if value is None or self.counts or factor == 1 else value * factor

    def _in(self, key: str) -> str:
        if self.part is None:
            return key
        return key.format(part=self.part.key) if "{part}" in key else f"{key}.{self.part.key}"


MS, PERCENT = Shown("ms", 1e3), Shown("%", 100.0)
STATISTICS = (
    Part("mean", "mean"),
    Part("min", "min", brief=False),
    Part("p50", "p50", "shown from 5 values on", least=5),
    Part("p90", "p90", "shown from 20 values on", least=20),
    Part("p95", "p95", "shown from 40 values on", least=40, brief=False),
    Part("p99", "p99", "shown from 100 values on", least=100),
    Part("max", "max", brief=False),
    Part("n", "n", "number of values that the others are of", counts=True),
)
WINDOWS = (
    Part("overall", "Overall", "all tokens / wall time of the run"),
    Part(
        "last_30s",
        "Last 30s Window",
        "slope of the cumulative tokens from the first request that ended in the 30 s before the last one; of a run "
        "whose server had fallen silent, before the end of the run",
        brief=False,
    ),
    Part(
        "steady_state",
        "Steady State",
        "slope of the cumulative tokens after the first 20 % of the time until the last request's end; of a run whose "
        "server had fallen silent, until the end of the run",
    ),
    Part("steady_state_per_gpu", "Steady State / GPU", "steady state / num_gpus, where that is given"),
)

WORKLOAD = Section("workload", "Workload metrics", parts=WINDOWS, titled="{label} {unit}")
PER_TRACE = Section("per_trace", "Per-trace metrics", "completed traces", STATISTICS)
PER_REQUEST = Section("per_request", "Per-request metrics", "requests that ended well", STATISTICS, "request_")
RUN = Section("", "The run", titled="{label}")
SECTIONS = (PER_TRACE, WORKLOAD, PER_REQUEST, RUN)
