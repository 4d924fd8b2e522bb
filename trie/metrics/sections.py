"""The sections of a summary, as summary.json has them. None is what was not measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trie.storage.manifest import ClientCalibration


@dataclass(frozen=True, slots=True)
class Workers:
    """Requests, hit rates and moves by worker; a move is a turn that another worker served than the one before it."""

    count: int
    requests: Mapping[str, int]  # by worker, the busiest first; not all of many
    hit_rate_pct: Mapping[str, float | None]
    turns: int  # after the first of each session
    moved_turns: int
    moved_hit_rate_pct: float | None
    stayed_hit_rate_pct: float | None


@dataclass(frozen=True, slots=True)
class Drift:
    """The server's counts against the accounting, over requests that ended well and report usage."""

    requests_with_usage: int
    offset_tokens: int | None = None
    prompt_tokens: float | None = None
    prompt_ratio: float | None = None
    prompt_max_abs_tokens: float | None = None
    template_first_tokens: int | None = None
    template_per_turn_tokens: int | None = None
    template_ratio: float | None = None
    unexplained_ratio: float | None = None
    unexplained_max_abs_tokens: float | None = None
    completion_short_requests: int | None = None
    completion_short_reasons: Mapping[str, int] = field(default_factory=dict)
    completion_short_ratio: float | None = None
    completion_long_ratio: float | None = None
    completion_unknown_ratio: float | None = None
    completion_asked_tokens: int | None = None  # by answers that report usage
    completion_missing_tokens: int | None = None  # of them, those that did not come


@dataclass(frozen=True, slots=True)
class Censoring:
    """Traces that the end of the run cut off or a failure ended, and estimates with them."""

    share: float | None  # cut off
    progress: float | None
    latency_km_p50_s: float | None
    latency_km_p90_s: float | None
    incomplete_share: float | None = None  # cut off or failed
    incomplete_requests_share: float | None = None
    ttft_km_p50_s: float | None = None
    ttft_km_p90_s: float | None = None
    ttfat_km_p50_s: float | None = None
    ttfat_km_p90_s: float | None = None
    request_ttft_km_p50_s: float | None = None
    request_ttft_km_p90_s: float | None = None
    request_latency_km_p50_s: float | None = None
    request_latency_km_p90_s: float | None = None


@dataclass(frozen=True, slots=True)
class Silence:
    """What was open at the end of the run, and how long nothing had come of it."""

    open_requests: int = 0
    at_end_s: float | None = None  # nothing was read of any request, with some in flight
    longest_before_s: float | None = None  # of such silences; None where that at the end is too short to matter
    dead: bool = False  # the one at the end is longer than twice that
    stuck_requests: int = 0  # silent for more than twice the longest wait of a request that ended well
    stuck_s: float = 0.0  # the sum of their silences
    longest_wait_s: float | None = None


@dataclass(frozen=True, slots=True)
class Trend:
    """The line through a metric's values by block, over the window of steady state."""

    change: float  # from its first to its last block, as a share of the mean; of hits, of the eligible tokens
    t: float  # how many standard errors that is
    drifts: bool = False


@dataclass(frozen=True, slots=True)
class LevelShift:
    """An instant from which on a metric has another level."""

    metric: str
    at_s: float
    before: float
    after: float
    change: float  # as a share of the level before; of hits, of the eligible tokens
    t: float


@dataclass(frozen=True, slots=True)
class Plateau:
    """A part of the window between two level shifts, with its own numbers."""

    from_s: float
    until_s: float
    completion_tok_s: float | None = None
    tpot_s: float | None = None
    eligible_hit_rate_pct: float | None = None
    context_tokens: float | None = None  # of the prompts of active sessions, as a mean over time


@dataclass(frozen=True, slots=True)
class Steadiness:
    """Whether the server did the same thing over the window of steady state."""

    why: str | None = None  # it was not judged
    window_s: tuple[float, ...] | None = None
    blocks: int | None = None
    mser5_s: float | None = None  # where MSER-5 would begin; None: the run is too short for it to tell
    drift: Mapping[str, Trend] = field(default_factory=dict)
    shifts: tuple[LevelShift, ...] = ()
    cold_cache: LevelShift | None = None  # of hits before the window
    plateaus: tuple[Plateau, ...] = ()


@dataclass(frozen=True, slots=True)
class Cache:
    """What the cache hit, by the server's own counts."""

    requests_with_cached_tokens: int
    impossible_requests: int = 0
    omitted_zero_requests: int = 0
    traces_measured: int | None = None  # completed ones with a cache hit rate
    traces_left_out: int | None = None  # and without, for want of usage or cached tokens in one of their requests
    hit_rate_pct: float | None = None
    eligible_ceiling_pct: float | None = None
    lost_pct: float | None = None
    turn0_hit_share: float | None = None  # of first requests that share no prefix by their traces
    shared_prefix_hit_rate_pct: float | None = None


@dataclass(frozen=True, slots=True)
class LoadLevel:
    """One level of a ramp: what ended in its time, and first tokens of what was sent in it."""

    active_traces: int
    from_s: float
    to_s: float
    requests: int
    completion_tok_s: float
    ttft_p50_s: float | None = None
    ttft_p90_s: float | None = None


