"""Stand-ins fitted to any workload: its marginals, and the correlations that matter to a server.

Theory of operation. Every quantity is turned into normal scores: its ranks, as a normal variable would have them. A
trace has the scores of its turns, its input prompt, its final answer and its first turn (answer, output, wait), and a
level of the answers, outputs and waits of its later turns; these nine are drawn together (a Gaussian copula). A first
tool call is often a cold start, so that it says little of the later ones. The scores of a later turn are the trace's
level and a rest that remembers the turn before, with answer, output and wait of one turn correlated. Scores become
values by the recorded quantiles, apart for the first turn, the next five and all later ones, as early turns read large
files. So lengths and waits are distributed as recorded, but no recorded trace is repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trie.errors import WorkloadError
from trie.workload.describe import describe
from trie.workload.trace import Trace, Workload

LEAST_TRACES = 20
EARLY = (1, 6)  # turns that begin a class of their own: the first, the next five, the rest
SHARES = (0.005, 0.9)
STRONGEST = 0.95  # correlation
KNOTS = 1024  # of a quantile function
Floats = NDArray[np.float64]

_LEVELS = np.linspace(0.0005, 0.9995, 2000)
_SCORES = np.array([NormalDist().inv_cdf(level) for level in _LEVELS.tolist()])


class Marginal(NamedTuple):
    """A distribution as its quantiles at even steps."""

    quantiles: Floats

    @classmethod
    def of(cls, values: Floats) -> Marginal:
        """The recorded quantiles."""
        return cls(np.quantile(values, np.linspace(0.0, 1.0, min(KNOTS, len(values))), method="inverted_cdf"))

    def at(self, scores: Floats) -> Floats:
        """The values of normal scores."""
        levels = np.interp(scores, _SCORES, _LEVELS, left=0.0, right=1.0)
        return np.interp(levels, np.linspace(0.0, 1.0, len(self.quantiles)), self.quantiles)


@dataclass(frozen=True, slots=True)
class Fitted:
    """What was learned of a workload."""

    of_trace: tuple[Marginal, ...]  # turns, input prompt, final answer
    of_turn: tuple[tuple[Marginal, ...], ...]  # by class of turns: answer, output, wait
    trace_covariance: Floats  # of the scores of a trace, of its first turn and of its levels, 9 by 9
    rest_covariance: Floats  # of what is left of a later turn, 3 by 3
    memory: Floats  # how much of the rest each quantity keeps from turn to turn

    def draw(self, rows: int, seed: int) -> list[Trace]:
        """So many traces; the same seed gives the same ones."""
        rng = np.random.default_rng(seed)
        scores = rng.standard_normal((rows, 9)) @ _root(self.trace_covariance).T
        turns, prompts, finals = (self.of_trace[at].at(scores[:, at]) for at in range(3))
        rest = _root(self.rest_covariance)
        traces = []
        for row in range(rows):
            count = round(float(turns[row]))
            answers, outputs, waits = self._turns(rng, count, scores[row, 3:6], scores[row, 6:], rest)
            traces.append(
                Trace(
                    max(round(float(prompts[row])), 1),
                    tuple(max(round(value), 1) for value in answers.tolist()),
                    tuple(max(round(value), 0) for value in outputs.tolist()),
                    tuple(round(value, 3) for value in waits.tolist()),
                    max(round(float(finals[row])), 1),
                    row=row,
                )
            )
        return traces

    def _turns(
        self, rng: np.random.Generator, count: int, first: Floats, level: Floats, rest: Floats
    ) -> tuple[Floats, ...]:
        """Answers, outputs and waits of a trace."""
        fresh = rng.standard_normal((count, 3)) @ rest.T
        kept = np.sqrt(1.0 - self.memory**2)
        scores = np.empty((count, 3))
        for at in range(count):
            scores[at] = fresh[at] if at == 0 else self.memory * scores[at - 1] + kept * fresh[at]
        scores += level
        scores[:1] = first
        values = np.empty((count, 3))
        kinds = classes(count)
        for kind, marginals in enumerate(self.of_turn):
            chosen = kinds == kind
            for quantity, marginal in enumerate(marginals):
                values[chosen, quantity] = marginal.at(scores[chosen, quantity])
        return values[:, 0], values[:, 1], values[:, 2]


def classes(count: int) -> NDArray[np.intp]:
    """The class of each turn of a trace."""
    return np.searchsorted(np.array(EARLY), np.arange(count), side="right")


def fit(workload: Workload) -> Fitted:
    """Learn from the traces of a workload.

    Raises:
        WorkloadError: when they are too few.
    """
    every = workload.traces
    traces = [trace for trace in every if trace.num_turns > 1]
    if len(traces) < LEAST_TRACES:
        raise WorkloadError(
            f"{workload.source}: {len(traces)} traces have more than a turn, a fit needs at least {LEAST_TRACES}"
        )
    of_turn = np.concatenate([_columns(trace) for trace in every if trace.num_turns])
    kinds = np.concatenate([classes(trace.num_turns) for trace in every if trace.num_turns])
    of_traces = np.array([_of_trace(trace) for trace in traces], dtype=np.float64)
    later = np.concatenate([_columns(trace)[1:] for trace in traces])
    later_kinds = np.concatenate([classes(trace.num_turns)[1:] for trace in traces])
    owner = np.repeat(np.arange(len(traces)), [trace.num_turns - 1 for trace in traces])
    scores = np.empty_like(later)
    for kind in np.unique(later_kinds):
        chosen = later_kinds == kind
        scores[chosen] = np.column_stack([normal_scores(column) for column in later[chosen].T])
    trace_scores = np.column_stack([normal_scores(column) for column in of_traces.T])
    trace_covariance, rest_covariance, rest = _covariances(trace_scores, scores, owner)
    return Fitted(
        tuple(Marginal.of(np.array(column, dtype=np.float64)) for column in zip(*map(_lengths, every), strict=True)),
        tuple(_marginals(of_turn, kinds == kind) for kind in range(len(EARLY) + 1)),
        trace_covariance,
        rest_covariance,
        _memory(rest, owner),
    )


def _lengths(trace: Trace) -> tuple[int, int, int]:
    return trace.num_turns, trace.input_prompt_length, trace.final_assistant_response_length


def _of_trace(trace: Trace) -> tuple[float, ...]:
    """Its lengths and its first turn."""
    return (*_lengths(trace), *_columns(trace)[0].tolist())


def _marginals(of_turn: Floats, chosen: NDArray[np.bool_]) -> tuple[Marginal, ...]:
    """Of the turns of a class; of all where the class has none."""
    values = of_turn[chosen] if chosen.any() else of_turn
    return tuple(Marginal.of(column) for column in values.T)


def _columns(trace: Trace) -> Floats:
    """Answers, outputs and waits of its turns."""
    columns = (trace.assistant_response_length, trace.tool_call_output_length, trace.tool_call_latency)
    table: Floats = np.array(columns, dtype=np.float64).T
    return table


def normal_scores(values: Floats) -> Floats:
    """Ranks as a normal variable would have them; equal values share theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2.0
    scores: Floats = np.interp(middle[inverse] / len(values), _LEVELS, _SCORES)
    return scores


