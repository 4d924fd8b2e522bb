"""What one pair of blocks says: B against A, number by number, as logarithms of ratios."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from trie.metrics.columns import Bools, Columns, Floats
from trie.metrics.decode_speed import decode_speeds
from trie.metrics.evaluate_run import EvaluatedRun
from trie.metrics.stop_rule import is_sample
from trie.metrics.traces import traces
from trie.workload.session_tree import SUBAGENT_IDS

Name = tuple[float, ...]  # of a trace or a request, by which it is found in the other block
LEAST_MATCHED = 10  # requests or traces that both blocks completed, below which a pair says nothing


@dataclass(frozen=True, slots=True)
class Compared:
    """A number that is compared in every pair."""

    key: str
    label: str
    higher_is_better: bool
    difference: Callable[[EvaluatedRun, EvaluatedRun], float | None]  # log(B / A); None where a pair can't tell


def _throughput(a: EvaluatedRun, b: EvaluatedRun) -> float | None:
    """Of the whole workload where both blocks have the estimate, else of steady state."""
    values = [_population(run) for run in (a, b)]
    if None in values:
        values = [run.summary.workload["completion_tok_s"].steady_state for run in (a, b)]
    before, after = values
    return log(after / before) if before and after and before > 0 and after > 0 else None


def _population(run: EvaluatedRun) -> float | None:
    certainty = run.summary.certainty  # of an estimate that the run does not bear out nothing follows
    estimate = None if certainty is None or not is_sample(certainty) else certainty.population.completion_tok_s
    return None if estimate is None else estimate.value


def _request_ttft(columns: Columns) -> Floats:
    return columns["first_token_s"] - columns["sent_s"]


def _request_tpot(columns: Columns) -> Floats:
    return decode_speeds(columns).tpot_s


def _matched_requests(value: Callable[[Columns], Floats]) -> Callable[[EvaluatedRun, EvaluatedRun], float | None]:
    """The mean over requests that ended well in both blocks: the same turn of the same trace, replayed as often."""

    def difference(a: EvaluatedRun, b: EvaluatedRun) -> float | None:
        sides: list[dict[Name, float]] = []
        for run in (a, b):
            columns = run.columns
            ok, values = columns.outcome("ok"), value(columns)
            sides.append(dict(zip(_request_names(columns, ok), values[ok], strict=True)))
        return _mean_ratio(*sides)

    return difference


def _request_names(columns: Columns, chosen: Bools) -> Iterator[Name]:
    """For each chosen request its trace, how often that was replayed before, the sub-agent, and its turn."""
    replayed = _times_before(columns["trace_id"][columns.starts])[columns.trace_of]
    subagent = columns["session_id"] // SUBAGENT_IDS
    parts = (columns["trace_id"], replayed, subagent, columns["turn"])
    return zip(*(part[chosen] for part in parts), strict=True)


def _times_before(values: Floats) -> NDArray[np.int64]:
    """For each value how many equal ones are before it."""
    order = np.argsort(values, kind="stable")
    in_order = values[order]
    first = np.searchsorted(in_order, in_order, side="left")
    before = np.empty(len(values), dtype=np.int64)
    before[order] = np.arange(len(values)) - first
    return before


def _latency(a: EvaluatedRun, b: EvaluatedRun) -> float | None:
    """The mean over traces that completed in both blocks."""
    sides: list[dict[Name, float]] = []
    for run in (a, b):
        columns, sessions = run.columns, traces(run.columns)
        trace = columns["trace_id"][columns.starts]
        names = zip(trace, _times_before(trace), strict=True)
        lasted = sessions.last_s - sessions.sent_s
        sides.append({name: time for name, time, done in zip(names, lasted, sessions.completed, strict=True) if done})
    return _mean_ratio(*sides)


def _mean_ratio(a: Mapping[Name, float], b: Mapping[Name, float]) -> float | None:
    """The mean logarithm of B / A over what both have; None for too few."""
    both = a.keys() & b.keys()
    ratios = [log(b[name] / a[name]) for name in both if a[name] > 0 and b[name] > 0]
    return sum(ratios) / len(ratios) if len(ratios) >= LEAST_MATCHED else None


COMPARED = (
    Compared("completion_tok_s", "completion tok/s", higher_is_better=True, difference=_throughput),
    Compared("latency_s", "trace latency", higher_is_better=False, difference=_latency),
    Compared("request_ttft_s", "request TTFT", higher_is_better=False, difference=_matched_requests(_request_ttft)),
    Compared("tpot_s", "TPOT", higher_is_better=False, difference=_matched_requests(_request_tpot)),
)