@dataclass(frozen=True, slots=True)
class LoadServed:
    """How an open load, or a ramp, went."""

    shape: str
    rate: float | None = None  # traces per second that were asked for
    traces_due: int | None = None
    waited: int | None = None  # of those that began, for a slot
    not_begun: int | None = None  # due, and still waiting for a slot at the end
    waited_share: float | None = None  # both, of those due
    wait_p50_s: float | None = None  # of all that were due, at least
    wait_p90_s: float | None = None
    wait_max_s: float | None = None
    late_due: int | None = None  # in the later half of the run
    late_ended: int | None = None
    levels: tuple[LoadLevel, ...] = ()


@dataclass(frozen=True, slots=True)
class Concurrency:
    """The load as set and as it was, on average over the run."""

    configured: int
    active_traces: float | None
    in_flight_requests: float | None


@dataclass(frozen=True, slots=True)
class Budget:
    """Where the time of completed traces went, as shares; without first tokens prefill and decode are not known."""

    prefill: float | None
    decode: float | None
    retries: float | None
    tool_wait: float | None
    client: float | None


@dataclass(frozen=True, slots=True)
class DecodeSeen:
    """Of how many answers the decode speed was seen, and of how many not, for what reason."""

    requests: int  # that ended well with several tokens
    not_measured: Mapping[str, int]  # one_chunk, one_read, burst, too_fast
    hidden_requests: int  # some of whose tokens were counted and never sent
    hidden_tokens: int
    adjusted_requests: int  # whose speed is that of what was seen and not the reference's
    surplus_requests: int = 0  # with more chunks of text than the server counts tokens
    surplus_chunks: int = 0  # of theirs beyond their tokens


@dataclass(frozen=True, slots=True)
class Excess:
    """What the client's own lateness may have added to one statistic, at most."""

    seconds: float
    share: float | None  # of what the statistic would be without it; None: nothing would be left


@dataclass(frozen=True, slots=True)
class Excesses:
    """By metric, then by percentile: those that enough values stand behind."""

    per_request: Mapping[str, Mapping[str, Excess]]
    per_trace: Mapping[str, Mapping[str, Excess]]


@dataclass(frozen=True, slots=True)
class Client:
    """The client itself: its CPU time, its lateness, and its error where that was calibrated."""

    cpu_share: float | None = None
    workers: int | None = None  # processes, where there were several: the figures are those of the worst of them
    loop_lag_p50_s: float | None = None
    loop_lag_p99_s: float | None = None
    loop_lag_max_s: float | None = None
    suspect_share: float | None = None
    excess: Excesses | None = None
    calibration: ClientCalibration | None = None


@dataclass(frozen=True, slots=True)
class EngineCounts:
    """What the engine counted; means are seconds."""

    prompt_tokens: float | None = None
    cached_tokens: float | None = None
    completion_tokens: float | None = None
    requests: float | None = None
    preemptions: float | None = None
    queue_s: float | None = None
    ttft_s: float | None = None
    itl_s: float | None = None
    e2e_s: float | None = None
    hit_rate_pct: float | None = None


@dataclass(frozen=True, slots=True)
class RowCounts:
    """The same of the rows, as far as they tell."""

    prompt_tokens: float | None = None
    cached_tokens: float | None = None
    completion_tokens: float | None = None
    requests: int | None = None
    hit_rate_pct: float | None = None
    ttft_s: float | None = None
    itl_s: float | None = None
    e2e_s: float | None = None


@dataclass(frozen=True, slots=True)
class CountDifferences:
    """Counts: the engine's less the rows'. Times: the client's less the engine's."""

    prompt_tokens: float | None = None
    cached_tokens: float | None = None
    completion_tokens: float | None = None
    requests: float | None = None
    preemptions: float | None = None
    queue_s: float | None = None
    ttft_s: float | None = None
    itl_s: float | None = None
    e2e_s: float | None = None


@dataclass(frozen=True, slots=True)
class BesideRows:
    """Requests that the engine may have counted and that the rows' sums hold nothing of."""

    cancelled: int = 0
    failed: int = 0
    retried: int = 0
    without_usage: int = 0

    @property
    def any(self) -> bool:
        return bool(self.cancelled or self.failed or self.retried or self.without_usage)


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """Prompt and completion tokens; None where they can't be known."""

    prompt_tokens: float | None = None
    completion_tokens: float | None = None


@dataclass(frozen=True, slots=True)
class EngineAccount:
    """The engine's own counters over the run beside the rows.

    Counters that hold less than the rows can't be those of all servers from the run's start to its end: `counted` is
    then empty, and `disbelieved` has what they say.
    """

    name: str
    version: str | None
    engines: int
    settled: bool | None
    counted: EngineCounts
    rows: RowCounts
    difference: CountDifferences
    beside_rows: BesideRows
    comparable: bool
    own_at_most: TokenCounts = TokenCounts()  # of the run's requests, with all that those beside the rows asked for
    others_share: float | None = None  # of the tokens counted, at least, that no request of the run can have caused
    disbelieved: EngineCounts | None = None
