"""The run's metrics that are ratios of sums, as what each row adds above and below the line."""

from __future__ import annotations

import numpy as np

from trie.metrics.columns import Bools, Columns, Floats
from trie.metrics.traces import ceiling_tokens, eligible_tokens

BLOCK_TOKENS = 128  # the largest block that engines cache by: what a cache may miss at the end of a prefix

Parts = tuple[Floats, Floats]


def shares(columns: Columns) -> dict[str, Parts]:
    """By key of summary.json; a row that has no part in a ratio adds 0 to both of its sums."""
    ok = columns.outcome("ok")
    prompt, completion = columns["usage_prompt_tokens"], columns["usage_completion_tokens"]
    requested, cached = columns["requested_completion_tokens"], columns.cached_tokens
    accounted = columns["new_prompt_tokens"] + columns["cached_prompt_tokens"]
    known = ok & ~np.isnan(cached) & ~np.isnan(prompt)
    eligible = eligible_tokens(columns)
    ceiling = ceiling_tokens(columns)
    answers = np.r_[0.0, columns.completion_tokens[:-1]] if len(columns) else columns.completion_tokens
    lost = np.maximum(ceiling - cached - answers - BLOCK_TOKENS, 0.0)  # answers may come back as other tokens
    short, hit = np.maximum(requested - completion, 0.0), (cached > 0).astype(np.float64)
    return {
        "drift.prompt_ratio": _parts(prompt - accounted, accounted, ok & ~np.isnan(prompt)),
        "drift.completion_short_ratio": _parts(short, requested, ok & ~np.isnan(completion)),
        "cache.hit_rate_pct": _parts(100.0 * cached, prompt, known),
        "cache.lost_pct": _parts(100.0 * lost, eligible, known & ~np.isnan(eligible)),
        "cache.eligible_ceiling_pct": _parts(100.0 * ceiling, eligible, known & ~np.isnan(eligible)),
        "cache.turn0_hit_share": _parts(hit, np.ones(len(columns)), known & (columns["turn"] == 0)),
    }


def _parts(above: Floats, below: Floats, mask: Bools) -> Parts:
    return np.where(mask, above, 0.0), np.where(mask, below, 0.0)


def ratio(parts: Parts) -> float | None:
    """The metric itself; None where there is nothing below the line."""
    above, below = (float(part.sum()) for part in parts)
    return above / below if below > 0 else None
