"""The intervals of the differences of two sides, each of one run or of several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from trie.compare.noise import Noise, cosines, noise, paired, scaled, together
from trie.compare.population import NUMBERS, noise_of
from trie.compare.runs import Run
from trie.compare.units import Units
from trie.metrics.certainty.estimate import Estimate
from trie.metrics.definitions import number_of

REPEATS = 2  # runs on each side, from which how runs differ is known
CLIENTS_OWN = ("client.", "per_request.client_s.")  # no noise of a server is in them
FIRST_TOKENS = ".ttft_s."


@dataclass(frozen=True, slots=True)
class Interval:
    """What is known of a change: between its bounds it lies, and one below `detectable` is likely not seen."""

    low: float
    high: float
    detectable: float


@dataclass(frozen=True, slots=True)
class Intervals:
    """By key, of the change in the metric's unit, and of the change as a share of the baseline."""

    change: Mapping[str, Interval]
    relative: Mapping[str, Interval]
    paired: int | None  # traces that both sides replayed in one order; None without intervals
    repeated: bool  # there are several runs on each side, and how they differ is in the intervals


def intervals(baseline: Run, candidate: Run, confidence: float, *, same_workload: bool) -> Intervals:
    """Of every number that has one.

    Args:
        baseline: one run, or several.
        candidate: the same.
        confidence: of the intervals, between 0 and 1.
        same_workload: whether a trace_id means the same trace in both.
    """
    repeated = min(len(baseline.runs), len(candidate.runs)) >= REPEATS
    sides = baseline, candidate
    estimates = [[run.estimates for run in one.runs] for one in sides]
    rows = [[run.units for run in one.runs] for one in sides]
    pairs = _pairs(*rows) if same_workload else None
    change: dict[str, Interval] = {}
    relative: dict[str, Interval] = {}
    for key in baseline.numbers:
        a, b = baseline.numbers[key], candidate.numbers.get(key)
        if a is None or b is None:
            continue
        for kept, centre, weights in _forms(a, b, change, relative):
            within = _of_estimates(estimates, key, weights) or _within(rows, pairs, key, weights)
            between = _between(sides, key, weights) if repeated else None
            late = sum(abs(weight) * _late_s(one) for one, weight in zip(sides, weights, strict=True))
            parts = (within, late if FIRST_TOKENS in key else 0.0), (between, 0.0)
            bounds = [_interval(centre, part, confidence, floor) for part, floor in parts if part is not None]
            if bounds:
                kept[key] = max(bounds, key=lambda interval: interval.high - interval.low)
    known = all(units is not None for side in rows for units in side)
    return Intervals(change, relative, _together(rows, pairs) if known else None, repeated)


Form = tuple[dict[str, Interval], float, tuple[float, float]]  # where it goes, the value, weights of the two numbers


def _forms(a: float, b: float, change: dict[str, Interval], relative: dict[str, Interval]) -> Iterable[Form]:
    """The change, and the relative one near its value: b / a - 1 moves by (db - (b / a) da) / a."""
    yield change, b - a, (-1.0, 1.0)
    if a:
        yield relative, (b - a) / abs(a), (-b / (a * abs(a)), 1 / abs(a))


def _late_s(side: Run) -> float:
    """How late the client's event loop was in the worst of a side's runs: a busy machine makes a whole run so."""
    return max(run.summary.client.loop_lag_p99_s or 0.0 for run in side.runs)


def _interval(centre: float, part: Noise, confidence: float, floor: float) -> Interval:
    """With a floor: what runs differ by beyond the noise within them, at most."""
    half = part.half_width(confidence) + floor
    return Interval(centre - half, centre + half, part.detectable(confidence) + floor)


