"""The sessions of a run, what became of them, and the tokens that a cache could hold of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from trie.metrics.columns import Bools, Columns, Floats

BLOCK_TOKENS = 16  # of the ceiling that is stated; engines differ


@dataclass(frozen=True, slots=True)
class Traces:
    """One entry for each trace; NaN where a value was not measured."""

    completed: Bools
    failed: Bools
    cancelled: Bools
    whole: Bools  # began with its first request: the others began before the run, inside their traces
    began_s: Floats  # when the first request was due; 0 for those that began before the run
    sent_s: Floats  # from when latency counts: its send, or due where open or never sent; NaN: before
    last_s: Floats  # end of the last request that started, of sub-agents too
    progress: Floats  # share of its requests that ended well

    def part(self, first: int, end: int) -> Traces:
        """Some of them."""
        return Traces(*(getattr(self, column.name)[first:end] for column in fields(self)))


def traces(columns: Columns) -> Traces:
    """All traces of a run, or of a block of it, in the order they started; one fails with its sub-agents."""
    run = columns.whole_run
    every: Traces = run.remembered("traces", _traces)
    if run is columns:
        return every
    first = columns.traces_before
    return every.part(first, first + len(columns.starts))


def _traces(columns: Columns) -> Traces:
    ok = columns.outcome("ok")
    final = columns["is_final"] > 0
    completed = columns.any_in_session(ok & final)
    failed = (columns.with_subagents(columns.outcome("failed").astype(np.float64)) > 0) & ~completed
    first = columns.starts
    sent = columns.due_or_sent
    whole = columns["turn"][first] == 0
    return Traces(
        completed=completed,
        failed=failed,
        cancelled=~completed & ~failed,
        whole=whole,
        began_s=np.where(whole, columns["queued_s"][first], 0.0),
        sent_s=np.where(whole, np.where(np.isnan(sent), columns["queued_s"][first], sent), np.nan),
        last_s=_last_s(columns),
        progress=columns.per_session(ok.astype(np.float64)) / (columns["num_turns"][first] + 1),
    )


def _last_s(columns: Columns) -> Floats:
    last = columns["end_s"][columns.ends].copy()
    subagents = columns["depth"] > 0
    if len(last) and subagents.any():
        np.fmax.at(last, columns.trace_of[subagents], columns["end_s"][subagents])
    return last


def percent(part: Floats, whole: Floats) -> Floats:
    """100 x part / whole; NaN where the whole is 0 or not measured."""
    return 100.0 * np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > 0)


def eligible_tokens(columns: Columns) -> Floats:
    """For each request the tokens at the head of its prompt that a cache could hold.

    Those are prompt and completion of the one before, less what a reset of the context or reasoning that does not go
    back has changed of them; of a first request what others had sent of the prefix that it shares. NaN for the first of
    a session that began before the run, inside its trace.
    """
    return columns.kept("eligible tokens", _eligible_tokens)


def _eligible_tokens(columns: Columns) -> Floats:
    first = columns.first_of_session
    context = columns["usage_prompt_tokens"] + columns.completion_tokens
    eligible: Floats = np.r_[0.0, context[:-1]] if len(context) else context
    eligible = np.maximum(eligible - columns["lost_context_tokens"], 0.0)
    shared = np.minimum(columns["shared_prefix_tokens"], columns["cached_prompt_tokens"])
    eligible[first] = np.where(columns["turn"] == 0, shared, np.nan)[first]
    return eligible


def ceiling_tokens(columns: Columns, block: int = BLOCK_TOKENS) -> Floats:
    """Of the eligible tokens those that a perfect cache of whole blocks holds: a last sampled token has no KV."""
    sampled_last = ~columns.first_of_session & (columns["lost_context_tokens"] == 0)
    held: Floats = np.maximum(eligible_tokens(columns) - sampled_last, 0.0)
    ceiling: Floats = np.floor(held / block) * block
    return ceiling
