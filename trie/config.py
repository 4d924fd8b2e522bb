"""Every setting of a run: the schema of the configuration files and the library's own type, in one.

The dataclasses hold types, defaults and rules and know nothing of Hydra; `trie.cli` turns files and overrides into
a `RunConfig`, a library user builds one directly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from trie.errors import ConfigError


def require(ok: bool, key: str, found: object, allowed: str) -> None:
    """Refuse a value in the one form that every settings error has.

    Raises:
        ConfigError: when `ok` is false.
    """
    if not ok:
        raise ConfigError(f"{key}={found}: must be {allowed}")


class Api(Enum):
    """Which of the two OpenAI routes a request takes."""

    completions = "completions"
    chat = "chat"


class ProgressStyle(Enum):
    """How a run shows itself while it goes on: `auto` is `rich` on a terminal and `plain` lines elsewhere."""

    auto = "auto"
    rich = "rich"
    plain = "plain"
    none = "none"


@dataclass
class WorkloadConfig:
    """Where traces come from; exactly one of path, hub_file, bundled and synthetic is set."""

    name: str = "workload"  # as reports and directories call it
    path: str | None = None  # a JSONL file, relative to where the user stands
    hub_repo: str = "lightseekorg/trie-dataset"  # dataset repository of hub_file
    hub_file: str | None = None  # file name in hub_repo, kept under the same name in the cache folder
    bundled: str | None = None  # a file inside the package
    synthetic: str | None = None  # name of a stand-in's distributions: agentic, qa, office
    rows: int = 8192  # traces drawn for a stand-in
    seed: int = 0  # of a stand-in's draws: the same seed is the same workload

    def __post_init__(self) -> None:
        sources = [key for key in ("path", "hub_file", "bundled", "synthetic") if getattr(self, key) is not None]
        require(len(sources) == 1, "workload", sources or "nothing", "one of path, hub_file, bundled, synthetic")
        require(self.rows > 0, "workload.rows", self.rows, "1 or more")


@dataclass
class EndpointConfig:
    """How to speak to the server; without a base_url the embedded endpoint is started for the run."""

    name: str = "custom"  # of the dialect
    base_url: str | None = None  # up to and including /v1; null: the embedded endpoint
    api: Api = Api.completions  # completions or chat
    api_key_env: str = "OPENAI_API_KEY"  # environment variable that holds the key; the key itself is no setting
    ignore_eos: bool | None = True  # sent as given; null: the field is left out
    max_tokens_field: str = "max_tokens"  # max_completion_tokens for some clouds
    include_usage: bool = True  # ask for usage in streams (stream_options.include_usage)
    session_header: str | None = None  # header that carries a trace's own id, such as X-SMG-Routing-Key
    headers: dict[str, str] = field(default_factory=dict)  # sent with every request
    extra_body: dict[str, Any] = field(default_factory=dict)  # merged into every request body
    bos_tokens: int | None = None  # tokens the server adds before the first prompt; null: found by calibration
    connect_timeout: float = 30.0  # seconds to open a connection

    def __post_init__(self) -> None:
        url = self.base_url
        require(url is None or url.startswith(("http://", "https://")), "endpoint.base_url", url, "an http(s) URL")
        if url is not None:
            require("@" not in url.split("/")[2], "endpoint.base_url", "(hidden)", "without user and password")
            self.base_url = url.rstrip("/")
        require(self.bos_tokens is None or self.bos_tokens >= 0, "endpoint.bos_tokens", self.bos_tokens, "0 or more")
        require(self.connect_timeout > 0, "endpoint.connect_timeout", self.connect_timeout, "above 0 (seconds)")


@dataclass
class ConcurrencyConfig:
    """How many traces are active at any time, tool waits included."""

    value: int = 8  # traces active at any time; `concurrency=8` sets it

    def __post_init__(self) -> None:
        require(self.value >= 1, "concurrency", self.value, "1 or more")


FAULTS = (
    "http_429",
    "http_500",
    "http_503",
    "disconnect",  # before any header
    "reset",  # the connection breaks after a token
    "error_event",  # HTTP 200, then {"error": ...} in the stream
    "truncated",  # ends in order, but without finish_reason, usage and [DONE]
    "empty",  # ends in order with no token
    "stall",  # a pause of STALL_S in mid-stream
    "no_usage",
)


@dataclass
class SimConfig:
    """The embedded endpoint's model of a server; docs/simulator.md says what each number does."""

    profile: str = "default"  # as reports call it; `profile=fast` chooses a file of settings
    model: str = "sim"  # the name it serves
    prefill_tok_s: float = 50_000.0  # uncached prompt tokens per second, one prompt at a time
    decode_base_s: float = 0.008  # time of a decode step that serves one request
    decode_per_request_s: float = 0.0002  # added to the step by each further request in the batch
    request_overhead_s: float = 0.002  # from a request's arrival to its place in the queue
    max_running: int = 64  # slots of the continuous batch; more requests wait
    cache_blocks: int = 65_536  # capacity of the prefix cache in blocks; 0: no cache
    block_tokens: int = 16  # tokens in a block
    max_model_len: int = 262_144  # prompt and completion together, as /v1/models states
    tokens_per_chunk: int = 1  # of a decode step: more than 1 acts as speculative decoding does
    report_usage: bool = True  # answer stream_options.include_usage
    report_cached_tokens: bool = True  # fill usage.prompt_tokens_details.cached_tokens
    tokenizer: str | None = None  # folder with a tokenizer.json that counts tokens; null: words
    add_bos: bool = False  # count one more token in front of each text prompt
    fault_rate: float = 0.0  # share of requests that fail, each with one of `faults` in turn
    faults: list[str] = field(default_factory=list)  # of FAULTS, in this order
    seed: int = 0  # of the faults' choice
    log: str | None = (
        None  # a CSV file: for each streamed answer its X-Request-Id, instants on this host's clock, chunks
    )

    def __post_init__(self) -> None:
        for key in ("prefill_tok_s", "max_running", "block_tokens", "max_model_len", "tokens_per_chunk"):
            require(getattr(self, key) > 0, f"sim.{key}", getattr(self, key), "above 0")
        for key in ("decode_base_s", "decode_per_request_s", "request_overhead_s", "cache_blocks"):
            require(getattr(self, key) >= 0, f"sim.{key}", getattr(self, key), "0 or more")
        require(0 <= self.fault_rate <= 1, "sim.fault_rate", self.fault_rate, "between 0 and 1")
        require(set(self.faults) <= set(FAULTS), "sim.faults", self.faults, f"a list of {', '.join(FAULTS)}")


