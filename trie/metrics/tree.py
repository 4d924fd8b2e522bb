"""The form of summary.json as dataclasses: field names are its keys, field order is its order.

What each number means is declared once, in `trie.metrics.catalogue`. None means not measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from trie.errors import RunDirError
from trie.metrics.plain import from_plain

SCHEMA_VERSION = 1

Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Statistics:
    """Seven figures of one distribution; percentiles are interpolated linearly."""

    mean: float
    min: float
    p50: float
    p90: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class Rates:
    """One throughput over four spans of the run, in tokens per second."""

    overall: float | None
    last_30s: float | None
    steady_state: float | None
    steady_state_per_gpu: float | None


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of the verdict: what was found and, where it does not hold, what to do."""

    check: str
    level: Level
    ok: bool
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class TraceCounts:
    """Traces by what became of them."""

    completed: int
    failed: int
    cancelled: int

    @property
    def started(self) -> int:
        return self.completed + self.failed + self.cancelled


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """Requests by outcome."""

    ok: int
    failed: int
    cancelled: int

    @property
    def started(self) -> int:
        return self.ok + self.failed + self.cancelled


@dataclass(frozen=True, slots=True)
class PerTrace:
    """The reference's six distributions over completed traces."""

    latency_s: Statistics | None
    ttft_s: Statistics | None
    ttfat_s: Statistics | None
    decode_tps: Statistics | None
    cache_hit_rate_pct: Statistics | None
    eligible_cache_hit_rate_pct: Statistics | None


@dataclass(frozen=True, slots=True)
class Workload:
    """The reference's four throughputs."""

    total_prompt_tok_s: Rates
    cached_prompt_tok_s: Rates
    uncached_prompt_tok_s: Rates
    completion_tok_s: Rates


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """Failed requests of one kind, with the error text that was most frequent among them."""

    kind: str
    count: int
    example: str | None


@dataclass(frozen=True, slots=True)
class Outcomes:
    failure_rate: float | None
    trace_failure_rate: float | None
    errors: list[ErrorCount]
    finish_reasons: dict[str, int]


@dataclass(frozen=True, slots=True)
class PerRequest:
    """Distributions over requests that ended well."""

    ttft_s: Statistics | None
    tpot_s: Statistics | None
    max_gap_s: Statistics | None


@dataclass(frozen=True, slots=True)
class Streamed:
    """Throughput counted when tokens came rather than when their request ended; approximate."""

    prompt_tok_s: Rates
    completion_tok_s: Rates
    tokens_per_chunk: float | None


@dataclass(frozen=True, slots=True)
class Censoring:
    share: float | None
    progress: Statistics | None
    latency_km_p50_s: float | None
    latency_km_p90_s: float | None
    mean_turns_completed: float | None
    mean_turns_started: float | None
    mean_turns_workload: float | None


@dataclass(frozen=True, slots=True)
class TimeBudget:
    """Mean seconds of a completed trace's latency by where they went; server, tools, client and retries add up to it."""

    server_s: float | None
    prefill_s: float | None
    decode_s: float | None
    tool_wait_s: float | None
    client_s: float | None
    retry_s: float | None


@dataclass(frozen=True, slots=True)
class Drift:
    prompt_requests: int
    prompt_offset_tokens: int
    prompt_total_pct: float | None
    prompt_max_abs_tokens: int | None
    turn_mean_tokens: float | None
    turn_max_abs_tokens: int | None
    completion_requests: int
    completion_short_pct: float | None
    completion_short_requests: int
    completion_long_requests: int


@dataclass(frozen=True, slots=True)
class Cache:
    reported_requests: int
    omitted_zero_requests: int
    unmeasured_traces: int
    hit_rate_all_pct: float | None
    eligible_hit_rate_all_pct: float | None
    eligible_ceiling_block1_pct: float | None
    eligible_ceiling_block16_pct: float | None
    turn0_hit_requests: int
    turn0_hit_pct: float | None


@dataclass(frozen=True, slots=True)
class Concurrency:
    configured: int
    active_traces: float | None
    requests_in_flight: float | None
    peak_requests_in_flight: int


@dataclass(frozen=True, slots=True)
class Retries:
    requests: int
    attempts: int
    recovered: int


@dataclass(frozen=True, slots=True)
class Client:
    """What the client itself took: signs that it, not the server, was the limit."""

    cpu_share: float | None
    loop_lag_p50_s: float | None
    loop_lag_p99_s: float | None
    loop_lag_max_s: float | None
    loop_lag_samples: int | None
    send_delay_s: Statistics | None
    suspect_requests_pct: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """All that a run's rows and manifest say, and whether it can be trusted."""

    valid: bool
    verdict: list[Check]
    traces: TraceCounts
    requests: RequestCounts
    wall_time_s: float | None
    trace_per_s: float | None
    per_trace: PerTrace
    workload: Workload
    outcomes: Outcomes
    per_request: PerRequest
    streamed: Streamed
    censoring: Censoring
    time_budget: TimeBudget
    drift: Drift
    cache: Cache
    concurrency: Concurrency
    retries: Retries
    client: Client
    incomplete_traces: int = 0
    schema_version: int = field(default=SCHEMA_VERSION)

    def to_json(self) -> dict[str, Any]:
        """The object of summary.json: plain dicts, lists, numbers and strings."""
        tree = asdict(self)
        return {"schema_version": tree.pop("schema_version"), **tree}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Summary:
        """A summary out of the object that `to_json` gave; further keys are ignored.

        Raises:
            RunDirError: for another schema version, a missing key or a value of another type.
        """
        version = data.get("schema_version")
        if version != SCHEMA_VERSION:
            raise RunDirError(f"summary.json: schema version {version}, this trie reads {SCHEMA_VERSION}")
        return from_plain(cls, data, "summary.json")