def _within(
    rows: Sequence[Sequence[Units | None]], pairs: Sequence[tuple[Units, Units]] | None, key: str,
    weights: tuple[float, float],
) -> Noise | None:  # fmt: skip
    """The noise that the runs themselves show, of the weighted sum of both sides' means."""
    if key.startswith(CLIENTS_OWN):
        return None
    if pairs is not None and all(_pairs_up(units, key) for pair in pairs for units in pair):
        return _mean([_of_pair(a, b, key, weights) for a, b in pairs])
    means = [_mean([_of_run(units, key, weight) for units in side]) for side, weight in zip(rows, weights, strict=True)]
    parts = [part for part in means if part is not None]
    return together(parts) if len(parts) == len(means) else None


def _of_estimates(
    estimates: Sequence[Sequence[Mapping[str, Estimate]]], key: str, weights: tuple[float, float]
) -> Noise | None:
    """The same for an estimate of the whole workload."""
    means = [_mean([noise_of(key, of_run[key]) if key in of_run else None for of_run in side]) for side in estimates]
    parts = [scaled(mean, weight) for mean, weight in zip(means, weights, strict=True) if mean is not None]
    return together(parts) if len(parts) == len(means) else None


def _mean(noises: Sequence[Noise | None]) -> Noise | None:
    """Of the mean of independent numbers; None where one is not known."""
    parts = [scaled(part, 1 / len(noises)) for part in noises if part is not None]
    return together(parts) if parts and len(parts) == len(noises) else None


def _of_run(units: Units | None, key: str, weight: float) -> Noise | None:
    if units is None or key not in units.contributions:
        return None
    of_key = units.contributions[key]
    if (count := cosines(units.cycles, of_key.memory)) is None:
        return None
    return noise(weight * of_key.in_time, weight * of_key.of_sessions, count)


def _of_pair(a: Units, b: Units, key: str, weights: tuple[float, float]) -> Noise | None:
    if key not in a.contributions or key not in b.contributions:
        return None
    count = cosines(min(a.cycles, b.cycles), a.contributions[key].memory)
    if count is None:
        return None
    return paired(a.contributions[key], b.contributions[key], weights, count)


def _pairs(a: Sequence[Units | None], b: Sequence[Units | None]) -> list[tuple[Units, Units]] | None:
    """The runs of both sides two by two; None unless they replayed the same traces in the same order."""
    both = [(first, second) for first, second in zip(a, b, strict=False) if first is not None and second is not None]
    if len(a) != len(b) or len(both) != len(a):
        return None
    return both if all(_same_order(*pair) for pair in both) else None


def _pairs_up(units: Units, key: str) -> bool:
    return key in units.contributions and units.contributions[key].pairs


def _same_order(a: Units, b: Units) -> bool:
    shared = min(len(a.trace_id), len(b.trace_id))
    return a.slots == b.slots and shared > 0 and bool((a.trace_id[:shared] == b.trace_id[:shared]).all())


def _together(rows: Sequence[Sequence[Units | None]], pairs: Sequence[tuple[Units, Units]] | None) -> int:
    """Different traces that both sides replayed as pairs."""
    if pairs is None:
        return 0
    a, b = (np.concatenate([units.trace_id for units in side if units is not None]) for side in rows)
    return len(np.intersect1d(a, b))


def _between(sides: tuple[Run, Run], key: str, weights: tuple[float, float]) -> Noise | None:
    """The noise from run to run: the variance within both sides, pooled; None where no run differs from another."""
    number = NUMBERS.get(key) or number_of(key)
    if number is None or number.counts:
        return None
    values = [[run.numbers.get(key) for run in one.runs] for one in sides]
    squares, freedom, of_means = 0.0, 0, 0.0
    for side, weight in zip(values, weights, strict=True):
        measured = [value for value in side if value is not None and isfinite(value)]
        if len(measured) < len(side):
            return None
        squares += float(np.var(measured)) * len(side)
        freedom += len(side) - 1
        of_means += weight**2 / len(side)
    return Noise(squares / freedom * of_means, freedom) if squares > 0 else None