@dataclass
class PromptConfig:
    """What the synthetic prompts are made of."""

    zipf: float = 1.0  # exponent of the word frequencies; 0: all words equally often
    pool_tokens: int = 1 << 18  # size of the pool that prompts are cut from: above it a session repeats itself
    calibrate: bool = True  # prove lengths against the server with two small requests before the run

    def __post_init__(self) -> None:
        require(self.zipf >= 0, "prompts.zipf", self.zipf, "0 or more")
        require(self.pool_tokens >= 1024, "prompts.pool_tokens", self.pool_tokens, "1024 or more")


@dataclass
class LimitsConfig:
    """Above these the verdict is that a run's numbers would mislead."""

    failure_rate: float = 0.05  # share of finished requests that failed
    prompt_drift: float = 0.05  # how far usage may be from the accounted prompt tokens, as a ratio over the run
    completion_drift: float = 0.01  # share of requested completion tokens that did not come
    loop_lag_s: float = 0.020  # p99 of the client's own event-loop lag
    client_cpu: float = 0.85  # share of one core that the client used


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
    stream: bool = True  # needed for TTFT, TTFAT and decode speed
    num_gpus: int | None = None  # for throughput per GPU
    seed: int | None = None  # of the prompts; null: a fresh one for each run, recorded
    max_retries: int = 2  # further attempts after a retryable failure
    timeout: float = 600.0  # seconds for one request, all attempts included
    html: bool = True  # write report.html into the run's directory at its end
    strict: bool = False  # exit with 3 when the verdict is invalid
    progress: ProgressStyle = ProgressStyle.auto  # rich on a terminal and plain lines elsewhere; rich, plain, none
    prompts: PromptConfig = field(default_factory=PromptConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    sim: SimConfig = field(default_factory=SimConfig)

    def __post_init__(self) -> None:
        require(0 < self.duration < math.inf, "duration", self.duration, "above 0 (seconds)")
        require(0 < self.timeout < math.inf, "timeout", self.timeout, "above 0 (seconds)")
        require(self.max_retries >= 0, "max_retries", self.max_retries, "0 or more")
        require(self.num_gpus is None or self.num_gpus > 0, "num_gpus", self.num_gpus, "1 or more")
