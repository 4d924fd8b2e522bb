"""The embedded endpoint's settings."""

from __future__ import annotations

from dataclasses import dataclass

from trie.config.setting import SECONDS, check, require, setting

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


UNSEEN_BLOCKS = 1 << 22  # of the cache of a fitted profile where nothing was seen to be evicted
SCHEDULERS = ("separate", "chunked")


@dataclass
class SimConfig:
    """The embedded endpoint's model of a server; docs/simulator.md explains each number."""

    profile: str = setting("default", "its name in reports; `profile=fast` chooses a file of settings")
    model: str = setting("sim", "the model name that it serves")
    scheduler: str = setting(
        "separate", "prefill beside decode, or in chunks within the same steps", choices=SCHEDULERS
    )
    prefill_tok_s: float = setting(
        50_000.0, "uncached prompt tokens that it computes per second, one prompt at a time", above=0
    )
    decode_base_s: float = setting(0.008, "time of a decode step that serves one request", minimum=0, unit=SECONDS)
    decode_per_request_s: float = setting(
        0.0002, "time that each further request in the batch adds to the step", minimum=0, unit=SECONDS
    )
    decode_per_context_token_s: float = setting(
        0.0, "chunked: time that each token of context of the batch adds to the step", minimum=0, unit=SECONDS
    )
    step_tokens: int = setting(8192, "chunked: tokens of a step, of decode and of prompts together", above=0)
    request_overhead_s: float = setting(
        0.002, "time from a request's arrival to its place in the queue", minimum=0, unit=SECONDS
    )
    max_running: int = setting(64, "slots of the continuous batch; more requests wait", above=0)
    cache_blocks: int = setting(65_536, "capacity of the prefix cache in blocks; 0: no cache", minimum=0)
    block_tokens: int = setting(16, "tokens in a block", above=0)
    max_model_len: int = setting(
        262_144, "longest prompt and completion together, as /v1/models states it", above=0, unit="tokens"
    )
    tokens_per_chunk: int = setting(
        1, "tokens that a decode step produces: more than 1 acts as speculative decoding does", above=0
    )
    measured_batch: float | None = setting(
        None,
        "largest batch in the runs that the profile was fitted to, beyond which a forecast is an extrapolation; null: "
        "not fitted",
        minimum=1,
        measured=False,
    )
    report_usage: bool = setting(True, "answer stream_options.include_usage")
    report_cached_tokens: bool = setting(True, "fill usage.prompt_tokens_details.cached_tokens")
    tokenizer: str | None = setting(None, "folder with the tokenizer.json that counts tokens; null: words are counted")
    add_bos: bool = setting(False, "count one more token in front of each text prompt")
    fault_rate: float = setting(
        0.0, "share of requests that fail, each with one of `faults` in turn", minimum=0, maximum=1
    )
    faults: list[str] = setting([], "kinds of failure, in the order in which they come", choices=FAULTS)
    seed: int = setting(0, "seed by which the requests that fail are chosen")
    log: str | None = setting(
        None,
        "CSV file to write: for each streamed answer its X-Request-Id, instants on this host's clock, and chunks",
    )

    def __post_init__(self) -> None:
        check(self, "sim.")
        if self.scheduler == "chunked":
            self._check_chunked()

    def _check_chunked(self) -> None:
        """A step must have room for prompts beside a full batch, and memory for the longest request."""
        decode, memory = self.max_running * self.tokens_per_chunk, self.cache_blocks * self.block_tokens
        require(self.step_tokens > decode, "sim.step_tokens", self.step_tokens, f"above {decode}, for a full batch")
        longest = self.max_model_len + self.tokens_per_chunk - 1
        least = f"{-(-longest // self.block_tokens)} or more, for sim.max_model_len"
        require(memory >= longest, "sim.cache_blocks", self.cache_blocks, least)
