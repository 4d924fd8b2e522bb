"""Usage objects as servers write them, pure: a figure by any of its names, and none for what is no count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MAX_COUNT = 1 << 53  # a figure above this is no count of tokens
PROMPT = ("prompt_tokens", "input_tokens")
COMPLETION = ("completion_tokens", "output_tokens")
CACHED = ("cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens")


def count(usage: object, names: Sequence[str], default: int | None = None) -> int | None:
    """The first of these figures that is a count; else the default."""
    if isinstance(usage, dict):
        for name in names:
            if (found := _whole(usage.get(name))) is not None:
                return found
    return default


def cached(usage: Mapping[str, Any], at: Sequence[str], default: int | None) -> int | None:
    """The cached tokens: where the names `at` lead, else wherever servers are known to put them."""
    value: object = usage if at else None
    for name in at:
        value = value.get(name) if isinstance(value, dict) else None
    if (found := _whole(value)) is not None:
        return found
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    return count(usage, CACHED, count(details, CACHED[:1], default))


def _whole(value: object) -> int | None:
    ok = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_COUNT
    return value if ok else None  # type: ignore[return-value]
