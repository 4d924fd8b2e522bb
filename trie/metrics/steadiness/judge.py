"""The section `steadiness` of a summary: the blocks of a run, judged for drifts and level shifts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from trie.metrics.columns import Columns, Floats
from trie.metrics.sections import LevelShift, Plateau, Steadiness, Trend
from trie.metrics.steadiness import changes
from trie.metrics.steadiness.blocks import CONTEXT, HITS, LEAST, MOST, RATE, REQUESTS, TPOT, Blocks, blocks, rate
from trie.metrics.steadiness.changes import Fit
from trie.metrics.steadiness.truncation import mser5
from trie.metrics.throughput import Points

EFFECT = 0.05  # a smaller change matters to nobody: a share, or as much of the eligible tokens for hits
LEAST_S = 60.0  # a shorter window is that of a trial
FINE = 5  # values of MSER-5 for each block


def steadiness(columns: Columns, points: Points) -> Steadiness:
    """Whether rates and cache stayed the same over the window of steady state, and where they did not."""
    since, until = points.steady_since, points.until
    requests = len(points.at) - points.first_since(since)
    count = min(MOST, requests // REQUESTS)
    if count < LEAST or until - since < LEAST_S:
        why = (
            f"steady state has {requests} requests in {until - since:.0f} s: it takes {LEAST * REQUESTS} requests and "
            f"{LEAST_S:.0f} s to judge it"
        )
        return Steadiness(why=why)
    run = blocks(columns, (since, until), count)
    drift = {name: _trend(name, series.values[run.before :]) for name, series in run.series.items()}
    shifts = sorted(_shifts(run), key=lambda shift: shift.at_s)
    return Steadiness(
        window_s=(since, until),
        blocks=count,
        mser5_s=_truncation(columns, until, len(run) * FINE),
        drift=drift,
        shifts=tuple(shift for shift in shifts if shift.at_s > since),
        cold_cache=next((shift for shift in shifts if shift.at_s <= since and shift.change < 0), None),
        plateaus=tuple(_plateaus(run, [shift.at_s for shift in shifts if shift.at_s > since])),
    )


def _truncation(columns: Columns, until: float, count: int) -> float | None:
    """Where MSER-5 would begin, by the completion rate in `count` blocks from the start of the run on."""
    left_out = mser5(rate(columns, np.linspace(0.0, until, count + 1)).values)
    return None if left_out is None else left_out * until / count


def _share(name: str, change: float, values: Floats) -> float:
    """A change as a share of the mean; of hits, which are percents already, of the eligible tokens."""
    return change / (100.0 if name == HITS else float(np.nanmean(values)) or 1.0)


def _matters(name: str, fit: Fit, values: Floats) -> bool:
    """Whether a change is no chance, and large enough."""
    return fit.sure and abs(_share(name, fit.change, values)) >= EFFECT


def _trend(name: str, values: Floats) -> Trend:
    """The line through a series, or a bend that fits better; a step that fits better still is neither.

    The context of sessions is the workload's own and bends by chance more often.
    """
    line, bend = changes.line(values), None if name == CONTEXT else changes.bend(values)
    fits = [fit for fit in (line, bend) if fit is not None and _matters(name, fit, values)]
    fit = min(fits, key=_rest, default=line)
    drifts = bool(fits) and (name == CONTEXT or _level_step(name, values) is None)
    return Trend(_share(name, fit.change, values), fit.t, drifts)


def _level_step(name: str, values: Floats) -> Fit | None:
    """The step of a series, where it matters and no line or bend fits better; hits fall fast, but not in a block."""
    step = changes.step(values)
    if step is None or not _matters(name, step, values):
        return None
    others = [changes.line(values), None if name == HITS else changes.bend(values)]
    return step if all(step.rest <= other.rest for other in others if other is not None) else None


def _rest(fit: Fit) -> float:
    return fit.rest


def _shifts(run: Blocks) -> Iterator[LevelShift]:
    """The level shifts of the rates in the window, and of hits from the start of the run on."""
    for name, first in ((RATE, run.before), (TPOT, run.before), (HITS, 0)):
        if name in run.series:
            steps = _steps(name, run.series[name].values, first, len(run))
            places = [first, *(place for place, _ in steps), len(run)]
            levels = [run.series[name].mean(*part) or 0.0 for part in pairwise(places)]
            for (place, step), (before, after) in zip(steps, pairwise(levels), strict=True):
                change = (after - before) / 100.0 if name == HITS else (after / before - 1.0 if before else 0.0)
                yield LevelShift(name, float(run.edges[place]), before, after, change, step.t)


def _steps(name: str, values: Floats, first: int, end: int) -> list[tuple[int, Fit]]:
    """Where a series steps between two blocks, in order: the clearest step first, then within either part."""
    step = _level_step(name, values[first:end])
    if step is None:
        return []
    place = first + step.at
    return [*_steps(name, values, first, place), (place, step), *_steps(name, values, place, end)]


def _plateaus(run: Blocks, shifts: list[float]) -> Iterator[Plateau]:
    """The window between its shifts, each part with its own numbers; shifts of one cause count as one."""
    apart = max(2, int((len(run) - run.before) * changes.SEGMENT))
    places = [run.before]
    for at in shifts:
        place = int(np.searchsorted(run.edges, at - 1e-9))
        if place - places[-1] >= apart:
            places.append(place)
    for first, end in pairwise([*places, len(run)]):
        means = {name: series.mean(first, end) for name, series in run.series.items()}
        yield Plateau(
            from_s=float(run.edges[first]),
            until_s=float(run.edges[end]),
            completion_tok_s=means.get(RATE),
            tpot_s=means.get(TPOT),
            eligible_hit_rate_pct=means.get(HITS),
            context_tokens=means.get(CONTEXT),
        )
