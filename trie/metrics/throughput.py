"""Workload throughput: cumulative tokens over time, as points that completed requests make."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trie.metrics.columns import Columns, Floats

LAST_S = 30.0
WARM_UP = 0.20  # share of the time until the last point that steady state leaves out


@dataclass(frozen=True, slots=True)
class Rates:
    """Tokens per second under the four columns; None where there is nothing to take a slope of."""

    overall: float | None
    last_30s: float | None
    steady_state: float | None
    steady_state_per_gpu: float | None


def rates(columns: Columns, *, wall_time_s: float, num_gpus: int | None) -> dict[str, Rates]:
    """The four throughputs of the reference, by key."""
    done = np.flatnonzero(columns.outcome("ok"))
    order = done[np.argsort(columns["end_s"][done], kind="stable")]
    at = columns["end_s"][order]
    new, cached = columns["new_prompt_tokens"][order], columns["cached_prompt_tokens"][order]
    tokens = {
        "total_prompt_tok_s": new + cached,
        "cached_prompt_tok_s": cached,
        "uncached_prompt_tok_s": new,
        "completion_tok_s": columns["requested_completion_tokens"][order],
    }
    return {key: _rates(at, np.cumsum(values), wall_time_s, num_gpus) for key, values in tokens.items()}


def _rates(at: Floats, total: Floats, wall_time_s: float, num_gpus: int | None) -> Rates:
    if not len(at):
        return Rates(0.0 if wall_time_s > 0 else None, None, None, None)
    steady = _slope(at, total, float(at[-1]) * WARM_UP)
    return Rates(
        overall=float(total[-1]) / wall_time_s if wall_time_s > 0 else None,
        last_30s=_slope(at, total, float(at[-1]) - LAST_S),
        steady_state=steady,
        steady_state_per_gpu=steady / num_gpus if steady is not None and num_gpus else None,
    )


def _slope(at: Floats, total: Floats, since: float) -> float | None:
    """Between the first point at or after `since` and the last point."""
    first = int(np.searchsorted(at, since, side="left"))
    time = float(at[-1] - at[first])
    return float(total[-1] - total[first]) / time if time > 0 else None
