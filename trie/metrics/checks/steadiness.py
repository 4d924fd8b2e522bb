"""Checks of steadiness: did the rates drift, had the cache settled, did anything step to another level?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from trie.metrics.checks.check import Check, Condition, Evidence, Level
from trie.metrics.sections import LevelShift, Steadiness, Trend
from trie.metrics.steadiness.blocks import CONTEXT, HITS, RATE, TPOT
from trie.metrics.stop_rule import is_sample

RAMP = "ramp"
LEAST_GAP = 0.02  # a smaller one between estimate and measurement is no matter
GRAVE = 0.20  # a change from which on one number can't stand for the whole window

STEADY_RATE = Condition("steady_rate", "warning", "the rates held", "the rates drifted")
STEADY_CACHE = Condition("steady_cache", "warning", "the cache had settled", "the cache had not settled")
LEVEL_SHIFT = Condition("level_shift", "warning", "the server kept one level", "the server went to another level")
A_SAMPLE = Condition(
    "traces_are_a_sample", "warning", "traces are like all of the workload", "traces are unlike all of the workload"
)
CONDITIONS = (STEADY_RATE, STEADY_CACHE, LEVEL_SHIFT, A_SAMPLE)

NAMES = {RATE: "completion tok/s", TPOT: "TPOT", HITS: "eligible hit rate", CONTEXT: "context of active sessions"}
SHOWN = {TPOT: (1e3, " ms"), HITS: (1.0, " %")}  # as people read them


def sample_checks(run: Evidence) -> Iterator[Check]:
    """Whether the run bears out what it is taken to say of all traces."""
    certainty = run.summary.certainty
    if certainty is None:
        return
    whole, steady = certainty.population.completion_tok_s, certainty.steady_state.get("completion_tok_s")
    if whole is None or steady is None or steady.half_width is None or not steady.value:
        return
    gap = whole.value / steady.value - 1
    yield A_SAMPLE.check(
        is_sample(certainty) or abs(gap) < LEAST_GAP,
        f"completion tok/s of all traces is estimated as {whole.value:,.1f}, {gap:+.1%} from the "
        f"{steady.value:,.1f} ±{steady.half_width:,.1f} measured",
        "the estimates for all traces reach beyond what this run met: run longer, and with "
        "workload.order=shuffled: the first traces of a file may be no sample",
    )


def steadiness_checks(run: Evidence) -> Iterator[Check]:
    """None where the window was too short to judge."""
    steady = run.summary.steadiness
    if steady is None or steady.why is not None or run.settings.load.shape == RAMP:  # a ramp is no steady load
        return
    rates = {name: steady.drift[name] for name in (RATE, TPOT) if name in steady.drift}
    drifting = {name: trend for name, trend in rates.items() if trend.drifts}
    yield STEADY_RATE.check(
        not drifting,
        _over_the_window(drifting or rates),
        "the numbers are means over a state that changes: see what grows, fills up or heats up, or run longer",
        level=_level(trend.change for trend in drifting.values()),
    )
    yield from _cache(steady)
    yield LEVEL_SHIFT.check(
        not steady.shifts,
        "; ".join(map(_step, steady.shifts)) or "no step of 5 % or more",
        "the numbers mix two states: look for evictions, a lost worker or other load at that time; "
        "steadiness.plateaus in summary.json has the numbers of each",
        level=_level(shift.change for shift in steady.shifts),
    )


def _cache(steady: Steadiness) -> Iterator[Check]:
    """Hits that drift, contexts that still grow, hits that fell before steady state began."""
    judged = {name: steady.drift[name] for name in (HITS, CONTEXT) if name in steady.drift}
    if HITS not in judged:
        return
    off = {name: trend for name, trend in judged.items() if trend.drifts and (name == HITS or trend.change > 0)}
    cold = f"; before steady state: {_step(steady.cold_cache)}" if steady.cold_cache is not None else ""
    yield STEADY_CACHE.check(
        not off and not cold,
        f"{_over_the_window(off or judged)}{cold}",
        "the cache was still filling: later hits are fewer than those measured, and completed traces mix both; "
        "run longer, or begin in the middle with start=stationary",
        level=_level([off[HITS].change] if HITS in off else []),
    )


def _level(changes: Iterable[float]) -> Level:
    return "error" if any(abs(change) >= GRAVE for change in changes) else "warning"


def _over_the_window(trends: Mapping[str, Trend]) -> str:
    """How much each changed from the start of steady state to its end."""
    changes = ", ".join(f"{NAMES[name]} {_change(name, trend.change)}" for name, trend in trends.items())
    return f"{changes} over steady state"


def _step(shift: LevelShift) -> str:
    factor, unit = SHOWN.get(shift.metric, (1.0, ""))
    levels = f"from {shift.before * factor:,.1f} to {shift.after * factor:,.1f}{unit}"
    return f"{NAMES[shift.metric]} {levels} ({_change(shift.metric, shift.change)}) at {shift.at_s:.0f} s"


def _change(name: str, change: float) -> str:
    return f"{100 * change:+.1f} points" if name == HITS else f"{100 * change:+.1f} %"
