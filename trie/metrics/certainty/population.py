"""What a workload holds, in sums over each of its traces: all that estimates for the whole of it need to know.

A run writes it beside its rows, since the workload itself may not be at hand later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trie.metrics.column_store import numbers
from trie.metrics.columns import Floats
from trie.workload.accounting import SentPrefixes
from trie.workload.trace import Trace

if TYPE_CHECKING:
    import pyarrow as pa

# What a request is, as far as it says how long the request takes.
FEATURES = ("requests", "completion_tokens", "new_prompt_tokens", "context_tokens", "context_x_completion", "first")


def features(completion: Floats, new: Floats, context: Floats, turn: Floats) -> Floats:
    """The features of requests, a row each; `context` are the tokens before the new ones."""
    return np.column_stack([np.ones(len(new)), completion, new, context, context * completion, turn == 0])


@dataclass(frozen=True, slots=True)
class Population:
    """One entry for each trace of the workload."""

    row: NDArray[np.int64]  # of the workload: `trace_id` of a run's rows
    wait_s: Floats  # all waits of the trace; NaN for one that waits for sub-agents
    whole: Floats  # features, summed over the trace's requests
    first: Floats  # those of its first request
    last: Floats  # and of its last

    def __len__(self) -> int:
        return len(self.row)

    @property
    def sequential(self) -> bool:
        """Whether each trace takes as long as its waits and requests together."""
        return bool(np.isfinite(self.wait_s).all())

    @classmethod
    def of(cls, traces: Sequence[Trace], *, reasoning_back: bool = False) -> Population:
        """The sums of traces; `reasoning_back` as in `Trace.requests`."""
        starts = np.cumsum([0, *(trace.num_turns + 1 for trace in traces)])
        values = np.fromiter(_values(traces, reasoning_back=reasoning_back), np.dtype((np.float64, 5)), int(starts[-1]))
        turn, wait, new, context, completion = values.T
        requests = features(completion, new, context, turn)
        return cls(
            row=np.array([trace.row for trace in traces], np.int64),
            wait_s=np.add.reduceat(wait, starts[:-1]),
            whole=np.add.reduceat(requests, starts[:-1]),
            first=requests[starts[:-1]],
            last=requests[starts[1:] - 1],
        )

    def table(self) -> pa.Table:
        """As it is written; `of_table` reads it."""
        import pyarrow as pa

        columns: dict[str, NDArray[np.generic]] = {"row": self.row, "wait_s": self.wait_s}
        for prefix in ("whole", "first", "last"):
            for name, values in zip(FEATURES, getattr(self, prefix).T, strict=True):
                columns[f"{prefix}_{name}"] = values.astype(np.int64)
        arrays = [
            pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])
            for values in columns.values()
        ]  # `pyarrow.array` would import pandas
        return pa.Table.from_arrays(arrays, names=list(columns))

    @classmethod
    def of_table(cls, table: pa.Table) -> Population | None:
        """Out of what `table` gave; None where that lacks a column, as one of another version may."""
        columns = {name: numbers(table.column(name)).astype(np.float64) for name in table.column_names}
        try:
            whole, first, last = (
                np.column_stack([columns[f"{prefix}_{name}"] for name in FEATURES])
                for prefix in ("whole", "first", "last")
            )
            return cls(columns["row"].astype(np.int64), columns["wait_s"], whole, first, last)
        except KeyError:
            return None

    def at_most(self, traces: int) -> Population:
        """So many traces, spread evenly over all of them."""
        if len(self) <= traces:
            return self
        kept = np.linspace(0, len(self) - 1, traces).astype(np.intp)
        return Population(self.row[kept], self.wait_s[kept], self.whole[kept], self.first[kept], self.last[kept])

    def places(self, trace_id: Floats) -> NDArray[np.intp]:
        """The entry of each trace by its row; -1 for one that the workload does not have."""
        order = np.argsort(self.row, kind="stable")
        at = np.minimum(np.searchsorted(self.row[order], trace_id), len(self) - 1)
        place = order[at]
        return np.where(self.row[place] == trace_id, place, -1)


def _values(traces: Sequence[Trace], *, reasoning_back: bool) -> Iterator[tuple[float, ...]]:
    sent = SentPrefixes()
    for trace in traces:
        for planned in trace.requests(reasoning_back=reasoning_back):
            plan = sent.send(trace, planned)
            wait_s = nan if plan.waits_for else plan.wait_s
            yield plan.turn, wait_s, plan.new_prompt_tokens, plan.cached_prompt_tokens, plan.completion_tokens
