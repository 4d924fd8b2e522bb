"""The embedded endpoint as tests start it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from trie.config import SimConfig

# An endpoint that answers at once.
QUICK: dict[str, float] = {
    "prefill_tok_s": 1e9,
    "decode_base_s": 0.001,
    "decode_per_request_s": 0.0,
    "request_overhead_s": 0.0,
}
Serve = Callable[[SimConfig], AbstractAsyncContextManager[str]]
