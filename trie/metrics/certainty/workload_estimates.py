"""Estimates for the whole workload, where the run allows them; else why it does not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from trie.metrics import censored
from trie.metrics.certainty import check, whole_workload
from trie.metrics.certainty.blocks import CYCLES, Blocks
from trie.metrics.certainty.cache_limit import LOST, lost_share
from trie.metrics.certainty.estimate import Estimate, at_least_as_wide, without_interval
from trie.metrics.certainty.population import Population
from trie.metrics.certainty.requests_fit import LEAST_REQUESTS, Model, Requests, fit
from trie.metrics.certainty.section import Estimates, FittedModel, PopulationEstimates
from trie.metrics.columns import Columns
from trie.metrics.definitions.metric import RunRows

PROVISIONAL_BLOCKS = 10  # by which features are chosen where there is no interval
NO_SUMS = "the run holds no sums over its workload; older versions wrote none"
NO_STREAM = "first tokens are not seen without streaming"
FEW_FIRST = "too few first requests were sent after the warm-up"
RATES = ("completion_tok_s", "total_prompt_tok_s", "uncached_prompt_tok_s", "trace_per_s")
SUBAGENTS = "traces that wait for sub-agents take longer than the sum of their requests and waits"
RAMP = "the number of active traces changes, so one fit does not describe the run"
TAIL = "so few first requests were seen that the bounds of this percentile are not known"
LOSES = (
    "the cache lost {:.0%} of what it could have served: estimates for all traces have intervals at least as wide as "
    "the steady state's, TTFT and p99 none"
)
OPEN_LOOP = "traces start as the load says, whatever the server does"


NONE = PopulationEstimates()


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the statistics need to know of a run beside its rows."""

    concurrency: int
    stream: bool
    closed_loop: bool = True  # the same number of traces is active at any time
    load_changes: bool = False  # with time, as it was set to
    traces_ran_out: bool = False  # after the last start, fewer traces were active
    cycles: float = CYCLES  # that a block lasts at least
    kv_capacity: int | None = None  # tokens that the server's cache holds, where it is known


@dataclass(frozen=True, slots=True)
class WorkloadEstimates:
    """What could be estimated."""

    estimates: PopulationEstimates = NONE
    model: FittedModel | None = None
    why: Mapping[str, str] = field(default_factory=dict)


def estimate(
    rows: RunRows, requests: Requests, facts: RunFacts, population: Population | None, blocks: Blocks | None
) -> WorkloadEstimates:
    """Fit the requests, check the fit, and apply it to the workload; without blocks there are no intervals."""
    if population is None:
        return WorkloadEstimates(why={"population": NO_SUMS})
    if facts.load_changes:
        return WorkloadEstimates(why={"population": RAMP})
    if not population.sequential:
        return WorkloadEstimates(why={"population": SUBAGENTS})
    if len(requests) < LEAST_REQUESTS:
        few = f"{len(requests)} requests ended well that were sent between warm-up and end; {LEAST_REQUESTS} are needed"
        return WorkloadEstimates(why={"population": few})
    used = blocks or Blocks(*requests.sent_s, PROVISIONAL_BLOCKS)
    model = fit(requests, used, stream=facts.stream)
    checked = _checked(rows, model, population)
    fitted = FittedModel(model.chosen, model.took.r2, len(requests), checked)
    if not checked.ok:
        return WorkloadEstimates(model=fitted, why={"population": _apart(checked)})
    estimates, why = _estimates(model, population.at_most(whole_workload.MOST_TRACES), population, facts)
    why |= dict.fromkeys(_tails_without_interval(estimates), TAIL)
    if blocks is None:
        estimates = _each(estimates, without_interval)
    return WorkloadEstimates(estimates, fitted, why)


def _tails_without_interval(estimates: PopulationEstimates) -> Iterator[str]:
    for key in ("latency_s", "ttft_s", "ttfat_s"):
        times: Estimates = getattr(estimates, key) or {}
        for name, estimate in times.items():
            if estimate is not None and estimate.low is None:
                yield f"population.{key}.{name}"


