"""Every setting of a run: the schema of the configuration files and the library's own type, in one.

The dataclasses hold types, defaults and rules and know nothing of Hydra; `trie.cli` turns files and overrides into
a `RunConfig`, a library user builds one directly.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any

import orjson

from trie.errors import ConfigError


def require(ok: bool, key: str, found: object, allowed: str) -> None:
    """Refuse a value in the one form that every settings error has.

    Raises:
        ConfigError: when `ok` is false.
    """
    if not ok:
        raise ConfigError(f"{key}={found}: must be {allowed}")


MAX_SECONDS = 1e8  # three years: above it a time is a mistake
MAX_WHOLE = 1 << 53  # the same for counts and seeds
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110's token
URL = re.compile(r"https?://(\[[0-9A-Fa-f:.%]+\]|[^\s/?#@:\[\]]+)(:(\d{1,5}))?(/[^\s?#]*)?", re.IGNORECASE)


def require_seconds(key: str, found: float) -> None:
    """Refuse what is no positive time; NaN and infinity are none.

    Raises:
        ConfigError: naming the key.
    """
    allowed = f"at most {MAX_SECONDS:.0f} (seconds)" if found > MAX_SECONDS else "above 0 (seconds)"
    require(0 < found <= MAX_SECONDS, key, found, allowed)


def require_whole(key: str, found: int | None, least: int, most: int = MAX_WHOLE) -> None:
    """Refuse a count or a seed out of its range; None is one that was not given.

    Raises:
        ConfigError: naming the key.
    """
    allowed = f"{least} or more" if most == MAX_WHOLE and (found or 0) < least else f"from {least} to {most}"
    require(found is None or least <= found <= most, key, found, allowed)


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


MAX_ROWS = 10_000_000  # traces of a stand-in


@dataclass
class WorkloadConfig:
    """Where traces come from; exactly one of path, hub_file, bundled and synthetic is set."""

    name: str = "workload"  # as reports and directories call it
    path: str | None = None  # a JSONL file, relative to where the user stands
    hub_repo: str = "lightseekorg/trie-dataset"  # dataset repository of hub_file
    hub_file: str | None = None  # file name in hub_repo, kept under the same name in the cache folder
    hub_sha256: str | None = (
        None  # of hub_file's bytes: another download is refused, another file warned of; null: not known
    )
    bundled: str | None = None  # a file inside the package
    synthetic: str | None = None  # name of a stand-in's distributions: agentic, qa, office
    rows: int = 8192  # traces drawn for a stand-in
    seed: int = 0  # of a stand-in's draws: the same seed is the same workload
    skip_too_long: bool = False  # leave out traces that the model's context can't hold, and count them; false: refuse
    min_context_tokens: int | None = None  # keep traces whose final request needs a window of at least so many tokens
    max_context_tokens: int | None = None  # and of at most so many: the window of a small server
    sha256: str | None = None  # refuse traces that are others than these (manifest.json has it); null: any

    def __post_init__(self) -> None:
        sources = [key for key in ("path", "hub_file", "bundled", "synthetic") if getattr(self, key) is not None]
        require(len(sources) == 1, "workload", sources or "nothing", "one of path, hub_file, bundled, synthetic")
        require_whole("workload.rows", self.rows, 1, MAX_ROWS)
        require_whole("workload.seed", self.seed, 0)
        require_whole("workload.min_context_tokens", self.min_context_tokens, 1)
        require_whole("workload.max_context_tokens", self.max_context_tokens, 1)


# Gauges of requests that run and that wait, by the names that engines give them; no two engines share one.
LOAD_KEYS = (
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "sglang:num_running_reqs",
    "sglang:num_queue_reqs",
    "llamacpp:requests_processing",
    "llamacpp:requests_deferred",
    "trie_sim:num_requests_running",
    "trie_sim:num_requests_waiting",
)


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
    headers: dict[str, str] = field(default_factory=dict, repr=False)  # sent with every request
    extra_body: dict[str, Any] = field(default_factory=dict)  # merged into every request body
    bos_tokens: int | None = None  # tokens the server adds before the first prompt; null: found by calibration
    connect_timeout: float = 30.0  # seconds to open a connection
    load_route: str = "/metrics"  # beside /v1: tells, in Prometheus' format or JSON, how many requests are in flight
    # there, by name, summed, labels and all: vLLM's, SGLang's, llama.cpp's and our own; []: the load is not asked for
    load_keys: list[str] = field(default_factory=lambda: [*LOAD_KEYS])
    reset_route: str | None = None  # beside /v1: a POST empties the prefix cache; null: the engine has no such route

    def __post_init__(self) -> None:
        if self.base_url is not None:
            self.base_url = _url(self.base_url)
        require_whole("endpoint.bos_tokens", self.bos_tokens, 0)
        require_seconds("endpoint.connect_timeout", self.connect_timeout)
        require(bool(self.max_tokens_field), "endpoint.max_tokens_field", "(empty)", "the name of a field")
        names = [*self.headers, *([] if self.session_header is None else [self.session_header])]
        for name in names:
            require(HEADER_NAME.fullmatch(name) is not None, "endpoint: header", ascii(name), "a header's name")
        for key in ("load_route", "reset_route"):
            route = getattr(self, key)
            require(route is None or route.startswith("/"), f"endpoint.{key}", route, "a path that begins with /")
        self._refuse_own_fields()

    def _refuse_own_fields(self) -> None:
        """Fields that each request has of its own would stand in its body twice.

        Raises:
            ConfigError: naming the field.
        """
        own = {"model", "stream", "prompt", "messages", self.max_tokens_field}
        for name in sorted(own & self.extra_body.keys()):
            require(False, f"endpoint.extra_body.{name}", "(set)", "left to trie, which sets it itself")
        try:
            orjson.dumps(self.extra_body)
        except TypeError as error:
            raise ConfigError(f"endpoint.extra_body: holds what JSON can't ({error})") from None


def _url(url: str) -> str:
    """A base URL without the slash at its end.

    Raises:
        ConfigError: for what is none; a password in it is not repeated.
    """
    host = url.partition("://")[2].partition("/")[0]
    require("@" not in host, "endpoint.base_url", "(hidden)", "without user and password")
    found = URL.fullmatch(url)
    web = url.lower().startswith(("http://", "https://"))
    allowed = "an http(s) URL" + (" up to and including /v1, without ? and #" if web else "")
    require(found is not None, "endpoint.base_url", url, allowed)
    port = found[3] if found is not None else None
    require(port is None or 0 < int(port) < 1 << 16, "endpoint.base_url", url, "with a port from 1 to 65535")
    return url.rstrip("/")


MAX_CONCURRENCY = 1_000_000


@dataclass
class ConcurrencyConfig:
    """How many traces are active at any time, tool waits included."""

    value: int = 8  # traces active at any time; `concurrency=8` sets it

    def __post_init__(self) -> None:
        require_whole("concurrency", self.value, 1, MAX_CONCURRENCY)


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
        require(0 < self.prefill_tok_s < math.inf, "sim.prefill_tok_s", self.prefill_tok_s, "above 0")
        for key in ("max_running", "block_tokens", "max_model_len", "tokens_per_chunk"):
            require(0 < getattr(self, key) <= MAX_WHOLE, f"sim.{key}", getattr(self, key), "above 0")
        require_whole("sim.cache_blocks", self.cache_blocks, 0)
        for key in ("decode_base_s", "decode_per_request_s", "request_overhead_s"):
            value = getattr(self, key)
            require(0 <= value <= MAX_SECONDS, f"sim.{key}", value, "0 or more (seconds)")
        require(0 <= self.fault_rate <= 1, "sim.fault_rate", self.fault_rate, "between 0 and 1")
        require(set(self.faults) <= set(FAULTS), "sim.faults", self.faults, f"a list of {', '.join(FAULTS)}")


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


MAX_RETRIES = 1000


NO_ROUTE = "endpoint.reset_route is not set (/flush_cache on SGLang, /reset_prefix_cache on vLLM)"


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
    stall_timeout: float | None = None  # seconds between two reads of an answer that has begun; null: only `timeout`
    max_failures: int | None = None  # failed requests at which the run is ended early; null: any number
    # share of ended requests that failed at which the run is ended early, from 100 on (two a slot); 1: none went well
    max_failure_rate: float | None = 1.0
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
        require(0 <= self.idle_timeout <= MAX_SECONDS, "idle_timeout", self.idle_timeout, "0 or more (seconds)")
        route = self.endpoint.reset_route
        require(route is not None or not self.reset_cache, "reset_cache", "true", f"false: {NO_ROUTE}")


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
