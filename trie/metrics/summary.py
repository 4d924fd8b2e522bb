"""All numbers of a run from its rows and its manifest, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from math import inf, isfinite
from typing import Any

import numpy as np

from trie.metrics import verdict
from trie.metrics.cache import workers
from trie.metrics.certainty.assess import Values, certainty
from trie.metrics.certainty.blocks import CYCLES
from trie.metrics.certainty.population import Population
from trie.metrics.certainty.section import Certainty
from trie.metrics.certainty.workload_estimates import RunFacts
from trie.metrics.checks.check import Check
from trie.metrics.client_error import excesses
from trie.metrics.column_store import Source
from trie.metrics.columns import Bools, Columns, Floats, Stats
from trie.metrics.cost import Cost, cost_of
from trie.metrics.decode_speed import NOT_SEEN, decode_speeds
from trie.metrics.definitions.cache import reports_hits
from trie.metrics.definitions.metric import RunRows
from trie.metrics.drift import drift
from trie.metrics.engine_counters import engine
from trie.metrics.kv_demand import kv_capacity
from trie.metrics.load_served import load_served, waiting_s
from trie.metrics.metric_names import flat
from trie.metrics.sections import (
    Budget,
    Cache,
    Censoring,
    Client,
    Concurrency,
    DecodeSeen,
    Drift,
    EngineAccount,
    LoadServed,
    Silence,
    Steadiness,
    Workers,
)
from trie.metrics.silence import silence
from trie.metrics.slo.evaluate import Judged, judge
from trie.metrics.slo.evaluate import Run as SloRun
from trie.metrics.slo.expression import DEFAULT_TIER, parse_all, tiers
from trie.metrics.slo.goodput import Goodput, goodput
from trie.metrics.slo.of_run import steady_state
from trie.metrics.steadiness.judge import steadiness
from trie.metrics.stop_rule import facts_of, promised
from trie.metrics.throughput import Points, Rates, rates
from trie.metrics.traces import Traces, traces
from trie.metrics.values import of_run, per_request, per_trace
from trie.storage.manifest import ClientHealth, Manifest
from trie.storage.typed_json import decode, encode

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Summary:
    """Every number of a run; `to_json` is the form of summary.json."""

    verdict: tuple[Check, ...]
    traces: Mapping[str, int]
    requests: Mapping[str, int]
    wall_time_s: float
    trace_per_s: float | None
    per_trace: Mapping[str, Stats | None]
    per_request: Mapping[str, Stats | None]
    workload: Mapping[str, Rates]
    errors: Mapping[str, int]  # failed requests by the kind of their error, the commonest first
    retries: int
    rate_limited: int
    workers: Workers | None
    drift: Drift
    censoring: Censoring
    cache: Cache
    concurrency: Concurrency
    budget: Budget | None
    client: Client
    one_read_share: float | None
    engine: EngineAccount | None
    decode: DecodeSeen | None = None  # None too in summaries from before it was counted
    silence: Silence | None = None  # None in summaries from before it was looked at
    load: LoadServed | None = None  # None for a closed loop
    certainty: Certainty | None = None  # None in summaries from before there were intervals
    steadiness: Steadiness | None = None  # the same
    slo: tuple[Judged, ...] = ()
    goodput: Goodput | None = None  # under an SLO without tiers
    goodput_by_tier: Mapping[str, Goodput] = field(default_factory=dict)
    cost: Cost | None = None  # None without the number of GPUs
    others: Mapping[str, float | None] = field(default_factory=dict)  # by path, what no field above holds

    def __repr__(self) -> str:
        verdict = "VALID" if self.valid else "INVALID"
        return f"Summary({verdict}, {self.traces['completed']} traces completed, {self.requests['ok']} requests ok)"

    @property
    def valid(self) -> bool:
        """False only where the numbers would mislead."""
        return all(check.ok for check in self.verdict if check.level == "error")

    @property
    def facts(self) -> Mapping[str, Any]:
        """The sections as plain JSON values."""
        content = self.to_json()
        return {name: content[name] for name in SECTIONS}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; None for what was not measured."""
        checks = [check.to_json() for check in self.verdict]
        content = {"schema_version": SCHEMA_VERSION, "valid": self.valid, **encode(self), "verdict": checks}
        for path, value in content.pop("others").items():
            *outer, name = path.split(".")
            section = content
            for key in outer:
                section = section.setdefault(key, {})
            section[name] = value
        return _finite(content)  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Summary:
        """The summary that `to_json` gave."""
        checks = tuple(Check.from_json(check) for check in content["verdict"])
        summary = decode(cls, {**content, "verdict": ()})
        held = dict(flat(summary.to_json()))
        others = {path: value for path, value in flat(content) if path not in held}
        return replace(summary, verdict=checks, others=others)


