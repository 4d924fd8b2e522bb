"""The sessions of a run, what became of them, and the tokens that a cache could hold of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trie.metrics.columns import Bools, Columns, Floats

BLOCK_TOKENS = 16  # of the ceiling that is stated; engines differ


@dataclass(frozen=True, slots=True)
class Traces:
    """One entry for each session; NaN where a value was not measured."""

    completed: Bools
    failed: Bools
    cancelled: Bools
    whole: Bools  # began with its first request: the others began before the run, inside their traces
    began_s: Floats  # when the first request was due; 0 for those that began before the run
    sent_s: Floats  # from when latency counts: its send, or due where open or never sent; NaN: before
    last_s: Floats  # end of the last request that started
    progress: Floats  # share of its requests that ended well


def traces(columns: Columns) -> Traces:
    """All sessions of a run, in the order they started."""
    ok = columns.outcome("ok")
    final = columns["is_final"] > 0
    completed = columns.any_in_session(ok & final)
    failed = columns.any_in_session(columns.outcome("failed")) & ~completed
    first, last = columns.starts, columns.ends
    sent = columns.due_or_sent
    whole = columns["turn"][first] == 0
    return Traces(
        completed=completed,
        failed=failed,
        cancelled=~completed & ~failed,
        whole=whole,
        began_s=np.where(whole, columns["queued_s"][first], 0.0),
        sent_s=np.where(whole, np.where(np.isnan(sent), columns["queued_s"][first], sent), np.nan),
        last_s=columns["end_s"][last],
        progress=columns.per_session(ok.astype(np.float64)) / (columns["num_turns"][first] + 1),
    )


def percent(part: Floats, whole: Floats) -> Floats:
    """100 x part / whole; NaN where the whole is 0 or not measured."""
    return 100.0 * np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > 0)


def eligible_tokens(columns: Columns) -> Floats:
    """For each request the tokens that a cache could hold: prompt and completion of the one before, 0 for the first.

    NaN for the first of a session that began before the run, inside its trace.
    """
    context = columns["usage_prompt_tokens"] + columns.completion_tokens
    eligible = np.r_[0.0, context[:-1]] if len(context) else context
    eligible[columns.starts] = np.where(columns["turn"][columns.starts] == 0, 0.0, np.nan)
    return eligible


def ceiling_tokens(columns: Columns, block: int = BLOCK_TOKENS) -> Floats:
    """Of the eligible tokens those that a perfect cache of whole blocks holds: the last sampled token has no KV."""
    held = np.maximum(eligible_tokens(columns) - 1, 0.0)
    return np.floor(held / block) * block
