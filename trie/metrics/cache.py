"""Cache hits by the worker that served a request."""

from __future__ import annotations

import numpy as np

from trie.metrics.columns import Bools, Columns
from trie.metrics.definitions.cache import reports_hits
from trie.metrics.sections import Workers

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
    before[columns.first_of_session] = -1
    later = ok & (before >= 0)
    moved = later & (index != before)
    counted = reports_hits(columns)
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
