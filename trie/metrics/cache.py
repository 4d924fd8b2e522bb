"""The run's metrics that are ratios of sums, as what each row adds above and below the line."""

from __future__ import annotations

import numpy as np

from trie.metrics.columns import Bools, Columns, Floats
from trie.metrics.sections import Workers
from trie.metrics.traces import ceiling_tokens, eligible_tokens

BLOCK_TOKENS = 128  # the largest block that engines cache by: what a cache may miss at the end of a prefix

Parts = tuple[Floats, Floats]


def shares(columns: Columns) -> dict[str, Parts]:
    """By key of summary.json; a row that has no part in a ratio adds 0 to both of its sums."""
    ok = columns.outcome("ok")
    prompt, completion = columns["usage_prompt_tokens"], columns["usage_completion_tokens"]
    requested, cached = columns["requested_completion_tokens"], columns.cached_tokens
    accounted = columns["new_prompt_tokens"] + columns["cached_prompt_tokens"]
    counted = ok & ~np.isnan(cached) & ~np.isnan(prompt)
    eligible = eligible_tokens(columns)
    ceiling = ceiling_tokens(columns)
    answers = np.r_[0.0, columns.completion_tokens[:-1]] if len(columns) else columns.completion_tokens
    lost = np.maximum(ceiling - cached - answers - BLOCK_TOKENS, 0.0)  # answers may come back as other tokens
    short, hit = np.maximum(requested - completion, 0.0), (cached > 0).astype(np.float64)
    return {
        "drift.prompt_ratio": _parts(prompt - accounted, accounted, ok & ~np.isnan(prompt)),
        "drift.completion_short_ratio": _parts(short, requested, ok & ~np.isnan(completion)),
        "cache.hit_rate_pct": _parts(100.0 * cached, prompt, counted),
        "cache.lost_pct": _parts(100.0 * lost, eligible, counted & ~np.isnan(eligible)),
        "cache.eligible_ceiling_pct": _parts(100.0 * ceiling, eligible, counted & ~np.isnan(eligible)),
        "cache.turn0_hit_share": _parts(hit, np.ones(len(columns)), counted & (columns["turn"] == 0)),
    }


def _parts(above: Floats, below: Floats, mask: Bools) -> Parts:
    return np.where(mask, above, 0.0), np.where(mask, below, 0.0)


def ratio(parts: Parts) -> float | None:
    """The metric itself; None where there is nothing below the line."""
    above, below = (float(part.sum()) for part in parts)
    return above / below if below > 0 else None


MOST = 16  # workers that are named; more are counted


def workers(columns: Columns) -> Workers | None:
    """Requests, hit rates and moves by worker; None where no answer named one.

    A move is a turn that another worker served than the one before it in its session: what that one had cached is
    lost to it.
    """
    index, names = columns.names("worker")
    ok = columns.outcome("ok") & (index >= 0)
    if not ok.any():
        return None
    before = np.r_[-1, index[:-1]]
    before[columns.starts] = -1
    later = ok & (before >= 0)
    moved = later & (index != before)
    counted = ok & ~np.isnan(columns.cached_tokens) & ~np.isnan(columns["usage_prompt_tokens"])
    order = sorted(range(len(names)), key=lambda number: (-int((ok & (index == number)).sum()), names[number]))
    return Workers(
        count=len(names),
        requests={names[number]: int((ok & (index == number)).sum()) for number in order[:MOST]},
        hit_rate_pct={names[number]: _hit_rate(columns, counted & (index == number)) for number in order[:MOST]},
        turns=int(later.sum()),
        moved_turns=int(moved.sum()),
        moved_hit_rate_pct=_hit_rate(columns, counted & moved),
        stayed_hit_rate_pct=_hit_rate(columns, counted & later & ~moved),
    )


def _hit_rate(columns: Columns, which: Bools) -> float | None:
    prompt = float(columns["usage_prompt_tokens"][which].sum())
    return 100.0 * float(columns.cached_tokens[which].sum()) / prompt if prompt > 0 else None
