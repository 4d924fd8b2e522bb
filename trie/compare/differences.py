"""The differences of two runs, number by number, each with its bootstrap interval over traces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from trie.compare.bootstrap import Units, draw, interval, of_ratio, of_sample
from trie.metrics.columns import Floats
from trie.metrics.metric_names import Described, described
from trie.metrics.shown_numbers import too_few

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
FEWEST = 10  # traces that contribute in each run, below which an interval would say little
RESAMPLES, SEED, CONFIDENCE = 1000, 0, 0.95

Verdict = Literal["better", "worse", "differs", "noise"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Of the bootstrap."""

    resamples: int = RESAMPLES
    seed: int = SEED
    confidence: float = CONFIDENCE


@dataclass(frozen=True, slots=True)
class Difference:
    """One number in two runs; None where it was not measured, or where no interval can be given."""

    of: Described
    baseline: float | None
    candidate: float | None
    low: float | None = None  # the interval of the change, in the metric's unit
    high: float | None = None
    relative_low: float | None = None  # of the change as a share of the baseline
    relative_high: float | None = None
    few: bool = field(
        default=False, kw_only=True
    )  # a percentile that too few values stand behind in one of the runs, and is not shown there

    @property
    def measured(self) -> bool:
        """In one of the two runs at least."""
        return self.few or self.baseline is not None or self.candidate is not None

    @property
    def change(self) -> float | None:
        if self.baseline is None or self.candidate is None:
            return None
        return self.candidate - self.baseline

    @property
    def relative(self) -> float | None:
        """The change as a share of the baseline; None for a baseline of 0."""
        return None if self.change is None or not self.baseline else self.change / abs(self.baseline)

    @property
    def verdict(self) -> Verdict | None:
        """Whether the interval leaves 0 out, and for whom that speaks; None without an interval."""
        if self.low is None or self.high is None:
            return None
        if self.low <= 0 <= self.high:
            return "noise"
        if self.of.better is None:
            return "differs"
        return "better" if (self.low > 0) == (self.of.better == "higher") else "worse"


@dataclass(frozen=True, slots=True)
class Drawn:
    """Resamples of two runs at once: for each session of each how often its trace was drawn."""

    baseline: Floats
    candidate: Floats
    paired: int  # traces that both runs replayed, drawn for both together


def differences(
    numbers: tuple[Mapping[str, float | None], Mapping[str, float | None]],
    units: tuple[Units | None, Units | None],
    drawn: Drawn | None,
    confidence: float,
) -> list[Difference]:
    """Every number of either run, in the order of summary.json.

    Args:
        numbers: of the baseline and the candidate, by key.
        units: of the same two; None where a run has no rows, and then there are no intervals.
        drawn: of `draw_traces` on them.
        confidence: of the intervals, between 0 and 1.
    """
    a, b = units
    intervals: dict[str, tuple[float, ...]] = {}
    if a is not None and b is not None and drawn is not None:
        intervals = dict(_intervals((a, b), drawn, confidence))
    baseline, candidate = numbers
    pairs = []
    for key in dict.fromkeys([*baseline, *candidate]):
        values = baseline.get(key), candidate.get(key)
        bounds = intervals.get(key, ()) if None not in values else ()
        pairs.append(Difference(described(key), *values, *bounds))
    return pairs


def shown(
    differences: Iterable[Difference], numbers: tuple[Mapping[str, float | None], Mapping[str, float | None]]
) -> list[Difference]:
    """The differences as people read them: no percentile of a run in which too few values stand behind it."""
    few = [{number.key for number in too_few(values)} for values in numbers]
    return [_without_few(difference, *(difference.of.key in keys for keys in few)) for difference in differences]


def _without_few(difference: Difference, baseline: bool, candidate: bool) -> Difference:
    if not baseline and not candidate:
        return difference
    a, b = None if baseline else difference.baseline, None if candidate else difference.candidate
    return Difference(difference.of, a, b, few=True)


def draw_traces(baseline: Units, candidate: Units, settings: Settings, *, same_workload: bool) -> Drawn:
    """Resamples of both runs.

    Where both replayed the same workload, a trace that is in both is drawn for both: what makes it a long or a heavy
    trace then falls out of the difference. Traces of one run alone are drawn apart, so that each run keeps its mix.
    """
    ids = np.union1d(baseline.trace_id, candidate.trace_id)
    apart = 0 if same_workload else len(ids)
    places = [np.searchsorted(ids, run.trace_id) for run in (baseline, candidate)]
    places[1] = places[1] + apart
    there = np.zeros((2, len(ids) + apart), np.bool_)
    for run, place in enumerate(places):
        there[run, place] = True
    strata = (there[0] + 2 * there[1]).astype(np.int64)
    weights = draw(np.random.default_rng(settings.seed), strata, settings.resamples)
    return Drawn(weights[:, places[0]], weights[:, places[1]], int((strata == 3).sum()))


def _intervals(units: tuple[Units, Units], drawn: Drawn, confidence: float) -> Iterator[tuple[str, tuple[float, ...]]]:
    """For each key the bounds of the change, and those of the relative change where they are known."""
    a, b = units
    for key in a.samples.keys() & b.samples.keys():
        pair = a.samples[key], b.samples[key]
        if (
            min(len(np.unique(unit.trace_id[sample.session])) for unit, sample in zip(units, pair, strict=True))
            < FEWEST
        ):
            continue
        smallest = min(len(sample.values) for sample in pair)
        names = [name for name, quantile in QUANTILES.items() if smallest * (1 - quantile) >= 1 - 1e-9]
        resampled = [
            of_sample(sample.values, sample.session, weights, [QUANTILES[name] for name in names])
            for sample, weights in zip(pair, (drawn.baseline, drawn.candidate), strict=True)
        ]
        for at, name in enumerate(["mean", *names]):
            yield from _bounds(f"{key}.{name}", resampled[0][:, at], resampled[1][:, at], confidence)
    for key in a.ratios.keys() & b.ratios.keys():
        if min(len(np.unique(unit.trace_id[unit.ratios[key].below > 0])) for unit in units) < FEWEST:
            continue
        before, after = (
            unit.ratios[key].factor * of_ratio(unit.ratios[key].above, unit.ratios[key].below, weights)
            for unit, weights in zip(units, (drawn.baseline, drawn.candidate), strict=True)
        )
        yield from _bounds(key, before, after, confidence)


def _bounds(key: str, a: Floats, b: Floats, confidence: float) -> Iterator[tuple[str, tuple[float, ...]]]:
    change = interval(b - a, confidence)
    if change is None:
        return
    share = interval((b - a) / np.abs(a), confidence) if (a != 0).all() else None
    yield key, (*change, *(share or ()))
