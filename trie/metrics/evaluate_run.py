"""The one reader of a finished run: its manifest, its rows, and every number.

The live report, `trie report`, sweeps, comparisons, exports and `Result.rows` all read a run here, so that they can't
disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trie.errors import RunDirError
from trie.metrics.certainty.population import Population
from trie.metrics.column_store import Source
from trie.metrics.columns import Columns
from trie.metrics.definitions.client import SUSPECT_LAG_S
from trie.metrics.summary import Summary, load_ended_s, summarize
from trie.metrics.traces import traces
from trie.metrics.values import per_request, per_trace
from trie.storage import sweep_dir
from trie.storage.manifest import Manifest
from trie.storage.run_dir import SUMMARY, RunDir
from trie.storage.sweep_dir import Cell, Status

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True)
class EvaluatedRun:
    """A run whose files were read once; what follows from them is computed when it is asked for, and kept."""

    run: RunDir
    manifest: Manifest
    source: Source

    @cached_property
    def rows(self) -> pa.Table:
        """All of them whole, in the order on disk, that in which requests ended."""
        import pyarrow as pa

        return self.source if isinstance(self.source, pa.Table) else self.run.records()

    @cached_property
    def columns(self) -> Columns:
        """The rows by session and turn."""
        return Columns(self.source, load_ended_s=load_ended_s(self.manifest))

    @cached_property
    def measured(self) -> pa.Table:
        """The rows without those of a warm-up, in the same order."""
        import pyarrow.compute as pc

        return self.rows.filter(pc.invert(self.rows.column("warm_up")))

    @cached_property
    def summary(self) -> Summary:
        """Every number."""
        return summarize(self.columns, self.manifest, self.population)

    @cached_property
    def population(self) -> Population | None:
        """Sums over the workload's traces; None of a run that left none."""
        table = self.run.population()
        return None if table is None else Population.of_table(table)

    def frame(self) -> pd.DataFrame:
        """The rows as a DataFrame, with their times; `suspect` says which requests met a late client.

        `ttft_s`, `tpot_s` and `latency_s` are of requests that ended well. Counts that may be missing are Int64.
        """
        import pandas as pd
        import pyarrow as pa

        frame: pd.DataFrame = self.rows.to_pandas()
        for column in self.rows.schema:
            if column.nullable and pa.types.is_integer(column.type):
                frame[column.name] = frame[column.name].astype("Int64")
        at = pa.array(range(self.rows.num_rows), pa.int64())
        columns = Columns(self.rows.append_column("at", at))
        ok = columns.outcome("ok")
        index = columns["at"].astype(int)[ok]
        values = per_request(columns, stream=self.manifest.settings.stream)
        for name in ("ttft_s", "tpot_s", "latency_s"):
            frame[name] = pd.Series(values[name], index=index)
        return frame.assign(suspect=frame.loop_lag_s > SUSPECT_LAG_S)

    def trace_frame(self) -> pd.DataFrame:
        """The traces as a DataFrame, in the order they started; metrics are of those that completed."""
        import pandas as pd

        columns, sessions = self.columns, traces(self.columns)
        first = columns.starts
        outcomes = np.select([sessions.completed, sessions.failed], ["completed", "failed"], "cancelled")
        names = ("session_id", "trace_id", "slot", "num_turns")
        facts = {name: columns[name][first].astype(int) for name in names}
        times = {"began_s": sessions.began_s, "last_s": sessions.last_s}
        requests = columns.per_session(columns.outcome("ok").astype(np.float64)).astype(int)
        values = per_trace(columns, sessions, stream=self.manifest.settings.stream)
        return pd.DataFrame({**facts, "outcome": outcomes, "requests_ok": requests, **times, **values})


def evaluate(run: RunDir) -> EvaluatedRun:
    """Read a run; nothing is written.

    Raises:
        RunDirError: when the run can't be read.
    """
    return EvaluatedRun(run, run.manifest(), run.stored_rows())


def write_summary(run: RunDir) -> Summary:
    """Every number of a run again, from its files alone; the summary is on disk when this returns.

    Raises:
        RunDirError: when the run can't be read or written to.
    """
    summary = evaluate(run).summary
    run.write_summary(summary.to_json())
    return summary


def stored_summary(content: Mapping[str, Any], path: Path) -> Summary:
    """The summary.json of a run in `path`, whose rows may be gone.

    Raises:
        RunDirError: when it lacks what a run writes.
    """
    try:
        return Summary.from_json(content)
    except (KeyError, TypeError) as error:
        raise RunDirError(f"{path / SUMMARY}: lacks what a run writes: {error}") from error


def summarized(cell: Cell) -> Cell:
    """A sweep's cell with every number anew out of its rows; damaged where those can't be read or are not all there."""
    cell = sweep_dir.intact(cell)
    if cell.status is not Status.done:
        return cell
    try:
        write_summary(RunDir(cell.path))
    except (RunDirError, KeyError, TypeError) as error:
        return replace(cell, status=Status.damaged, why=f"its rows can't be summarized: {error}", summary={})
    return sweep_dir.read(cell.path)
