"""Which requests of the embedded endpoint go wrong, and how."""

from __future__ import annotations

import random

from trie.config import SimConfig

STALL_S = 1.0  # pause of the fault `stall`
REFUSED = {"http_429": 429, "http_500": 500, "http_503": 503}  # faults that are an error status
NATURAL_TOKENS = 1024  # an answer that may end by itself does so within these


class Faults:
    """Which requests fail and how: by the seed and the order of requests alone."""

    def __init__(self, config: SimConfig) -> None:
        self._config = config
        self._random = random.Random(config.seed)
        self._count = 0

    def next(self) -> str | None:
        """The fault of the next request, or None."""
        config = self._config
        if not config.faults or self._random.random() >= config.fault_rate:
            return None
        self._count += 1
        return config.faults[(self._count - 1) % len(config.faults)]
