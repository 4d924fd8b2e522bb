"""A cache that is at its limit: it loses little, and would lose nearly all in another state of the same server.

Where the active traces hold more than the cache has room for, a server may serve them well all the same: what it evicts
belongs to the traces that wait longest. Once it falls behind, each request computes its whole context anew, traces wait
for one another, and all of them come back too late. Both states last for hours under one and the same load. A run that
met one of them says nothing of the other, nor of how often they change.
"""

from __future__ import annotations

import numpy as np

from trie.metrics.columns import Columns, Floats
from trie.metrics.kv_demand import held_kv

LOST = 0.05  # of what the cache could have served, above which it is one that loses
AT_LIMIT = (
    "the active traces hold {:,.0f} tokens of KV on average, and the cache has room for {:,}: such a server can "
    "compute most contexts anew for hours, of which this run says nothing"
)


def lost_share(columns: Columns) -> float | None:
    """Of the tokens that earlier requests of their traces left to the cache, those that it no longer had."""
    cached, whole = columns.summed(_cached_and_before)
    return 1.0 - float(cached) / float(whole) if whole > 0 else None


def _cached_and_before(columns: Columns) -> Floats:
    cached, before = columns.cached_tokens, columns["cached_prompt_tokens"]
    counted = columns.outcome("ok") & np.isfinite(cached) & (before > 0)
    return np.array([cached[counted].sum(), before[counted].sum()])


def at_limit(columns: Columns, capacity: int | None, window: tuple[float, float]) -> str | None:
    """Why the run says nothing of the server's other state; None where there is none, or where it is not known."""
    if capacity is None or (lost_share(columns) or 0.0) > LOST:
        return None
    held = held_kv(columns, *window)
    return AT_LIMIT.format(held.mean, capacity) if held.mean > capacity else None
