"""A finished run, read once: its manifest, its rows as columns, and every number.

Reports, sweeps, comparisons, exports and the run itself all read a run here, so that they can't disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trie.metrics.columns import Columns
from trie.metrics.summary import Summary, summarize
from trie.storage.run_dir import RunDir


@dataclass(frozen=True, slots=True)
class EvaluatedRun:
    """A run whose rows were read once, for its numbers and its page."""

    run: RunDir
    manifest: Mapping[str, Any]
    columns: Columns
    summary: Summary


def evaluate(run: RunDir) -> EvaluatedRun:
    """Read a run and compute its numbers; nothing is written.

    Raises:
        RunDirError: when the run can't be read.
    """
    columns, manifest = Columns(run.records()), run.manifest()
    return EvaluatedRun(run, manifest, columns, summarize(columns, manifest))


def write_summary(run: RunDir) -> Summary:
    """Every number of a run again, from its files alone; the summary is on disk when this returns.

    Raises:
        RunDirError: when the run can't be read or written to.
    """
    summary = evaluate(run).summary
    run.write_summary(summary.to_json())
    return summary
