"""When is a run long enough? The targets of `stop_when` against the intervals of the run so far.

Theory of operation. A run that ends as soon as its interval is narrow ends more often than not where the interval is
narrow by chance. So the run is looked at a few times only, each time a good part later than before, and by intervals
that are wider than those of the report. docs/stopping.md has how often the value is then as near to the truth as was
promised.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import hypot, inf, isinf
from typing import Any

from trie.config import RunConfig
from trie.config.stop_when import Target, targets
from trie.errors import ConfigError
from trie.metrics.certainty.assess import Values, certainty
from trie.metrics.certainty.blocks import STOP_CYCLES
from trie.metrics.certainty.estimate import CONFIDENCE as REPORTED
from trie.metrics.certainty.estimate import Estimate, interval
from trie.metrics.certainty.measured import PERCENTILES
from trie.metrics.certainty.population import Population
from trie.metrics.certainty.section import Certainty, Estimates
from trie.metrics.certainty.student import t_quantile
from trie.metrics.certainty.whole_workload import QUANTILES
from trie.metrics.certainty.workload_estimates import RATES, RunFacts
from trie.metrics.columns import Columns
from trie.metrics.definitions import PER_REQUEST, PER_TRACE, WORKLOAD, declared
from trie.metrics.definitions.metric import RunRows
from trie.metrics.throughput import Points, rates
from trie.metrics.traces import traces
from trie.metrics.values import per_request, per_trace
from trie.one_line import lasting
from trie.storage.manifest import Settings

CONFIDENCE = 0.98  # of the intervals that decide, where the report's have 0.95
NEXT, SOONEST, LATEST = 1.25, 1.1, 1.6  # how much later the next look is: without a forecast, and within bounds
SECTIONS = ("population", "steady_state", "per_trace", "per_request")  # in which a metric is looked for, in this order


def certainty_of(columns: Columns, population: Population | None, wall_time_s: float, facts: RunFacts) -> Certainty:
    """The intervals of a run so far."""
    sessions, points = traces(columns), Points.of(columns)
    values = Values(
        rates(points, wall_time_s=wall_time_s, num_gpus=None),
        per_trace(columns, sessions, stream=facts.stream),
        per_request(columns, stream=facts.stream),
    )
    return certainty(RunRows(columns, sessions, wall_time_s), points, values, facts, population)


def facts_of(settings: RunConfig | Settings) -> RunFacts:
    """What the intervals that decide need to know of a run's settings."""
    shape = settings.load.shape
    return RunFacts(
        settings.slots,
        stream=settings.stream,
        closed_loop=shape == "closed",
        load_changes=shape == "ramp",
        cycles=STOP_CYCLES,
    )


def names() -> list[str]:
    """Every number that may have an interval, by its path in `certainty`."""
    times = [f"population.{key}.{part}" for key in ("latency_s", "ttft_s", "ttfat_s") for part in ("mean", *QUANTILES)]
    measured = [
        f"{section.key}.{metric.key}.{part}"
        for section in (PER_TRACE, PER_REQUEST)
        for metric in declared(section)
        for part in ("mean", *PERCENTILES)
    ]
    steady = [f"steady_state.{metric.key}" for metric in declared(WORKLOAD)]
    return [*(f"population.{key}" for key in RATES), *times, *steady, *measured]


def check(expression: str) -> tuple[Target, ...]:
    """The targets of an expression.

    Raises:
        ConfigError: for another form, or a metric that never has an interval.
    """
    known = names()
    parsed = targets(expression)
    for target in parsed:
        if not _paths(target.metric, known):
            short = {name.partition(".")[2]: name for name in known}
            close = difflib.get_close_matches(target.metric, [*short, *known], n=1, cutoff=0.5)
            hint = f"did you mean {close[0]}?" if close else "docs/stopping.md has the metrics"
            raise ConfigError(f"stop_when={expression}: {target.metric} has no interval; {hint}")
    return parsed


def _paths(metric: str, known: list[str]) -> list[str]:
    """Where a metric may stand: with its section as it is, without one in every section that has it."""
    paths = [metric, *(f"{section}.{metric}" for section in SECTIONS)]
    return [path for path in paths if path in known]


