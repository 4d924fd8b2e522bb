"""One run, whole."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from enum import Enum

from trie.config.endpoint import EndpointConfig
from trie.config.sim import SimConfig
from trie.config.validation import MAX_SECONDS, require, require_seconds, require_whole
from trie.config.workload import WorkloadConfig

MAX_CONCURRENCY = 1_000_000


@dataclass
class ConcurrencyConfig:
    """How many traces are active at any time, tool waits included."""

    value: int = 8  # traces active at any time; `concurrency=8` sets it

    def __post_init__(self) -> None:
        require_whole("concurrency", self.value, 1, MAX_CONCURRENCY)


MAX_ZIPF = 10.0  # above it all words are the first
MAX_POOL_TOKENS = 1 << 26  # about 400 MB of text


@dataclass
class PromptConfig:
    """What the synthetic prompts are made of."""

    zipf: float = 1.0  # exponent of the word frequencies; 0: all words equally often
    pool_tokens: int = 1 << 18  # size of the pool that prompts are cut from: above it a session repeats itself
    calibrate: bool = True  # prove lengths against the server with two small requests before the run
    trust_remote_code: bool = (
        False  # run the Python code that a tokenizer's repository brings: as dangerous as it sounds
    )

    def __post_init__(self) -> None:
        require(0 <= self.zipf <= MAX_ZIPF, "prompts.zipf", self.zipf, f"from 0 to {MAX_ZIPF:g}")
        require_whole("prompts.pool_tokens", self.pool_tokens, 1024, MAX_POOL_TOKENS)


@dataclass
class LimitsConfig:
    """Above these the verdict is that a run's numbers would mislead."""

    failure_rate: float = 0.05  # share of finished requests that failed
    prompt_drift: float = 0.05  # how far usage may be from the accounted prompt tokens, as a ratio over the run
    completion_drift: float = 0.01  # share of requested completion tokens that did not come
    loop_lag_s: float = 0.020  # p99 of the client's own event-loop lag
    client_cpu: float = 0.85  # share of one core that the client used
    stall_s: float = 1.0  # longest time that the client may have stood still, as a suspended process does

    def __post_init__(self) -> None:
        for key in fields(self):
            value = getattr(self, key.name)
            require(0 <= value < math.inf, f"limits.{key.name}", value, "0 or more")


class ProgressStyle(Enum):
    """How a run shows itself while it goes on: `auto` is `rich` on a terminal and `plain` lines elsewhere."""

    auto = "auto"
    rich = "rich"
    plain = "plain"
    none = "none"


MAX_RETRIES = 1000
MAX_WARM_UP = 100_000

# What goes back to the server as its own earlier answers: what it said, that and its reasoning, or instead of either a
# text of the recorded length.
HISTORIES = ("content", "content+reasoning", "recorded")

NO_ROUTE = "endpoint.reset_route is not set (the route by which the engine empties its prefix cache)"