SECTIONS = [field.name for field in fields(Summary)][8:-1]  # behind the reference's tables


def summarize(rows: Source | Columns, manifest: Manifest, population: Population | None = None) -> Summary:
    """Every number of a run.

    Args:
        rows: of `trie.storage.record.arrow_schema()`, in any order; or their columns, where these are needed again.
        manifest: what was run (docs/records.md); a run that was killed has no end in it, and its wall time is then
            the last instant in the rows.
        population: sums over the workload, for estimates of the whole of it.
    """
    columns = rows if isinstance(rows, Columns) else Columns(rows, load_ended_s=load_ended_s(manifest))
    settings = manifest.settings
    stream = settings.stream
    sessions = traces(columns)
    wall_time_s = wall_time_of(columns, manifest)
    of_traces = per_trace(columns, sessions, stream=stream)
    excess = excesses(columns, of_traces, stream=stream)
    run_rows = RunRows(columns, sessions, wall_time_s, waiting_s(manifest, wall_time_s))
    numbers = of_run(run_rows, stream=stream)
    of_requests = per_request(columns, stream=stream)
    points = Points.of(columns)
    workload = rates(points, wall_time_s=wall_time_s, num_gpus=settings.num_gpus)
    summary = Summary(
        verdict=(),
        traces={key: int(getattr(sessions, key).sum()) for key in ("completed", "failed", "cancelled")},
        requests={key: int(columns.outcome(key).sum()) for key in ("ok", "failed", "cancelled")},
        per_trace={key: Stats.of(values) for key, values in of_traces.items()},
        per_request={key: Stats.of(values, of_requests.ordered(key)) for key, values in of_requests.items()},
        workload=workload,
        errors=columns.failures(),
        workers=workers(columns),
        drift=drift(columns, manifest, _take(numbers, Drift, "drift")),
        censoring=Censoring(**_take(numbers, Censoring, "censoring")),
        cache=_cache(columns, sessions, _take(numbers, Cache, "cache")),
        concurrency=Concurrency(settings.slots, **_take(numbers, Concurrency, "concurrency")),
        budget=Budget(**_take(numbers, Budget, "budget")) if numbers.pop("budget", 0) is not None else None,
        client=replace(_client(columns, manifest, wall_time_s, _take(numbers, Client, "client")), excess=excess),
        engine=engine(columns.with_warm_up, manifest),
        silence=silence(columns),
        steadiness=steadiness(columns, points),
        load=load_served(columns, sessions, manifest, wall_time_s),
        decode=_decode(columns) if stream else None,
        certainty=certainty(
            run_rows,
            points,
            Values(workload, of_traces, of_requests),
            _facts(manifest),
            population,
        ),
        **_take(numbers, Summary),
        others=numbers,
    )
    if summary.certainty is not None and settings.stop_when is not None and _ended_by(manifest, "precise"):
        summary = replace(summary, certainty=promised(summary.certainty, settings.stop_when))
    summary = _decided(summary, manifest, run_rows, of_traces, of_requests)
    return replace(summary, verdict=verdict.judge(summary, manifest))


def _facts(manifest: Manifest) -> RunFacts:
    """What the intervals need to know of a run: one that was stopped when it was precise keeps its blocks."""
    facts = facts_of(manifest.settings)
    cycles = facts.cycles if _ended_by(manifest, "precise") else CYCLES
    ran_out = _ended_by(manifest, "max_traces")
    return replace(facts, traces_ran_out=ran_out, cycles=cycles, kv_capacity=kv_capacity(manifest))


def _decided(
    summary: Summary,
    manifest: Manifest,
    rows: RunRows,
    of_traces: Mapping[str, Floats],
    of_requests: Mapping[str, Floats],
) -> Summary:
    """The summary with what the numbers say of objectives and cost."""
    settings = manifest.settings
    objectives = parse_all(settings.slo)
    run = SloRun(rows, summary.certainty, of_traces, of_requests, steady_state(summary.workload))
    by_tier = {
        tier: goodput(rows, [item for item in objectives if item.tier == tier], settings.num_gpus)
        for tier in tiers(settings.slo)
    }
    return replace(
        summary,
        slo=judge(run, objectives),
        goodput=by_tier.pop(DEFAULT_TIER, None),
        goodput_by_tier=by_tier,
        cost=cost_of(summary, settings),
    )