def _checked(rows: RunRows, model: Model, population: Population) -> check.ModelCheck:
    """Of the traces that the run saw from their first request on."""
    columns = rows.columns
    whole = columns["turn"][columns.starts] == 0
    seen = censored.trace_latency(rows.sessions, rows.until_s)
    observed = censored.Observed(seen.time_s[whole], seen.seen[whole])
    return check.compare(model, population, columns["trace_id"][columns.starts][whole], observed)


def _apart(checked: check.ModelCheck) -> str:
    time_s, predicted, observed = checked.time_s, checked.predicted_share, checked.observed_share
    return (
        f"the fit does not describe the run: within {time_s:.3g} s it has {predicted:.0%} of the traces done, "
        f"Kaplan-Meier {observed:.0%}"
    )


def _estimates(
    model: Model, sample: Population, population: Population, facts: RunFacts
) -> tuple[PopulationEstimates, dict[str, str]]:
    rates = whole_workload.rates(model, population, facts.concurrency) if facts.closed_loop else {}
    ttft, ttfat = whole_workload.ttft(model, sample), whole_workload.ttfat(model, sample)
    estimates = PopulationEstimates(
        completion_tok_s=rates.get("completion_tok_s"),
        total_prompt_tok_s=rates.get("total_prompt_tok_s"),
        uncached_prompt_tok_s=rates.get("uncached_prompt_tok_s"),
        trace_per_s=rates.get("trace_per_s"),
        latency_s=whole_workload.latency(model, sample).estimates(),
        ttft_s=None if ttft is None else ttft.estimates(),
        ttfat_s=None if ttfat is None else ttfat.estimates(),
    )
    open_loop = {} if facts.closed_loop else dict.fromkeys(map("population.{}".format, RATES), OPEN_LOOP)
    unseen = FEW_FIRST if facts.stream else NO_STREAM
    return estimates, {
        **open_loop,
        **{f"population.{key}": unseen for key in ("ttft_s", "ttfat_s") if getattr(estimates, key) is None},
    }


def no_surer(whole: WorkloadEstimates, columns: Columns, steady: Estimate | None) -> WorkloadEstimates:
    """Where the cache loses, no surer than a rate of the steady state is."""
    lost = lost_share(columns)
    if lost is None or lost <= LOST or whole.estimates == NONE:
        return whole
    why = {**whole.why, "population.intervals": LOSES.format(lost)}
    return replace(whole, estimates=_widened(whole.estimates, steady), why=why)


def without_intervals(whole: WorkloadEstimates, why: str) -> WorkloadEstimates:
    """The values alone."""
    if whole.estimates == NONE:
        return whole
    return replace(
        whole, estimates=_each(whole.estimates, without_interval), why={**whole.why, "population.intervals": why}
    )


def _widened(estimates: PopulationEstimates, steady: Estimate | None) -> PopulationEstimates:
    """With intervals at least as wide as that of a rate of the steady state.

    How long a request takes hangs on what a cache that is too small has just lost, for which no feature stands. Blocks
    that happened to lose little agree with one another and are all wrong. Of TTFT and of p99 not even that held.
    """
    wide = _each(estimates, lambda estimate: at_least_as_wide(estimate, steady))
    return replace(
        wide,
        latency_s=_unbounded(wide.latency_s, ("p99",)),
        ttft_s=_unbounded(wide.ttft_s, wide.ttft_s or ()),
        ttfat_s=_unbounded(wide.ttfat_s, ("p99",)),
    )


def _unbounded(times: Estimates | None, names: Collection[str]) -> Estimates | None:
    """Without the intervals of these."""
    return times and {
        name: without_interval(estimate) if name in names else estimate for name, estimate in times.items()
    }


def _each(estimates: PopulationEstimates, change: Callable[[Estimate | None], Estimate | None]) -> PopulationEstimates:
    def of(times: Estimates | None) -> Estimates | None:
        return times and {key: change(estimate) for key, estimate in times.items()}

    return PopulationEstimates(
        completion_tok_s=change(estimates.completion_tok_s),
        total_prompt_tok_s=change(estimates.total_prompt_tok_s),
        uncached_prompt_tok_s=change(estimates.uncached_prompt_tok_s),
        trace_per_s=change(estimates.trace_per_s),
        latency_s=of(estimates.latency_s),
        ttft_s=of(estimates.ttft_s),
        ttfat_s=of(estimates.ttfat_s),
    )