@dataclass
class RunConfig:
    """One run, whole: what is replayed, against what, how hard and for how long."""

    workload: WorkloadConfig
    endpoint: EndpointConfig = field(default_factory=EndpointConfig)
    concurrency: ConcurrencyConfig = field(default_factory=ConcurrencyConfig)
    model: str | None = None  # null: the only model that the server lists
    # null: the model when it is a hub id or a folder, else the word list; "words": always the word list
    tokenizer_model: str | None = None
    duration: float = 300.0  # seconds in which traces may start; then everything in flight is cancelled
    max_traces: int | None = None  # traces to start at most; the run ends when the last has; null: until the deadline
    stream: bool = True  # needed for TTFT, TTFAT and decode speed
    history: str = "content"  # of a session's answers, sent back: content, content+reasoning, recorded (its length)
    num_gpus: int | None = None  # for throughput per GPU
    seed: int | None = None  # of the prompts; null: a fresh one for each run, recorded
    max_retries: int = 2  # further attempts after a retryable failure
    timeout: float = 600.0  # seconds for one request, all attempts included
    stall_timeout: float | None = None  # seconds between two reads of an answer that has begun; null: only `timeout`
    max_failures: int | None = None  # failed requests at which the run is ended early; null: any number
    # share of ended requests that failed at which the run is ended early, from 100 on (two a slot); 1: none went well
    max_failure_rate: float | None = 1.0
    wait_for_ready: float = 0.0  # seconds to wait at most, before the run, for a server that does not answer yet
    warm_up: int = 0  # requests sent before the clock starts, for caches and kernels; no rows are made of them
    idle_timeout: float = 30.0  # seconds to wait at most, before the run, for an engine that serves other requests
    reset_cache: bool = False  # empty the engine's prefix cache before the run, by endpoint.reset_route
    html: bool = True  # write report.html into the run's directory at its end
    strict: bool = False  # exit with 3 when the verdict is invalid
    repeat: int = 1  # which repeat of a sweep's cell this is; a label that changes nothing in what is measured
    progress: ProgressStyle = ProgressStyle.auto  # rich on a terminal and plain lines elsewhere; rich, plain, none
    prompts: PromptConfig = field(default_factory=PromptConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    sim: SimConfig = field(default_factory=SimConfig)

    def __post_init__(self) -> None:
        require(self.model != "", "model", "(empty)", "a name, or null for the only model that the server lists")
        require(self.tokenizer_model != "", "tokenizer_model", "(empty)", "a hub id, a folder, words, or null")
        require_seconds("duration", self.duration)
        require_seconds("timeout", self.timeout)
        if self.stall_timeout is not None:
            require_seconds("stall_timeout", self.stall_timeout)
        require_whole("max_retries", self.max_retries, 0, MAX_RETRIES)
        require_whole("max_failures", self.max_failures, 1)
        rate = self.max_failure_rate
        require(rate is None or 0 < rate <= 1, "max_failure_rate", rate, "above 0 and at most 1")
        require_whole("num_gpus", self.num_gpus, 1)
        require_whole("seed", self.seed, 0)
        require_whole("repeat", self.repeat, 1)
        require_whole("max_traces", self.max_traces, 1)
        require_whole("warm_up", self.warm_up, 0, MAX_WARM_UP)
        require(self.history in HISTORIES, "history", self.history, f"one of {', '.join(HISTORIES)}")
        for key in ("idle_timeout", "wait_for_ready"):
            require(0 <= getattr(self, key) <= MAX_SECONDS, key, getattr(self, key), "0 or more (seconds)")
        route = self.endpoint.reset_route
        found_later = self.endpoint.name == "custom"  # by asking the server
        require(route is not None or found_later or not self.reset_cache, "reset_cache", "true", f"false: {NO_ROUTE}")


class Order(Enum):
    """In which order a sweep goes through its cells."""

    written = "written"  # as the settings are written, the last one varies fastest; repeats one after another
    interleaved = "interleaved"  # so, all cells once, and then all again for the next repeat
    shuffled = "shuffled"  # cells and repeats at random, the same order for the same order_seed


@dataclass
class CommandConfig(RunConfig):
    """What a command line sets: a run, and how a sweep goes through many of them."""

    repeats: int = 1  # how often each cell of a sweep is measured
    order: Order = Order.interleaved  # of a sweep's cells: written, interleaved repeats, shuffled
    order_seed: int = 0  # of order=shuffled
    pause: float = 0.0  # seconds between two cells of a sweep in which nothing is sent
    rerun: bool = False  # measure the cells of a sweep again that are done; what they hold is kept in them
    plan: bool = False  # show the plan of a sweep and measure nothing

    def __post_init__(self) -> None:
        super().__post_init__()
        require_whole("repeats", self.repeats, 1)
        require_whole("order_seed", self.order_seed, 0)
        require(0 <= self.pause <= MAX_SECONDS, "pause", self.pause, "0 or more (seconds)")

    def run(self) -> RunConfig:
        """The run alone."""
        return RunConfig(**{key.name: getattr(self, key.name) for key in fields(RunConfig)})