def load_ended_s(manifest: Manifest) -> float:
    """Until when the load was kept up: the deadline of a run whose traces went on after it, else without end."""
    drained = manifest.end is not None and manifest.end.drain_s is not None
    return manifest.settings.duration if drained else inf


def _ended_by(manifest: Manifest, reason: str) -> bool:
    return manifest.end is not None and manifest.end.reason == reason


def wall_time_of(columns: Columns, manifest: Manifest) -> float:
    """As the run says at its end; of a run that was killed, the last instant in the rows."""
    if manifest.end is not None:
        return manifest.end.wall_time_s
    return float(np.nanmax(columns["end_s"], initial=0.0)) if len(columns) else 0.0


def _take(numbers: dict[str, float | None], kind: type, section: str = "") -> dict[str, Any]:
    """The numbers that a section has fields for, by their names; they are then no longer in `numbers`."""
    paths = {field.name: f"{section}.{field.name}".removeprefix(".") for field in fields(kind)}
    return {name: numbers.pop(path) for name, path in paths.items() if path in numbers}


def _cache(columns: Columns, sessions: Traces, numbers: Mapping[str, Any]) -> Cache:
    def unmeasured(block: Columns) -> Bools:
        return block.any_in_session(np.isnan(block.cached_tokens) | np.isnan(block["usage_prompt_tokens"]))

    left_out = columns.each(unmeasured)
    return Cache(
        requests_with_cached_tokens=columns.summed(lambda block: int(reports_hits(block).sum())),
        omitted_zero_requests=columns.summed(lambda block: int((block.outcome("ok") & block.omitted_zeros).sum())),
        traces_measured=int((sessions.completed & sessions.whole & ~left_out).sum()),
        traces_left_out=int((sessions.completed & sessions.whole & left_out).sum()),
        **numbers,
    )


def _decode(columns: Columns) -> DecodeSeen:
    several, hidden, hidden_tokens, adjusted, surplus, surplus_chunks, *unseen = columns.summed(_decode_counts)
    return DecodeSeen(
        requests=int(several),
        not_measured={why: int(count) for why, count in zip(NOT_SEEN, unseen, strict=True)},
        hidden_requests=int(hidden),
        hidden_tokens=int(hidden_tokens),
        adjusted_requests=int(adjusted),
        surplus_requests=int(surplus),
        surplus_chunks=int(surplus_chunks),
    )


def _decode_counts(columns: Columns) -> Floats:
    ok, requests = columns.outcome("ok"), decode_speeds(columns)
    surplus = np.maximum(columns["chunks"] - columns["usage_completion_tokens"], 0.0)[ok]
    counts = [
        (requests.several & ok).sum(),
        (ok & (requests.hidden_tokens > 0)).sum(),
        requests.hidden_tokens[ok].sum(),
        (requests.adjusted & ok).sum(),
        (surplus > 0).sum(),
        np.nansum(surplus),
        *((requests.not_seen[why] & ok).sum() for why in NOT_SEEN),
    ]
    return np.array(counts, np.float64)


def _client(columns: Columns, manifest: Manifest, wall_time_s: float, numbers: Mapping[str, Any]) -> Client:
    """As the client says at the end; of a run that was killed, the longest standstill that its rows have."""
    health = (None if manifest.end is None else manifest.end.client) or ClientHealth()
    if manifest.end is None and len(columns):
        health = ClientHealth(loop_lag_max_s=float(np.nanmax(columns["loop_lag_s"], initial=0.0)))
    return Client(
        cpu_share=_cpu_share(manifest, health, wall_time_s),
        workers=len(manifest.end.workers) or None if manifest.end is not None else None,
        loop_lag_p50_s=health.loop_lag_p50_s,
        loop_lag_p99_s=health.loop_lag_p99_s,
        loop_lag_max_s=health.loop_lag_max_s,
        calibration=manifest.client_calibration,
        **numbers,
    )


def _cpu_share(manifest: Manifest, health: ClientHealth, wall_time_s: float) -> float | None:
    """Of one core: that of the client's process, or of the busiest of several."""
    workers = () if manifest.end is None else manifest.end.workers
    shares = [_ratio(worker.client.cpu_s, worker.wall_time_s or 0.0) for worker in workers if worker.client is not None]
    measured = [share for share in shares if share is not None]
    return max(measured) if measured else _ratio(health.cpu_s, wall_time_s)


def _ratio(part: float | None, whole: float) -> float | None:
    return None if part is None or not whole > 0 else part / whole


def _finite(value: Any) -> Any:
    """JSON knows no NaN: what is not finite was not measured."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value