@dataclass(frozen=True, slots=True)
class Reached:
    """How sure a target is."""

    target: Target
    path: str  # of the interval in `certainty`
    value: float | None = None
    share: float | None = None  # half the interval as a share of the value; None without one


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a run said."""

    at_s: float
    reached: tuple[Reached, ...]
    needs_s: float | None  # how long the run would have to be; None where that can't be told
    sampled: bool = True  # the traces so far are like the rest of the workload

    @property
    def precise(self) -> bool:
        return all(target.share is not None and target.share <= target.target.share for target in self.reached)

    @property
    def next_s(self) -> float:
        """When to look again."""
        wanted = self.at_s * NEXT if self.needs_s is None else self.needs_s
        latest = inf if all(target.share is None for target in self.reached) and self.needs_s is not None else LATEST
        return max(self.at_s * SOONEST, min(wanted, self.at_s * latest))

    def line(self, duration_s: float = inf) -> str:
        """For people: how sure each target is, and how long the run still needs."""
        unlike = "" if self.sampled else " (the traces so far are unlike the rest of the workload)"
        return f"{', '.join(map(_sureness, self.reached))}{unlike}{self._left(duration_s)}"

    def _left(self, duration_s: float) -> str:
        if self.precise:
            return ""
        if self.needs_s is None:
            return ": it can't be told yet for how long"
        if self.needs_s > duration_s:
            return f": it would take {lasting(self.needs_s)}, the run ends after {lasting(duration_s)}"
        return f": about {lasting(max(self.needs_s - self.at_s, 1.0))} more"


def _sureness(reached: Reached) -> str:
    wanted = f"{100 * reached.target.share:.3g} %"
    if reached.share is None:
        return f"{reached.target.metric} has no interval yet ({wanted} wanted)"
    return f"{reached.path} {reached.value:,.4g} ±{100 * reached.share:.2g} % ({wanted} wanted)"


def look(expression: str, so_far: Certainty, at_s: float) -> Look:
    """Judge the targets of an expression that `check` lets pass."""
    known = names()
    sampled = is_sample(so_far)
    reached = []
    for target in targets(expression):
        paths = [path for path in _paths(target.metric, known) if sampled or not path.startswith("population.")]
        reached.append(_reached(target, paths, so_far))
    needs = [_needs_s(target, so_far, at_s) for target in reached]
    longest = max(needs)
    return Look(at_s, tuple(reached), None if isinf(longest) else longest, sampled)


def _reached(target: Target, paths: list[str], so_far: Certainty) -> Reached:
    """By the first of the paths that has an interval."""
    for path in paths:
        estimate = _at(so_far, path)
        share = None if estimate is None else _share(estimate)
        if estimate is not None and share is not None:
            return Reached(target, path, estimate.value, share)
    return Reached(target, paths[0] if paths else target.metric)


def is_sample(so_far: Certainty) -> bool:
    """Whether the traces so far are like the rest of the workload, as those at the start of a file may not be.

    If they are, the rate of the whole workload is one that the steady state's interval holds. If they are not, the fit
    is asked about traces, and about a load, that the run did not meet: its interval says nothing of that.
    """
    whole, steady = so_far.population.completion_tok_s, so_far.steady_state.get("completion_tok_s")
    if whole is None or steady is None:
        return True
    shares = [share for estimate in (whole, steady) if (share := _share(estimate)) is not None]
    return len(shares) < 2 or abs(whole.value - steady.value) <= hypot(*shares) * steady.value


def _at(so_far: Certainty, path: str) -> Estimate | None:
    section, key, *part = path.split(".")
    value = getattr(so_far.population, key) if section == "population" else getattr(so_far, section).get(key)
    if part and isinstance(value, Mapping):
        value = value.get(part[0])
    return value if isinstance(value, Estimate) else None


def _share(estimate: Estimate) -> float | None:
    """Half the wider interval as a share of the value."""
    if estimate.standard_error is None or not estimate.degrees_of_freedom or not estimate.value:
        return None
    t = t_quantile((1 + CONFIDENCE) / 2, estimate.degrees_of_freedom)
    return t * estimate.standard_error / abs(estimate.value)


def promised(so_far: Certainty, expression: str) -> Certainty:
    """The intervals of a run that stopped when they were narrow: no narrower than was asked for.

    A run that stops where an interval is narrow has one that is too narrow. What holds is the promise. Rates of one
    section are multiples of one another: all of them get it.
    """
    known = names()
    for target in targets(expression):
        for path in _paths(target.metric, known):
            so_far = _promise(so_far, path, target.share)
    return so_far


def _promise(so_far: Certainty, path: str, share: float) -> Certainty:
    section, key, *part = path.split(".")
    if section == "population":
        population, changed = so_far.population, dict[str, Any]()
        if part:
            changed[key] = _of_times({key: getattr(population, key)}, key, part[0], share)[key]
        else:
            changed = {name: _widened(getattr(population, name), share) for name in RATES}
        return replace(so_far, population=replace(population, **changed))
    if section == "steady_state":
        rates = {name: _widened(estimate, share) for name, estimate in so_far.steady_state.items()}
        return replace(so_far, steady_state=rates)
    if section == "per_trace":
        return replace(so_far, per_trace=_of_times(so_far.per_trace, key, part[0], share))
    return replace(so_far, per_request=_of_times(so_far.per_request, key, part[0], share))


def _of_times(times: Mapping[str, Estimates], key: str, part: str, share: float) -> Mapping[str, Estimates]:
    if not times.get(key):
        return times
    return {**times, key: {**times[key], part: _widened(times[key].get(part), share)}}


def _widened(estimate: Estimate | None, share: float) -> Estimate | None:
    if estimate is None or estimate.half_width is None or not estimate.degrees_of_freedom:
        return estimate
    wanted = share * abs(estimate.value)
    if estimate.half_width >= wanted:
        return estimate
    t = t_quantile((1 + REPORTED) / 2, estimate.degrees_of_freedom)
    return interval(estimate.value, wanted / t, estimate.degrees_of_freedom)


def _needs_s(reached: Reached, so_far: Certainty, at_s: float) -> float:
    """An interval narrows with the square root of the time; without one the run is too short for any."""
    if reached.share is None:
        return inf if so_far.needs_s is None else max(so_far.needs_s, at_s)
    return at_s * max(reached.share / reached.target.share, 1.0) ** 2