def _covariances(of_traces: Floats, scores: Floats, owner: NDArray[np.intp]) -> tuple[Floats, Floats, Floats]:
    """Of traces and their levels, of what is left of their turns, and that rest itself.

    The mean of a trace's scores scatters by its turns as well as by its level; what the turns add is taken off.
    """
    counts = np.bincount(owner)
    means = np.column_stack([np.bincount(owner, column) / counts for column in scores.T])
    rest = scores - means[owner]
    within = rest.T @ rest / max(len(rest) - len(counts), 1)
    between = np.cov(np.column_stack([of_traces, means]).T)
    between[6:, 6:] -= within * float((1.0 / counts).mean())
    share = np.clip(np.diag(between)[6:], *SHARES)  # of a turn's variance that is its trace's
    variances = np.concatenate([np.ones(6), share])
    spread = np.sqrt(np.concatenate([np.diag(between)[:6], share]))
    correlations = np.clip(between / np.outer(spread, spread), -STRONGEST, STRONGEST)
    rest_spread = np.sqrt(np.diag(within))
    of_rest = within / np.outer(rest_spread, rest_spread)
    return _covariance(correlations, variances), _covariance(of_rest, 1.0 - share), rest


def _covariance(correlations: Floats, variances: Floats) -> Floats:
    """Of variables with these correlations, as near as a covariance can come to them, and exactly these variances."""
    np.fill_diagonal(correlations, 1.0)
    root = _root(correlations)
    possible = root @ root.T
    scale = np.sqrt(variances / np.diag(possible))
    covariance: Floats = possible * np.outer(scale, scale)
    return covariance


def _memory(rest: Floats, owner: NDArray[np.intp]) -> Floats:
    """Correlation of the rests of neighbouring turns."""
    together = owner[1:] == owner[:-1]
    before, after = rest[:-1][together], rest[1:][together]
    norm = np.sqrt((before**2).sum(axis=0) * (after**2).sum(axis=0))
    memory: Floats = np.clip((before * after).sum(axis=0) / np.maximum(norm, 1e-9), 0.0, STRONGEST)
    return memory


def _root(covariance: Floats) -> Floats:
    """A square root of a covariance; directions that came out negative are none."""
    values, vectors = np.linalg.eigh(covariance)
    root: Floats = vectors * np.sqrt(np.maximum(values, 0.0))
    return root


class Closeness(NamedTuple):
    """How near a stand-in is to what it stands for."""

    distances: dict[str, float]  # Kolmogorov-Smirnov, by quantity
    ideal_hit_rates: tuple[float | None, float | None]  # recorded, drawn


def closeness(recorded: Workload, drawn: Workload) -> Closeness:
    """The distances of all quantities that `describe` has."""
    first, second = describe(recorded), describe(drawn)
    distances = {
        one.title: kolmogorov_smirnov(one.values, other.values)
        for one, other in zip(first.quantities, second.quantities, strict=True)
    }
    return Closeness(distances, (first.ideal_hit_rate, second.ideal_hit_rate))


def kolmogorov_smirnov(first: Floats, second: Floats) -> float:
    """The greatest difference of two empirical distribution functions."""
    if not len(first) or not len(second):
        return float(len(first) != len(second))
    both = np.concatenate([first, second])
    shares = [np.searchsorted(np.sort(values), both, side="right") / len(values) for values in (first, second)]
    return float(np.abs(shares[0] - shares[1]).max())


def workload_of(traces: Sequence[Trace], name: str) -> Workload:
    """Drawn traces as a workload."""
    return Workload(name, traces, f"synthetic stand-in for {name}", "", synthetic=True)
