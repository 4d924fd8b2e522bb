"""Cache hits by the worker that served a request."""

from __future__ import annotations

import numpy as np

from trie.metrics.columns import Columns, Floats
from trie.metrics.definitions.cache import reports_hits
from trie.metrics.sections import Workers

MOST = 16  # workers that are named; more are counted


def workers(columns: Columns) -> Workers | None:
    """Requests, hit rates and moves by worker; None where no answer named one.

    A move is a turn that another worker served than the one before it in its session: what that one had cached is
    lost to it.
    """
    names = columns.names("worker")[1]
    requests, reported, moves = (columns.summed(tally) for tally in (_requests, _reported, _moves))
    if not requests.sum():
        return None
    later, moved, *tokens = moves
    order = sorted(range(len(names)), key=lambda number: (-requests[number], names[number]))[:MOST]
    return Workers(
        count=len(names),
        requests={names[number]: int(requests[number]) for number in order},
        hit_rate_pct={names[number]: _rate(*reported[:, number]) for number in order},
        turns=int(later),
        moved_turns=int(moved),
        moved_hit_rate_pct=_rate(*tokens[:2]),
        stayed_hit_rate_pct=_rate(*tokens[2:]),
    )


def _requests(columns: Columns) -> Floats:
    """How many requests each worker served well."""
    index, names = columns.names("worker")
    return np.bincount(index[columns.outcome("ok") & (index >= 0)], minlength=len(names)).astype(np.float64)


def _reported(columns: Columns) -> Floats:
    """Cached and prompt tokens of each worker, where both are reported."""
    index, names = columns.names("worker")
    counted = reports_hits(columns) & (index >= 0)
    return np.array(
        [
            np.bincount(index[counted], of_all[counted], len(names))
            for of_all in (columns.cached_tokens, columns["usage_prompt_tokens"])
        ]
    )


def _moves(columns: Columns) -> Floats:
    """Turns behind one whose worker is known, those that moved, and tokens of both kinds that moved and stayed."""
    index, _ = columns.names("worker")
    before = np.r_[-1, index[:-1]]
    before[columns.first_of_session] = -1
    later = columns.outcome("ok") & (index >= 0) & (before >= 0)
    moved = later & (index != before)
    counted = reports_hits(columns)
    cached, prompt = columns.cached_tokens, columns["usage_prompt_tokens"]
    tokens = [of_all[counted & turns].sum() for turns in (moved, later & ~moved) for of_all in (cached, prompt)]
    return np.array([later.sum(), moved.sum(), *tokens], np.float64)


def _rate(cached: float, prompt: float) -> float | None:
    return 100.0 * float(cached) / float(prompt) if prompt > 0 else None
