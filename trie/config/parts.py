"""The smaller groups of a run: how many traces at a time, what prompts are made of, when a verdict is against it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from trie.config.rules import require, require_whole

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
