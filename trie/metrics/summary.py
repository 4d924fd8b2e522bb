"""All numbers of a run from its rows and its manifest, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from trie.metrics import definitions, verdict
from trie.metrics.cache import Parts, ratio, shares, workers
from trie.metrics.checks.check import Check
from trie.metrics.client_error import excesses
from trie.metrics.columns import Bools, Columns, Floats, Stats
from trie.metrics.decode_speed import decode_speeds
from trie.metrics.engine_counters import engine
from trie.metrics.sections import (
    Budget,
    Cache,
    Censoring,
    Client,
    Concurrency,
    DecodeSeen,
    Drift,
    EngineAccount,
    Workers,
)
from trie.metrics.throughput import Points, Rates, rates
from trie.metrics.traces import Traces, kaplan_meier, traces
from trie.storage.typed_json import decode, encode

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 1
SUSPECT_LAG_S = 0.005


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
        return _finite(content)  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Summary:
        """The summary that `to_json` gave."""
        checks = tuple(Check.from_json(check) for check in content["verdict"])
        return replace(decode(cls, {**content, "verdict": ()}), verdict=checks)


SECTIONS = [field.name for field in fields(Summary)][8:]  # behind the reference's tables


def summarize(rows: pa.Table | Columns, manifest: Mapping[str, Any]) -> Summary:
    """Every number of a run.

    Args:
        rows: of `trie.storage.record.arrow_schema()`, in any order; or their columns, where these are needed again.
        manifest: what was run (docs/records.md); a run that was killed has no end in it, and its wall time is then
            the last instant in the rows.
    """
    columns = rows if isinstance(rows, Columns) else Columns(rows)
    config = manifest["config"]
    stream = bool(config["stream"])
    sessions = traces(columns, stream=stream)
    wall_time_s = wall_time_of(columns, manifest)
    completed = int(sessions.completed.sum())
    parts = shares(columns)
    summary = Summary(
        verdict=(),
        traces={key: int(getattr(sessions, key).sum()) for key in ("completed", "failed", "cancelled")},
        requests={key: int(columns.outcome(key).sum()) for key in ("ok", "failed", "cancelled")},
        wall_time_s=wall_time_s,
        trace_per_s=completed / wall_time_s if wall_time_s > 0 else None,
        per_trace={metric.key: sessions.statistics(metric.key) for metric in definitions.PER_TRACE},
        per_request={key: Stats.of(values) for key, values in per_request(columns, stream=stream).items()},
        workload=rates(Points.of(columns), wall_time_s=wall_time_s, num_gpus=config.get("num_gpus")),
        errors=columns.failures(),
        retries=int(np.maximum(columns["attempts"] - 1, 0).sum()),
        rate_limited=int(columns["rate_limited"].sum()),
        workers=workers(columns),
        drift=_drift(columns, manifest, parts),
        censoring=_censoring(sessions, wall_time_s),
        cache=_cache(columns, parts),
        concurrency=_concurrency(columns, sessions, wall_time_s, int(config["concurrency"]["value"])),
        budget=_budget(columns, sessions),
        client=replace(_client(columns, manifest, wall_time_s), excess=excesses(columns, sessions, stream=stream)),
        one_read_share=_one_read_share(columns) if stream else None,
        engine=engine(columns, manifest),
        decode=_decode(columns) if stream else None,
    )
    return replace(summary, verdict=verdict.judge(summary, manifest))


def wall_time_of(columns: Columns, manifest: Mapping[str, Any]) -> float:
    """As the run says at its end; of a run that was killed, the last instant in the rows."""
    if manifest.get("end"):
        return float(manifest["end"]["wall_time_s"])
    return float(np.nanmax(columns["end_s"], initial=0.0)) if len(columns) else 0.0


def per_request(columns: Columns, *, stream: bool) -> dict[str, Floats]:
    """The metrics of requests by key, for those that ended well; all NaN where it takes streaming to measure them."""
    ok = columns.outcome("ok")
    sent, end, first = columns["sent_s"], columns["end_s"], columns["first_token_s"]
    values: dict[str, Floats] = {
        "ttft_s": first - sent,
        "tpot_s": decode_speeds(columns).tpot_s,
        "latency_s": end - sent,
        "max_gap_s": columns["max_gap_s"],
        "client_s": sent - columns["queued_s"],
    }
    unseen = set() if stream else {"ttft_s", "tpot_s", "max_gap_s"}
    return {key: np.full(int(ok.sum()), np.nan) if key in unseen else column[ok] for key, column in values.items()}


def _drift(columns: Columns, manifest: Mapping[str, Any], parts: Mapping[str, Parts]) -> Drift:
    """The server's counts against the accounting, over requests that ended well and report usage.

    What a chat's template adds, as measured before the run, is a part of the drift, stated beside it: what is left
    then is unexplained. Of completions the first prompt was made shorter already by what the server adds.
    """
    ok = columns.outcome("ok")
    prompt, completion = columns["usage_prompt_tokens"], columns["usage_completion_tokens"]
    counted, completed = ok & ~np.isnan(prompt), ok & ~np.isnan(completion)
    off, short = parts["drift.prompt_ratio"][0][counted], parts["drift.completion_short_ratio"][0][completed]
    requested = columns["requested_completion_tokens"]
    more = np.maximum(completion - requested, 0.0)[completed]
    template = (manifest.get("prompts") or {}).get("template") or {}
    added = _template_tokens(columns["turn"], template, manifest["config"])[counted]
    accounted = float(parts["drift.prompt_ratio"][1].sum())
    return Drift(
        requests_with_usage=int(counted.sum()),
        offset_tokens=(manifest.get("prompts") or {}).get("offset_tokens"),
        prompt_tokens=float(off.sum()) if len(off) else None,
        prompt_ratio=ratio(parts["drift.prompt_ratio"]),
        prompt_max_abs_tokens=float(np.abs(off).max()) if len(off) else None,
        template_first_tokens=template.get("first_tokens"),
        template_per_turn_tokens=template.get("per_turn_tokens"),
        template_ratio=_ratio(float(added.sum()), accounted) if template and len(off) else None,
        unexplained_ratio=_ratio(float((off - added).sum()), accounted) if len(off) else None,
        unexplained_max_abs_tokens=float(np.abs(off - added).max()) if len(off) else None,
        completion_short_requests=int((short > 0).sum()) if len(short) else None,
        completion_short_reasons=_reasons(columns, completed, short > 0),
        completion_short_ratio=ratio(parts["drift.completion_short_ratio"]),
        completion_long_ratio=_ratio(float(more.sum()), float(requested[completed].sum())) if len(more) else None,
    )


def _reasons(columns: Columns, completed: Bools, short: Bools) -> dict[str, int]:
    """How the answers ended that are shorter than asked, by the server's own word for it, the commonest first."""
    index, names = columns.names("finish_reason")
    reasons = Counter(names[number] if number >= 0 else "no reason" for number in index[completed][short])
    return dict(reasons.most_common())


