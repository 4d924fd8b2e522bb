"""What a run states about itself: settings, versions, host, server, prompts, how it began and ended. Never a secret.

The classes are the objects of manifest.json, key by key. Files of older and newer versions are read: what is missing
gets its default, and what is not declared here is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trie.config import ConcurrencyConfig, LimitsConfig, LoadConfig
from trie.storage.typed_json import decode, encode

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Object:
    unknown: Mapping[str, Any] = field(default_factory=dict)  # keys of other versions


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload(_Object):
    """What was replayed."""

    name: str
    source: str = ""
    sha256: str | None = None
    traces: int
    skipped_too_long: int = 0
    synthetic: bool
    mean_turns: float | None = None
    imported: Mapping[str, Any] | None = None  # the report of the import that made the workload's file


@dataclass(frozen=True, slots=True, kw_only=True)
class Template(_Object):
    """Tokens that a chat's template adds: to the first prompt, and with each further turn."""

    first_tokens: int
    per_turn_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts(_Object):
    """What prompts are made of, and whether their lengths are those that the server counts."""

    source: str | None = None
    name: str | None = None
    fingerprint: str | None = None
    offset_tokens: int | None = None
    calibrated: bool | None = None  # the lengths were verified
    finding: str | None = None
    template: Template | None = None
    form: str = "text"
    form_note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository(_Object):
    """Of the experiment; None where it is not known."""

    commit: str | None
    dirty: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect(_Object):
    """Who the server is found to be, and the settings that came from its dialect."""

    name: str | None = None
    version: str | None = None
    found: str | None = None
    evidence: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    taken: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundTrip(_Object):
    """Seconds; None where there was no answer."""

    connect_min_s: float | None = None
    connect_median_s: float | None = None
    get_min_s: float | None = None
    get_median_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUp(_Object):
    """Requests before the clock, of which there are no rows."""

    requests: int
    failed: int
    seconds: float
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pilot(_Object):
    """How fast a batch of requests before the run was served: by it, a stationary start knows how long traces last."""

    prompt_tok_s: float | None  # None where answers did not stream
    answer_step_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Server(_Object):
    """The server, or the servers, as preflight found them."""

    base_url: str
    replicas: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()  # of each of these servers, base_url first, with its version
    embedded: bool
    dialect: Dialect | None = None
    model: str
    models: tuple[str, ...] = ()
    owned_by: str | None = None
    max_model_len: int | None = None  # tokens
    facts: Mapping[str, Any] = field(default_factory=dict)  # what the engine states of itself
    rtt: RoundTrip | None = None
    warm_up: WarmUp | None = None
    pilot: Pilot | None = None
    in_flight_before: int | None = None  # requests of others
    cache_reset: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(_Object):
    """The run's one anchor on the wall clock."""

    wall_clock: str = ""  # ISO 8601, UTC
    unix_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientHealth(_Object):
    """The client's CPU time and the lateness of its event loop, in seconds."""

    cpu_s: float | None = None
    loop_lag_p50_s: float | None = None
    loop_lag_p99_s: float | None = None
    loop_lag_max_s: float | None = None
    samples: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineGrowth(_Object):
    """What the engine's counters grew by."""

    engines: int = 0
    restarted: bool = False
    restart_evidence: str | None = None
    counters: Mapping[str, float] = field(default_factory=dict)
    settled: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostClock(_Object):
    """How far the clock of another machine was ahead, in seconds, and by how much that may be wrong.

    The instants of its rows are those of the coordinator's clock, within this error.
    """

    offset_begin_s: float | None = None  # when the run began
    error_begin_s: float | None = None
    offset_end_s: float | None = None  # when the worker had ended; None for one that died
    error_end_s: float | None = None
    drift: float | None = None  # seconds that it gained in a second between the two
    pings: int = 0
    steps: int = 0  # times that it was set anew
    largest_step_s: float | None = None  # by how much at least


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerEnd(_Object):
    """How one of several workers ended."""

    worker_id: int
    node: str | None = None
    slots: int | None = None  # of the run's
    died: str | None = None  # how; None: it ended with the run
    wall_time_s: float | None = None  # until it ended, or was found dead
    client: ClientHealth | None = None
    lost_requests: int | None = None  # in flight when a dead one was heard last: they have no rows
    lost_traces: int | None = None  # active then
    clock: HostClock | None = None  # of another machine


