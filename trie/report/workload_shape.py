"""What was replayed beside the whole workload: a run that ends by the clock completes its short traces."""

from __future__ import annotations

import numpy as np

from trie.metrics.columns import Bools, Columns, Floats
from trie.report.first_screen import Measured
from trie.report.html.document import Column, Table, Value
from trie.storage.manifest import Manifest

NOTE = (
    "Means by the lengths in the workload. The end of a run cuts off the long traces, so that those that completed are "
    "shorter than the workload; the further the columns are apart, the less do numbers of completed traces say of all."
)


def shape_table(run: Measured, manifest: Manifest) -> Table:
    """Traces and their lengths: completed, started, and all of the workload."""
    columns, sessions = run.columns, run.sessions
    requests = columns["num_turns"][columns.starts] + 1
    everyone = np.ones(len(requests), np.bool_)
    groups = (sessions.completed, everyone)
    first_prompt = columns["new_prompt_tokens"][columns.starts]
    sent, completion = (columns.with_subagents(columns.each(part)) for part in (_sent, _completion))
    workload = manifest.workload
    rows: list[list[Value]] = [
        ["Traces", *(int(group.sum()) for group in groups), workload.traces],
        ["Requests a trace", *(_mean(requests, group) for group in groups), _requests(workload.mean_turns)],
        ["New prompt tokens of the first request", *(_mean(first_prompt, group) for group in groups), None],
        ["Completion tokens a request", *(_ratio(completion[group], sent[group]) for group in groups), None],
    ]
    heads = [Column("Mean of"), Column("Completed traces"), Column("Started traces"), Column("Whole workload")]
    return Table(caption="What was replayed", columns=heads, rows=rows, note=NOTE)


def _requests(mean_turns: float | None) -> float | None:
    """A trace has a request more than tool turns."""
    return None if mean_turns is None else mean_turns + 1


def _mean(values: Floats, group: Bools) -> float | None:
    chosen = values[group]
    return float(np.nanmean(chosen)) if np.isfinite(chosen).any() else None


def _sent(columns: Columns) -> Floats:
    """1 for each request that was sent, and 0 for the others."""
    return np.isfinite(columns["sent_s"]).astype(np.float64)


def _completion(columns: Columns) -> Floats:
    """Completion tokens of the requests that were sent."""
    return columns["requested_completion_tokens"] * _sent(columns)


def _ratio(tokens: Floats, requests: Floats) -> float | None:
    """Over all requests of these traces that were sent."""
    return float(tokens.sum()) / float(requests.sum()) if requests.sum() else None
