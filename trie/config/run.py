"""One run, whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from trie.config import stop_when
from trie.config.client import ClientConfig, ConcurrencyConfig
from trie.config.cluster import ClusterConfig, Placement
from trie.config.endpoint import Api, EndpointConfig
from trie.config.limits import LimitsConfig
from trie.config.load import LoadConfig
from trie.config.prompts import PromptConfig
from trie.config.setting import SECONDS, check, require, setting
from trie.config.sim import SimConfig
from trie.config.workload import WorkloadConfig

MAX_RETRIES = 1000
MAX_WARM_UP = 100_000

# What goes back to the server as its own earlier answers: its answer, its answer and reasoning, or instead of either a
# text of the recorded length.
HISTORIES = ("content", "content+reasoning", "recorded")

NO_ROUTE = "endpoint.reset_route is not set (the route by which the engine empties its prefix cache)"

ONE_WORKER, AUTO_WORKERS = "1", "auto"
MAX_WORKERS = 4096

NO_GPUS = "null, or num_gpus must be set: a cost is that of so many GPUs"


class ProgressStyle(Enum):
    """How a run shows its progress: `auto` is `rich` on a terminal and `plain` lines elsewhere."""

    auto = "auto"
    rich = "rich"
    plain = "plain"
    none = "none"


class Clock(Enum):
    """What time a run is made in."""

    real = "real"
    virtual = "virtual"  # the embedded endpoint's model alone, without waiting: no server is measured


class Start(Enum):
    """How the first traces begin."""

    together = "together"  # all at once, at their first turns, as the methodology has it
    spread = "spread"  # in steps, the next one when the requests of the last have their first token
    stationary = "stationary"  # each inside its trace, as in a loop that has gone on for long
    inside = "inside"  # the first traces of the workload, each from a point between start_from and start_to on


@dataclass
class RunConfig:
    """One run, whole: what is replayed, against what, how hard and for how long."""

    workload: WorkloadConfig
    endpoint: EndpointConfig = field(default_factory=EndpointConfig)
    concurrency: ConcurrencyConfig = field(default_factory=ConcurrencyConfig)
    load: LoadConfig = field(default_factory=LoadConfig)
    model: str | None = setting(
        None,
        "model name that is sent; null: the only model that the server lists",
        text="a name, or null for the only model that the server lists",
    )
    tokenizer_model: str | None = setting(
        None,
        "hub id or folder of the tokenizer that makes the prompts; words: the word list; null: the model where that is "
        "a hub id or a folder, else the word list",
        text="a hub id, a folder, words, or null",
    )
    duration: float = setting(
        300.0, "time in which traces may start; then everything in flight is cancelled", above=0, unit=SECONDS
    )
    clock: Clock = setting(
        Clock.real,
        "real, or virtual: the run is simulated with the embedded endpoint's model, and no server is measured",
    )
    max_traces: int | None = setting(
        None, "traces to start at most; the run ends with the last of them; null: it ends at its deadline", minimum=1
    )
    stop_when: str | None = setting(
        None,
        "end the run before its duration, once metrics are known this well: completion_tok_s within 2%; several joined "
        "by and; slo: once it is sure whether the objectives are met; null: it ends at its deadline",
        text="METRIC within N%, several joined by and, slo, or null",
    )
    start: Start = setting(
        Start.together,
        "how the first traces begin: all at once; in steps; or each inside its trace, after a warm-up outside all "
        "metrics, as in a loop that has gone on for long or between two shares of its time",
    )
    start_from: float = setting(
        0.25, "start=inside: share of a trace's time from which on it begins at random", minimum=0, maximum=1
    )
    start_to: float = setting(0.75, "start=inside: share of a trace's time until which it begins", minimum=0, maximum=1)
    warm_up_per_slot: int = setting(
        0,
        "start=stationary or inside: requests that each slot makes in the warm-up beyond its first one",
        minimum=0,
        maximum=MAX_WARM_UP,
    )
    at_deadline: str = setting(
        "cancel",
        "what becomes of traces that are active at the end of `duration`: they are cancelled, or go on to their ends "
        "while no others begin",
        choices=("cancel", "drain"),
    )
    drain_timeout: float = setting(
        600.0, "longest time that at_deadline=drain takes; then what is left is cancelled", above=0, unit=SECONDS
    )
    stream: bool = setting(True, "stream answers; TTFT, TTFAT and decode speed need it")
    history: str = setting(
        "content",
        "what a session sends back as the server's earlier answers: their content, content and reasoning, or a text of "
        "the recorded length",
        choices=HISTORIES,
    )
    num_gpus: int | None = setting(None, "number of GPUs, for throughput per GPU", minimum=1)
    slo: Any = setting(
        None,
        "service level objectives, judged after the run: ttft_s<2@p95, failed<1%; slo.NAME=... for several tiers",
        text="limits such as ttft_s<2@p95, failed<1%, a text for each tier, or null",
        measured=False,
    )
    gpu_hour_cost: float | None = setting(
        None, "cost of one GPU for an hour, in any currency, for cost per token and trace", above=0, measured=False
    )
    gpu_watts: float | None = setting(
        None, "power of one GPU while it serves, for energy per token", above=0, unit="watts", measured=False
    )
    seed: int | None = setting(None, "seed of the prompts; null: each run draws its own and records it", minimum=0)
    max_retries: int = setting(
        2, "further attempts after a failure that may be retried", minimum=0, maximum=MAX_RETRIES
    )
    timeout: float = setting(600.0, "time for one request, all attempts included", above=0, unit=SECONDS)
    stall_timeout: float | None = setting(
        None, "time between two reads of an answer that has begun; null: only `timeout` holds", above=0, unit=SECONDS
    )
    max_failures: int | None = setting(
        None, "number of failed requests at which the run is ended early; null: no limit", minimum=1
    )
    max_failure_rate: float | None = setting(
        1.0,
        "share of failed requests at which the run is ended early, judged from 100 ended requests on (two a slot); "
        "1: only when none ended well; null: no limit",
        above=0,
        maximum=1,
    )
    wait_for_ready: float = setting(
        0.0, "longest wait, before the run, for a server that does not answer yet", minimum=0, unit=SECONDS
    )
    warm_up: int = setting(
        0,
        "requests sent before the clock starts, for caches and kernels; they leave no rows",
        minimum=0,
        maximum=MAX_WARM_UP,
    )
    idle_timeout: float = setting(
        30.0, "longest wait, before the run, for an engine that serves other requests", minimum=0, unit=SECONDS
    )
    reset_cache: bool = setting(False, "empty the engine's prefix cache before the run, by endpoint.reset_route")
    html: bool = setting(True, "write report.html into the run's directory at the end", measured=False)
    live: float | None = setting(
        None,
        "time between two versions of report.html while the run goes on; null: 30 in a run over 5 minutes; 0: none",
        minimum=0,
        unit=SECONDS,
        measured=False,
    )
    strict: bool = setting(False, "exit with 3 when the verdict is invalid", measured=False)
    repeat: int = setting(1, "label: which repeat of a sweep's cell this run is", minimum=1, measured=False)
    progress: ProgressStyle = setting(
        ProgressStyle.auto, "how progress is shown; auto: rich on a terminal, plain lines elsewhere", measured=False
    )
    workers: str = setting(
        ONE_WORKER,
        "number of processes that replay the run together, from 1 to 4096, each with its share of the traces; auto: "
        "one for each core that is left beside an embedded endpoint",
        text="a number of processes, or auto",
    )
    client: ClientConfig = field(default_factory=ClientConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    prompts: PromptConfig = field(default_factory=PromptConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    sim: SimConfig = field(default_factory=SimConfig)

    def __post_init__(self) -> None:
        check(self)
        if self.stop_when is not None:
            targets = stop_when.targets(self.stop_when)
            require(
                bool(targets) or self.slo is not None, "stop_when", self.stop_when, "set with slo=..., to be judged"
            )
        self._check_workers()
        if self.clock is Clock.virtual:
            self._check_virtual()
        for key in ("gpu_hour_cost", "gpu_watts"):
            require(getattr(self, key) is None or self.num_gpus is not None, key, getattr(self, key), NO_GPUS)
        together = self.start is Start.together or self.load.shape == "closed"
        require(together, "start", self.start.name, f"together with load={self.load.shape}")
        ordered = self.start_from <= self.start_to
        require(ordered, "start_from", self.start_from, f"at most start_to={self.start_to:g}")
        route = self.endpoint.reset_route
        asked_later = self.endpoint.name == "custom"  # the server is asked for its dialect, which may have the route
        require(route is not None or asked_later or not self.reset_cache, "reset_cache", "true", f"false: {NO_ROUTE}")

    @property
    def warms_up(self) -> bool:
        """Whether slots begin inside traces, and a warm-up comes before the run."""
        return self.start in (Start.stationary, Start.inside)

    @property
    def slots(self) -> int:
        """How many traces can be active."""
        return self.load.slots(self.concurrency.value)

    def _check_workers(self) -> None:
        self.workers = str(self.workers)  # people type workers=4
        if self.workers == AUTO_WORKERS:
            return
        number = int(self.workers) if self.workers.isdecimal() else 0
        require(1 <= number <= MAX_WORKERS, "workers", self.workers, f"a number from 1 to {MAX_WORKERS}, or auto")
        cut = number > 1 and self.load.idle_gap_cap_s is not None
        require(
            not cut, "workers", self.workers, "1 with load.idle_gap_cap_s, which cuts the waits of all traces at once"
        )

    def _check_virtual(self) -> None:
        """Refuse what has no answer in virtual time."""
        where, api, counts = self.endpoint.base_url, self.endpoint.api, self.sim.tokenizer
        require(where is None, "clock", "virtual", "real with endpoint=URL: virtual time knows its own model alone")
        completions = api is Api.completions
        require(completions, "clock", "virtual", "real with endpoint.api=chat: virtual time knows no chat template")
        require(counts is None, "clock", "virtual", "real with sim.tokenizer: virtual time has no texts")
        one = self.workers in (ONE_WORKER, AUTO_WORKERS)
        require(one, "workers", self.workers, "1 with clock=virtual, which has no processes")
        here = self.cluster.placement is Placement.none
        require(here, "clock", "virtual", "real with cluster=ray: virtual time is made in one process")