def _template_tokens(turns: Floats, template: Mapping[str, int], config: Mapping[str, Any]) -> Floats:
    """What a chat's template adds to each request's prompt beyond what was taken off the first one."""
    if not template:
        return np.zeros(len(turns))
    first = template["first_tokens"] - (config["endpoint"].get("bos_tokens") or 0)
    return first + template["per_turn_tokens"] * turns


def _censoring(sessions: Traces, wall_time_s: float) -> Censoring:
    started = len(sessions.completed)
    lasted = np.where(sessions.cancelled, wall_time_s, sessions.last_s) - sessions.sent_s
    progress = sessions.progress[sessions.cancelled]
    return Censoring(
        share=_ratio(float(sessions.cancelled.sum()), started),
        progress=float(progress.mean()) if len(progress) else None,
        latency_km_p50_s=kaplan_meier(lasted, sessions.completed, 0.5) if started else None,
        latency_km_p90_s=kaplan_meier(lasted, sessions.completed, 0.9) if started else None,
    )


def _cache(columns: Columns, parts: Mapping[str, Parts]) -> Cache:
    ok = columns.outcome("ok")
    counted = ok & ~np.isnan(columns.cached_tokens) & ~np.isnan(columns["usage_prompt_tokens"])
    return Cache(
        requests_with_cached_tokens=int(counted.sum()),
        impossible_requests=int((counted & (columns.cached_tokens > columns["usage_prompt_tokens"])).sum()),
        omitted_zero_requests=int((ok & columns.omitted_zeros).sum()),
        hit_rate_pct=ratio(parts["cache.hit_rate_pct"]),
        eligible_ceiling_pct=ratio(parts["cache.eligible_ceiling_pct"]),
        lost_pct=ratio(parts["cache.lost_pct"]),
        turn0_hit_share=ratio(parts["cache.turn0_hit_share"]),
    )


