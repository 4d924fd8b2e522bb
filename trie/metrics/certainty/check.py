"""Does the fit describe the server? The run's own traces as it predicts them, beside how long they took."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trie.metrics.censored import Observed, survival
from trie.metrics.certainty import whole_workload
from trie.metrics.certainty.population import Population
from trie.metrics.certainty.requests_fit import Model
from trie.metrics.columns import Floats

SHARES = (0.25, 0.5, 0.75, 0.9)  # of the predicted traces, at whose times the two are compared
ALLOWED, ERRORS = 0.05, 3.0  # the gap that does not matter, and that which chance makes, in standard errors


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """The largest gap between two curves of trace latency: Kaplan-Meier's and the fit's."""

    traces: int
    time_s: float | None  # at which it is; None where no trace was seen to its end
    observed_share: float | None  # of the traces done by then
    predicted_share: float | None
    allowed: float | None  # between the two
    ok: bool


def compare(model: Model, population: Population, trace_id: Floats, observed: Observed) -> ModelCheck:
    """Traces that the run began, by the row of each and what was seen of it."""
    place = population.places(trace_id)
    known = (place >= 0) & np.isfinite(observed.time_s)
    at = place[known]
    if not len(at):
        return ModelCheck(0, None, None, None, None, ok=True)
    own = Population(
        population.row[at], population.wait_s[at], population.whole[at], population.first[at], population.last[at]
    )
    predicted = whole_workload.latency(model, own.at_most(whole_workload.MOST_TRACES), intervals=False)
    seen = Observed(observed.time_s[known], observed.seen[known])
    times, surviving = survival(seen)
    errors = _greenwood(seen, times, surviving)
    worst = ModelCheck(len(at), None, None, None, None, ok=True)
    excess = -np.inf
    for share in SHARES:
        time_s = predicted.quantile(share)
        index = int(np.searchsorted(times, time_s, side="right")) - 1
        if index < 0 or time_s > times[-1]:
            continue
        done = 1.0 - float(surviving[index])
        allowed = ALLOWED + ERRORS * float(errors[index])
        if abs(done - share) - allowed > excess:
            excess = abs(done - share) - allowed
            worst = ModelCheck(len(at), time_s, done, share, allowed, ok=excess <= 0)
    return worst


def _greenwood(observed: Observed, times: Floats, surviving: Floats) -> Floats:
    """The standard error of the share not yet done, after each time."""
    order = np.lexsort((~observed.seen, observed.time_s))
    seen = observed.seen[order]
    at_risk = np.arange(len(seen), 0, -1)
    terms = np.where(seen & (at_risk > 1), 1.0 / (at_risk * np.maximum(at_risk - 1, 1)), 0.0)
    total = np.cumsum(terms)
    last = np.searchsorted(observed.time_s[order], times, side="right") - 1
    errors: Floats = surviving * np.sqrt(total[last])
    return errors
