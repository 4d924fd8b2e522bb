"""A profile of the embedded endpoint out of measured runs, and how well it tells them again in virtual time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np

from trie.config import Clock, ConcurrencyConfig, EndpointConfig, RunConfig, SimConfig, Start, WorkloadConfig
from trie.config.sim import UNSEEN_BLOCKS
from trie.errors import ConfigError, WorkloadError
from trie.metrics.columns import Columns
from trie.metrics.evaluate_run import EvaluatedRun
from trie.preflight.limits import fitting
from trie.replay.virtual import VirtualReplay
from trie.sim.fit import Fit, Floats, Observations, SchedulerName, fit
from trie.storage.record import Outcome, RequestRecord
from trie.storage.typed_json import decode
from trie.workload.load import load as load_workload
from trie.workload.trace import Trace

MOST_RUNNING = 1024  # where no limit was met
LOST_PCT = 1.0  # of the eligible tokens, below which nothing was evicted
SEARCHES = 10  # replays to find the size of a cache
SCHEDULERS: tuple[SchedulerName, ...] = get_args(SchedulerName)


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a run, measured and simulated."""

    name: str
    measured: float | None
    simulated: float | None

    @property
    def ratio(self) -> float | None:
        """Simulated over measured, less 1."""
        return self.simulated / self.measured - 1.0 if self.measured and self.simulated is not None else None


@dataclass(frozen=True, slots=True)
class Replayed:
    """A measured run told again in virtual time."""

    run: str
    concurrency: int
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """What was fitted: the settings, their intervals, what can't be told, and the runs beside their replays."""

    sim: SimConfig
    fit: Fit
    notes: tuple[str, ...]
    replays: tuple[Replayed, ...]


def fit_profile(runs: Sequence[EvaluatedRun], name: str, scheduler: SchedulerName | None = None) -> Profile:
    """Fit one scheduler, or that of all which describes the runs best.

    Raises:
        ConfigError: for what these runs can't tell.
        WorkloadError: when the traces of a run can't be had any more.
    """
    observed = [observations(run.columns) for run in runs]
    for run, rows in zip(runs, observed, strict=True):
        if not len(rows.sent):
            raise ConfigError(f"{run.run.path}: no streamed answer with usage; there is nothing to fit")
    try:
        fits = [fit(observed, name) for name in ([scheduler] if scheduler else SCHEDULERS)]
    except ValueError as error:
        raise ConfigError(f"trie fit: {error}") from None
    best = min(fits, key=lambda fitted: fitted.decode_error + fitted.ttft_error)
    plans = [_Plan.of(run) for run in runs]
    sim, notes = _settings(best, name, runs, observed)
    sim, more = _with_cache(sim, runs, observed, plans)
    replays = tuple(
        Replayed(str(run.run.path), plan.config.concurrency.value, tuple(_figures(rows, plan.replay(sim), plan)))
        for run, rows, plan in zip(runs, observed, plans, strict=True)
    )
    return Profile(sim, best, (*notes, *more), replays)