def _concurrency(columns: Columns, sessions: Traces, wall_time_s: float, configured: int) -> Concurrency:
    until = np.where(sessions.cancelled, wall_time_s, sessions.last_s)
    return Concurrency(
        configured=configured,
        active_traces=_ratio(float(np.nansum(until - sessions.began_s)), wall_time_s),
        in_flight_requests=_ratio(float(np.nansum(columns["end_s"] - columns["sent_s"])), wall_time_s),
    )


def _budget(columns: Columns, sessions: Traces) -> Budget | None:
    """Where the time of completed traces went; without first tokens, prefill and decode are one."""
    if not sessions.completed.any():
        return None
    sent, end, first = columns["sent_s"], columns["end_s"], columns["first_token_s"]
    attempt = columns["attempt_sent_s"]
    before = np.r_[np.nan, end[:-1]]
    before[columns.starts] = columns["queued_s"][columns.starts]
    spans = {
        "prefill": first - attempt,
        "decode": end - first,
        "retries": attempt - sent,
        "tool_wait": columns["queued_s"] - before,
        "client": sent - columns["queued_s"],
    }
    totals = {key: float(columns.per_session(span)[sessions.completed].sum()) for key, span in spans.items()}
    whole = float((sessions.last_s - sessions.began_s)[sessions.completed].sum())
    return Budget(**{key: _ratio(total, whole) if isfinite(total) else None for key, total in totals.items()})


def _one_read_share(columns: Columns) -> float | None:
    """Of the answers of several chunks, those whose chunks all came in one read of the socket."""
    several = columns.outcome("ok") & (columns["chunks"] > 1)
    at_once = several & (columns["last_token_s"] == columns["first_token_s"])
    return _ratio(float(at_once.sum()), int(several.sum()))


def _decode(columns: Columns) -> DecodeSeen:
    ok, requests = columns.outcome("ok"), decode_speeds(columns)
    return DecodeSeen(
        requests=int((requests.several & ok).sum()),
        not_measured={why: int((mask & ok).sum()) for why, mask in requests.not_seen.items()},
        hidden_requests=int((ok & (requests.hidden_tokens > 0)).sum()),
        hidden_tokens=int(requests.hidden_tokens[ok].sum()),
        adjusted_requests=int((requests.adjusted & ok).sum()),
    )


def _client(columns: Columns, manifest: Mapping[str, Any], wall_time_s: float) -> Client:
    end = manifest.get("end") or {}
    health = end.get("client") or {}
    late = columns["loop_lag_s"] > SUSPECT_LAG_S
    return Client(
        cpu_share=_ratio(health.get("cpu_s"), wall_time_s),
        loop_lag_p50_s=health.get("loop_lag_p50_s"),
        loop_lag_p99_s=health.get("loop_lag_p99_s"),
        loop_lag_max_s=health.get("loop_lag_max_s"),
        suspect_share=_ratio(float(late.sum()), len(columns)),
        calibration=manifest.get("client_calibration"),
    )


def _ratio(part: float | None, whole: float) -> float | None:
    return None if part is None or not whole > 0 else part / whole


def _finite(value: Any) -> Any:
    """JSON knows no NaN: what is not finite was not measured."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value
