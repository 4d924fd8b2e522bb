"""The certainty of a run: its blocks of time, and every interval and estimate that they allow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trie.metrics.certainty import measured, workload_estimates
from trie.metrics.certainty.blocks import LEAST, Blocks, Places, blocks_over, needed_s, whole_run
from trie.metrics.certainty.cache_limit import at_limit
from trie.metrics.certainty.population import Population
from trie.metrics.certainty.requests_fit import LEAST_REQUESTS, Requests, guard_s, mean_trace_s, requests_between
from trie.metrics.certainty.section import Certainty, Estimates
from trie.metrics.certainty.workload_estimates import RunFacts
from trie.metrics.columns import Columns, Floats, in_order
from trie.metrics.definitions import declared
from trie.metrics.definitions.metric import PER_TRACE, RunRows
from trie.metrics.shown_numbers import CUT_OFF_SHARE
from trie.metrics.throughput import WARM_UP, Points, Rates
from trie.metrics.values import RequestValues

NOTHING_ENDED = "no request ended well in the steady state"
NO_STARTS = "no trace began in the steady state, so it is not known how long one takes"


@dataclass(frozen=True, slots=True)
class Values:
    """The numbers that get intervals."""

    workload: Mapping[str, Rates]
    per_trace: Mapping[str, Floats]  # one value for each session; NaN where it did not complete
    per_request: Mapping[str, Floats]  # one for each request that ended well


def certainty(
    rows: RunRows, points: Points, values: Values, facts: RunFacts, population: Population | None
) -> Certainty:
    """Every interval and estimate of a run."""
    columns, window = rows.columns, points.steady_window()
    if window is None or not window[1] > window[0]:
        return Certainty(why={"steady_state": NOTHING_ENDED, "population": NOTHING_ENDED})
    guard = guard_s(columns)
    since, until = points.steady_since, _full_until(rows, window[1], facts) - guard
    requests = requests_between(columns, since, until)
    cycle = _cycle_s(requests, population, rows, window)
    blocks = blocks_over(*window, cycle, facts.cycles)
    needs = None
    if cycle is not None and blocks is None:
        needs = needed_s(cycle, facts.cycles, lost_share=WARM_UP, lost_s=guard)
    values_of = {key: rates.steady_state for key, rates in values.workload.items()}
    steady = {} if blocks is None else measured.rates(points, values_of, blocks)
    fit_blocks = None if blocks is None or not until > since else Blocks(since, until, blocks.count)
    whole = workload_estimates.estimate(rows, requests, facts, population, fit_blocks)
    if fit_blocks is not None:
        whole = workload_estimates.no_surer(whole, columns, steady.get("completion_tok_s"))
    limit = None if blocks is None else at_limit(columns, facts.kv_capacity, window)
    if limit is not None:
        steady, whole = dict.fromkeys(steady), workload_estimates.without_intervals(whole, limit)
    traces, ok = (None, None) if blocks is None else _places(columns, whole_run(blocks, rows.wall_time_s))
    of_traces, cut_off = _without_cut_off(rows, values.per_trace)
    return Certainty(
        blocks=None if blocks is None else blocks.count,
        cycle_s=cycle,
        window_s=window,
        needs_s=needs,
        steady_state=steady,
        per_trace=_statistics(of_traces, traces),
        per_request=_statistics(values.per_request, ok),
        population=whole.estimates,
        model=whole.model,
        why={
            **cut_off,
            **({} if blocks else _too_short(cycle, needs, facts.cycles)),
            **({} if limit is None else {"steady_state": limit}),
            **whole.why,
        },
    )


def _full_until(rows: RunRows, until: float, facts: RunFacts) -> float:
    """Until when all slots had a trace."""
    return min(until, float(rows.sessions.began_s.max())) if facts.traces_ran_out else until


def _cycle_s(
    requests: Requests, population: Population | None, rows: RunRows, window: tuple[float, float]
) -> float | None:
    """How long a trace takes on average: by the fit, else the time of active traces by those that began."""
    if population is not None and population.sequential and len(requests) >= LEAST_REQUESTS:
        return mean_trace_s(requests, population)
    since, until = window
    began = rows.sessions.began_s
    starts = int(((began > since) & (began <= until)).sum())
    active = np.clip(np.minimum(rows.until_s, until) - np.maximum(began, since), 0.0, None)
    return float(active.sum()) / starts if starts else None


def _statistics(values: Mapping[str, Floats], places: Places | None) -> dict[str, Estimates]:
    if places is None:
        return {}
    ordered = values.ordered if isinstance(values, RequestValues) else lambda key: in_order(values[key])
    return {key: measured.statistics(of_key, places, ordered(key)) for key, of_key in values.items()}


def _places(columns: Columns, blocks: Blocks) -> tuple[Places, Places]:
    """The blocks in which traces, and requests that ended well, were sent."""

    def of_ok(block: Columns) -> NDArray[np.int16]:
        return blocks.places(block["sent_s"][block.outcome("ok")]).of

    return blocks.places(columns["sent_s"][columns.starts]), Places(columns.each(of_ok), blocks.count)


def _without_cut_off(rows: RunRows, values: Mapping[str, Floats]) -> tuple[Mapping[str, Floats], dict[str, str]]:
    """The metrics of traces whose values are not those of the short ones alone, and why the others have no interval."""
    completed = rows.sessions.completed[rows.sessions.whole]
    share = 1.0 - float(completed.mean()) if len(completed) else 0.0
    if share <= CUT_OFF_SHARE:
        return values, {}
    times = {metric.key for metric in declared(PER_TRACE) if metric.with_cut_off}
    why = f"{share:.0%} of the traces were cut off or failed: no interval of the others' times holds those of all"
    return (
        {key: of_key for key, of_key in values.items() if key not in times},
        {f"per_trace.{key}": why for key in sorted(times)},
    )


def _too_short(cycle_s: float | None, needs_s: float | None, cycles: float) -> dict[str, str]:
    """Why there is no interval of anything that was measured."""
    if cycle_s is None or needs_s is None:
        return dict.fromkeys(("steady_state", "per_trace", "per_request"), NO_STARTS)
    sentence = (
        f"too short: an interval takes {LEAST} blocks of {cycles:g} traces' time ({cycle_s:.0f} s each), "
        f"so a run of {needs_s:.0f} s"
    )
    return dict.fromkeys(("steady_state", "per_trace", "per_request", "population.intervals"), sentence)
