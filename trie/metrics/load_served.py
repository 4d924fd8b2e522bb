"""Was the load that was asked for also served? What an open load made wait, and each level of a ramp. Pure."""

from __future__ import annotations

import numpy as np

from trie.metrics.columns import Columns, Floats
from trie.metrics.sections import LoadLevel, LoadServed
from trie.metrics.traces import Traces
from trie.metrics.values import tokens
from trie.storage.manifest import Manifest

ROUNDING_S = 1e-6  # of instants
SETTLED = 0.5  # share of the run after which as many traces should end as are due


def load_served(columns: Columns, sessions: Traces, manifest: Manifest, wall_time_s: float) -> LoadServed | None:
    """How an open load or a ramp went; None for a closed loop."""
    load, duration_s = manifest.settings.load, manifest.settings.duration
    until_s = min(wall_time_s, duration_s)
    if load.shape == "ramp":
        return LoadServed(
            shape=load.shape, levels=_levels(columns, load.levels, until_s, duration_s / len(load.levels))
        )
    if not load.is_open:
        return None
    due_s, begun_s = columns["due_s"][columns.starts], columns["queued_s"][columns.starts]
    never_s = waiting_s(manifest, wall_time_s)
    waits_s = np.r_[np.maximum(begun_s - due_s, 0.0), never_s]
    traces_due = None if manifest.end is None else manifest.end.traces_due
    waited = int((begun_s - due_s > ROUNDING_S).sum())
    not_begun = None if traces_due is None else traces_due - len(due_s)
    due, ended = _late_half(np.r_[due_s, wall_time_s - never_s], sessions, until_s)
    p50, p90 = np.percentile(waits_s, (50, 90)) if len(waits_s) else (None, None)
    return LoadServed(
        shape=load.shape,
        rate=None if load.shape == "schedule" else load.rate,
        traces_due=traces_due,
        waited=waited,
        not_begun=not_begun,
        waited_share=(waited + (not_begun or 0)) / traces_due if traces_due else None,
        wait_p50_s=None if p50 is None else float(p50),
        wait_p90_s=None if p90 is None else float(p90),
        wait_max_s=float(waits_s.max()) if len(waits_s) else None,
        late_due=due,
        late_ended=ended,
    )


def waiting_s(manifest: Manifest, wall_time_s: float) -> Floats:
    """For traces that were due and never began, how long they had waited when the run ended."""
    waiting = () if manifest.end is None else manifest.end.waiting_since_s
    return wall_time_s - np.asarray(waiting, dtype=np.float64)


def _late_half(due_s: Floats, sessions: Traces, until_s: float) -> tuple[int, int]:
    """Traces that were due, and traces that ended, in the later half of the load's time."""
    since_s = SETTLED * until_s
    ended_s = sessions.last_s[~sessions.cancelled]
    return int(((due_s > since_s) & (due_s <= until_s)).sum()), int(((ended_s > since_s) & (ended_s <= until_s)).sum())


def _levels(columns: Columns, levels: list[int], until_s: float, width_s: float) -> tuple[LoadLevel, ...]:
    """Each level with what ended in its time; of those not reached, nothing."""
    end_s, ok = columns["end_s"], columns.outcome("ok")
    completion = tokens(columns)["completion_tok_s"]
    ttft_s, sent_s = columns["first_token_s"] - columns["sent_s"], columns["sent_s"]
    told = []
    for number, active in enumerate(levels):
        since_s, to_s = number * width_s, min((number + 1) * width_s, until_s)
        if to_s <= since_s:
            break
        ended = ok & (end_s > since_s) & (end_s <= to_s)
        sent = ok & (sent_s > since_s) & (sent_s <= to_s) & np.isfinite(ttft_s)
        p50, p90 = np.percentile(ttft_s[sent], (50, 90)) if sent.any() else (None, None)
        told.append(
            LoadLevel(
                active_traces=active,
                from_s=since_s,
                to_s=to_s,
                requests=int(ended.sum()),
                completion_tok_s=float(completion[ended].sum()) / (to_s - since_s),
                ttft_p50_s=None if p50 is None else float(p50),
                ttft_p90_s=None if p90 is None else float(p90),
            )
        )
    return tuple(told)