# Ends of a run that lasted as long as it was meant to: its duration, or until its metrics were known well enough.
FULL_LENGTH = frozenset({"deadline", "precise"})


@dataclass(frozen=True, slots=True, kw_only=True)
class End(_Object):
    """How the run ended."""

    reason: str
    detail: str | None = None
    wall_time_s: float
    warm_up_s: float | None = None  # that a stationary start took before; its rows have negative instants
    drain_s: float | None = None  # for which traces went on after the deadline; None: they were cancelled
    traces_due: int | None = None  # of an open load, until its end
    waiting_since_s: tuple[float, ...] = ()  # those of them that never began: when they were due, the oldest ones
    began_monotonic_s: float | None = None
    client: ClientHealth | None = None
    engine: EngineGrowth | None = None
    workers: tuple[WorkerEnd, ...] = ()  # where several replayed the run
    coordinator_cpu_s: float | None = None  # of the process beside them; `client` has theirs


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCalibration(_Object):
    """What `trie calibrate` measured: the client's own error at a load, and the most that it can read."""

    concurrency: int
    chunks_s: float  # asked for
    reached_chunks_s: float  # seen while the errors were measured
    requests: int
    ttft_p50_s: float  # first token as read less first chunk as written
    ttft_p99_s: float
    decode_p50: float  # relative error of the time between first and last chunk
    decode_p99: float
    cpu_share: float  # of a core, at this load
    ceiling_chunks_s: float  # read from an endpoint without delays
    ceiling_cpu_share: float
    share_of_ceiling: float  # what the load is of the highest rate


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSettings:
    """Settings of the endpoint that change how numbers are read."""

    name: str = "custom"
    api: str = "completions"
    ignore_eos: bool | None = None
    cache_flag: str | None = None
    bos_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SimSettings:
    """Of the embedded endpoint."""

    profile: str = "default"
    measured_batch: float | None = None  # the largest that the profile was fitted to
    cache_blocks: int | None = None
    block_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of the run that change how numbers are read; `Manifest.config` has all of them."""

    concurrency: ConcurrencyConfig
    duration: float
    stream: bool = True
    history: str = "content"
    num_gpus: int | None = None
    start: str = "together"
    slo: Any = None  # text, or a text for each tier
    gpu_hour_cost: float | None = None
    gpu_watts: float | None = None
    load: LoadConfig = field(default_factory=LoadConfig)
    stop_when: str | None = None
    seed: int | None = None  # None: each run draws its own
    max_failures: int | None = None
    max_failure_rate: float | None = None
    strict: bool = False
    endpoint: EndpointSettings = field(default_factory=EndpointSettings)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    at_deadline: str = "cancel"
    clock: str = "real"
    sim: SimSettings = field(default_factory=SimSettings)

    @property
    def slots(self) -> int:
        """How many traces could be active."""
        return self.load.slots(self.concurrency.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest(_Object):
    """A run's manifest; `config` holds every setting as plain JSON values, `settings` those that numbers rest on."""

    schema_version: int = SCHEMA_VERSION
    trie_version: str = ""
    versions: Mapping[str, str | None] = field(default_factory=dict)
    config: Mapping[str, Any]
    workload: Workload
    prompts: Prompts = field(default_factory=Prompts)
    seed: int
    repository: Repository | None = None
    host: Mapping[str, str | int | None] = field(default_factory=dict)
    server: Server
    started: Started
    end: End | None  # None until it has one: of a run that was killed, for ever
    client_calibration: ClientCalibration | None = None
    clock: str = "real"  # or virtual: no server was measured

    def __repr__(self) -> str:
        return f"Manifest({self.workload.name!r}, model {self.server.model!r}, started {self.started.wall_clock})"

    @property
    def settings(self) -> Settings:
        """The settings that numbers rest on, with defaults for those that an older version did not have."""
        return decode(Settings, self.config)

    def __getitem__(self, key: str) -> Any:
        """A section as plain JSON values."""
        return self.to_json()[key]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, as manifest.json has them."""
        content: dict[str, Any] = encode(self)
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Manifest:
        """The manifest that `to_json` gave, or another version wrote.

        Raises:
            KeyError: for a key without which nothing can be said of a run.
            TypeError: for a value where an object is expected.
        """
        return decode(cls, content)