def observations(columns: Columns) -> Observations:
    """The requests of a run that ended well, were streamed and report usage."""
    rows = Observations(
        sent=columns["sent_s"],
        first=columns["first_token_s"],
        last=columns["last_token_s"],
        chunks=columns["chunks"],
        prompt_tokens=columns["usage_prompt_tokens"],
        cached_tokens=np.nan_to_num(columns.cached_tokens),
        completion_tokens=columns.completion_tokens,
    )
    return rows.only(columns.outcome("ok") & ~np.isnan(rows.first) & ~np.isnan(rows.prompt_tokens))


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a run is told again."""

    config: RunConfig
    traces: Sequence[Trace]
    wall_time_s: float
    seed: int

    @classmethod
    def of(cls, run: EvaluatedRun) -> _Plan:
        manifest = run.manifest
        source: WorkloadConfig = decode(WorkloadConfig, manifest.config["workload"])
        workload = load_workload(source)
        if manifest.workload.sha256 not in (None, workload.sha256):
            raise WorkloadError(f"{run.run.path}: {workload.source} holds other traces now than this run replayed")
        config = RunConfig(
            workload=source,
            endpoint=EndpointConfig(name="sim", ignore_eos=True),
            concurrency=ConcurrencyConfig(manifest.settings.concurrency.value),
            duration=float(manifest.config["duration"]),
            max_traces=manifest.config.get("max_traces"),
            history=manifest.settings.history,
            start=Start[manifest.settings.start],
            load=manifest.settings.load,
            clock=Clock.virtual,
        )
        context = manifest.server.max_model_len if manifest.workload.skipped_too_long else None
        return cls(config, fitting(workload, context, skip=True).traces, run.summary.wall_time_s, manifest.seed)

    def replay(self, sim: SimConfig) -> Observations:
        rows: list[RequestRecord] = []
        config = replace(self.config, sim=sim)
        VirtualReplay(config, self.traces, write=rows.extend, seed=self.seed).run()
        ok = [row for row in rows if row.outcome is Outcome.ok and not row.warm_up]

        def column(name: str) -> Floats:
            return np.array([getattr(row, name) for row in ok], dtype=np.float64)

        names = ("sent_s", "first_token_s", "last_token_s", "chunks")
        usage = ("usage_prompt_tokens", "usage_cached_tokens", "usage_completion_tokens")
        return Observations(*(column(name) for name in (*names, *usage)))


def _settings(
    best: Fit, name: str, runs: Sequence[EvaluatedRun], observed: Sequence[Observations]
) -> tuple[SimConfig, list[str]]:
    """The fitted numbers with those that are read off the rows, and what is not known of them."""
    notes = [
        f"batches of {best.batches[0]:.1f} to {best.batches[1]:.1f} requests were measured: others are extrapolated",
        f"no limit of requests at a time was looked for: max_running={MOST_RUNNING}",
    ]
    several = np.concatenate([rows.chunks for rows in observed]) > 1
    tokens = np.concatenate([rows.completion_tokens for rows in observed])[several] - 1
    per_chunk = tokens / (np.concatenate([rows.chunks for rows in observed])[several] - 1)
    cached = np.concatenate([rows.cached_tokens for rows in observed])
    block = math.gcd(*{int(value) for value in cached if value > 0}) or 16
    contexts = [run.manifest.server.max_model_len for run in runs]
    longest = max(int((rows.prompt_tokens + rows.completion_tokens).max()) for rows in observed)
    values: dict[str, Any] = {key: _rounded(estimate.value) for key, estimate in best.estimates.items()}
    sim = SimConfig(
        profile=name,
        scheduler=best.scheduler,
        **values,
        max_running=MOST_RUNNING,
        cache_blocks=UNSEEN_BLOCKS,
        block_tokens=block if block <= 1024 else 16,
        tokens_per_chunk=max(round(float(np.median(per_chunk))), 1) if len(per_chunk) else 1,
        max_model_len=max([longest, *(length for length in contexts if length)]),
        measured_batch=_rounded(best.batches[1]),
    )
    return sim, notes


def _with_cache(
    sim: SimConfig, runs: Sequence[EvaluatedRun], observed: Sequence[Observations], plans: Sequence[_Plan]
) -> tuple[SimConfig, list[str]]:
    """The size of the cache with which the run that lost most of its prefixes loses as many in virtual time."""
    lost = [run.summary.cache.lost_pct for run in runs]
    if all(share is None for share in lost):
        return sim, ["no cached tokens are reported: the size of the cache is not known"]
    worst = max(range(len(runs)), key=lambda index: lost[index] or 0.0)
    if (lost[worst] or 0.0) < LOST_PCT:
        return sim, [f"nothing was evicted: the cache holds more than these runs need (cache_blocks={UNSEEN_BLOCKS})"]
    target = _hit_rate(observed[worst])
    low, high = -(-(sim.max_model_len + sim.tokens_per_chunk) // sim.block_tokens), UNSEEN_BLOCKS
    for _ in range(SEARCHES):
        middle = int(math.sqrt(low * high))
        if _hit_rate(plans[worst].replay(replace(sim, cache_blocks=middle))) < target:
            low = middle
        else:
            high = middle
    return replace(sim, cache_blocks=high), [
        f"cache_blocks={high} is what gives the hit rate of {runs[worst].run.path}"
    ]


def _hit_rate(rows: Observations) -> float:
    prompts = float(rows.prompt_tokens.sum())
    return float(rows.cached_tokens.sum()) / prompts if prompts else 0.0


def _figures(measured: Observations, simulated: Observations, plan: _Plan) -> Iterator[Figure]:
    """What a reader compares first, of the rows alone, so that both are computed in one way."""
    sides = [dict(_numbers(rows, plan.wall_time_s)) for rows in (measured, simulated)]
    for name in sides[0]:
        yield Figure(name, sides[0][name], sides[1][name])


def _numbers(rows: Observations, wall_time_s: float) -> Iterator[tuple[str, float | None]]:
    ttft, latency = rows.first - rows.sent, rows.last - rows.sent
    several = rows.chunks > 1
    tpot = (rows.last - rows.first)[several] / (rows.completion_tokens[several] - 1)
    for name, values, share in (("TTFT", ttft, 50), ("TTFT", ttft, 90), ("TPOT", tpot, 50), ("latency", latency, 50)):
        yield f"{name} p{share} (ms)", float(np.percentile(values, share)) * 1e3 if len(values) else None
    yield "completion tok/s", float(rows.completion_tokens.sum()) / wall_time_s
    yield "cache hit rate (%)", 100.0 * _hit_rate(rows)


def _rounded(value: float) -> float:
    """Four significant digits: a profile is read by people."""
    return float(f"{value:.4g}")


def to_yaml(profile: Profile) -> str:
    """The profile as a file of conf/profile, its intervals and notes as comments."""
    sim, estimates = profile.sim, profile.fit.estimates
    runs = ", ".join(replayed.run for replayed in profile.replays)
    lines = ["# @package sim", f"# Fitted by trie fit to {profile.fit.requests} requests of {runs}."]
    lines += [f"# {note[0].upper()}{note[1:]}." for note in profile.notes]
    lines += [f"profile: {sim.profile}", f"scheduler: {sim.scheduler}"]
    for name, estimate in estimates.items():
        lines.append(f"{name}: {_number(getattr(sim, name))}  # +- {estimate.half:.2g} (95 %)")
    for name in ("max_running", "cache_blocks", "block_tokens", "tokens_per_chunk", "max_model_len", "measured_batch"):
        lines.append(f"{name}: {getattr(sim, name)}")
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    """As YAML reads a number: 1e-05 would be a text."""
    text = f"{value:.10f}".rstrip("0")
    return text + "0" if text.endswith(".") else text


def to_json(profile: Profile) -> dict[str, Any]:
    """Everything, as JSON values."""
    fitted = profile.fit
    return {
        "profile": profile.sim.profile,
        "scheduler": fitted.scheduler,
        "parameters": {
            name: {"value": estimate.value, "half_width": estimate.half} for name, estimate in fitted.estimates.items()
        },
        "cache_blocks": profile.sim.cache_blocks,
        "block_tokens": profile.sim.block_tokens,
        "requests": fitted.requests,
        "batches": list(fitted.batches),
        "decode_error": fitted.decode_error,
        "ttft_error": fitted.ttft_error,
        "notes": list(profile.notes),
        "runs": [
            {
                "run": replayed.run,
                "concurrency": replayed.concurrency,
                "figures": [
                    {"name": f.name, "measured": f.measured, "simulated": f.simulated, "ratio": f.ratio}
                    for f in replayed.figures
                ],
            }
            for replayed in profile.replays
        ],
    }
