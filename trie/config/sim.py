"""The embedded endpoint's settings."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from trie.config.validation import MAX_SECONDS, MAX_WHOLE, require, require_whole

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
