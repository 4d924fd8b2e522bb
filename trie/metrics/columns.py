"""The rows of a run as numpy columns in the order of sessions and turns, nulls as NaN."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trie.workload.session_tree import SUBAGENT_IDS

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Columns:
    """Columns by name, as float64; sorted by session and turn, so that a session is a run of neighbours.

    Requests of a warm-up are left out. `load_ended_s` is the instant from which on no trace began. Sessions of traces
    come first, those of sub-agents behind them: what is said of "each trace" is of the former, in their order.
    """

    def __init__(self, rows: pa.Table, *, load_ended_s: float = np.inf) -> None:
        import pyarrow.compute as pc

        self.load_ended_s = load_ended_s
        self._all_rows = rows
        measured = rows.filter(pc.invert(rows.column("warm_up"))) if pc.any(rows.column("warm_up")).as_py() else rows
        self._rows = measured.sort_by([("session_id", "ascending"), ("turn", "ascending")])
        self._floats: dict[str, Floats] = {}

    @cached_property
    def with_warm_up(self) -> Columns:
        """The same with the requests of the warm-up, which an engine counts too."""
        if self._all_rows.num_rows == len(self):
            return self
        marked = self._all_rows.schema.get_field_index("warm_up")
        import pyarrow as pa

        unmarked = pa.nulls(self._all_rows.num_rows, pa.bool_()).fill_null(False)
        return Columns(self._all_rows.set_column(marked, "warm_up", unmarked))

    @cached_property
    def warm_up_requests(self) -> int:
        """How many requests the warm-up had."""
        return int(self._all_rows.num_rows - len(self))

    def __len__(self) -> int:
        return int(self._rows.num_rows)

    def __getitem__(self, name: str) -> Floats:
        if name not in self._floats:
            import pyarrow as pa

            column = self._rows.column(name).cast(pa.float64())
            self._floats[name] = column.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
        return self._floats[name]

    def outcome(self, name: str) -> Bools:
        """Which rows have this outcome."""
        import pyarrow.compute as pc

        return np.asarray(pc.equal(self._rows.column("outcome"), name).to_numpy(zero_copy_only=False), dtype=np.bool_)

    def names(self, name: str) -> tuple[NDArray[np.int64], list[str]]:
        """A column of texts as indices into its different ones, -1 for null, and these in order of appearance."""
        import pyarrow.compute as pc

        encoded = self._rows.column(name).combine_chunks().dictionary_encode()
        indices = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
        return indices.astype(np.int64), encoded.dictionary.to_pylist()

    def failures(self) -> dict[str, int]:
        """Failed requests by the kind of their error, the commonest first."""
        import pyarrow.compute as pc

        kinds = pc.fill_null(self._rows.column("error_kind").filter(self.outcome("failed")), "unknown")
        pairs: list[dict[str, Any]] = pc.value_counts(kinds).to_pylist()
        counted = ((pair["values"], pair["counts"]) for pair in pairs)
        return dict(sorted(counted, key=lambda pair: (-pair[1], pair[0])))

    def errors(self) -> list[dict[str, Any]]:
        """Failed requests by kind and HTTP status, the commonest first: `count`, `first_s`, and an `example` text."""
        failed = self._rows.filter(self.outcome("failed"))
        keys = ["error_kind", "http_status"]
        ways = [("end_s", "min"), ("outcome", "count"), ("error", "first")]
        kinds = failed.select([*keys, "end_s", "outcome", "error"]).group_by(keys, use_threads=False).aggregate(ways)
        names = {"outcome_count": "count", "end_s_min": "first_s", "error_first": "example"}
        rows: list[dict[str, Any]] = [{names.get(key, key): row[key] for key in row} for row in kinds.to_pylist()]
        return sorted(rows, key=lambda row: (-row["count"], str(row["error_kind"])))

    @cached_property
    def first_of_session(self) -> Bools:
        """Which rows are the first of their session, sub-agents' among them."""
        session = self["session_id"]
        return np.r_[True, session[1:] != session[:-1]] if len(session) else np.empty(0, np.bool_)

    @cached_property
    def last_of_session(self) -> Bools:
        """Which rows are the last of their session, sub-agents' among them."""
        return np.r_[self.first_of_session[1:], True] if len(self) else np.empty(0, np.bool_)

    @cached_property
    def _own(self) -> int:
        """How many rows are the traces' own; sub-agents have the others, behind them."""
        return int((self["depth"] == 0).sum())

    @cached_property
    def starts(self) -> NDArray[np.intp]:
        """Index of each trace's first row."""
        return np.flatnonzero(self.first_of_session[: self._own])

    @cached_property
    def due_or_sent(self) -> Floats:
        """For each trace the instant from which its times count: when it was due in an open load, else its send.

        A timer may ring up to a millisecond early: what was sent before it was due counts from its send.
        """
        return np.fmin(self["due_s"], self["sent_s"])[self.starts]

    @cached_property
    def ends(self) -> NDArray[np.intp]:
        """Index of each trace's own last row."""
        return np.flatnonzero(self.last_of_session[: self._own])

    def per_session(self, values: Floats) -> Floats:
        """Sums of a column over each trace's own rows; NaN where any of them has none."""
        return np.add.reduceat(values[: self._own], self.starts) if len(self.starts) else np.empty(0)

    def any_in_session(self, mask: Bools) -> Bools:
        return self.per_session(mask.astype(np.float64)) > 0

    @cached_property
    def trace_of(self) -> NDArray[np.intp]:
        """For each row the index of its trace; sub-agents of one without rows of its own belong to the next one."""
        roots = self["session_id"] % SUBAGENT_IDS
        index = np.searchsorted(self["session_id"][self.starts], roots)
        return np.minimum(index, len(self.starts) - 1)

    def with_subagents(self, values: Floats) -> Floats:
        """Sums of a column over each trace's rows and its sub-agents'; NaN where any of them has none."""
        if self._own == len(self) or not len(self.starts):
            return self.per_session(values)
        sums: Floats = np.bincount(self.trace_of, values, len(self.starts)).astype(np.float64, copy=False)
        return sums

    @cached_property
    def completion_tokens(self) -> Floats:
        """As the server reports them, else as asked for."""
        reported = self["usage_completion_tokens"]
        return np.where(np.isnan(reported), self["requested_completion_tokens"], reported)

    @cached_property
    def omitted_zeros(self) -> Bools:
        """Which rows report usage without cached tokens where others of the same worker report them, and none a 0.

        Several engines leave the field out where it would be 0; a server that never reports it is another matter, also
        beside one that does, and so is one that writes its zeros.
        """
        cached = self["usage_cached_tokens"]
        worker, names = self.names("worker")

        def workers_with(rows: Bools) -> Bools:
            return np.bincount(worker[rows] + 1, minlength=len(names) + 1) > 0  # the first: those that name none

        omitting = workers_with(cached > 0) & ~workers_with(cached == 0)
        return np.isnan(cached) & ~np.isnan(self["usage_prompt_tokens"]) & omitting[worker + 1]

    @cached_property
    def cached_tokens(self) -> Floats:
        """As the server reports them, 0 where it leaves a zero out, NaN where it does not report them."""
        return np.where(self.omitted_zeros, 0.0, self["usage_cached_tokens"])


@dataclass(frozen=True, slots=True)
class Stats:
    """The seven statistics of a metric and the number of its values; percentiles interpolate linearly, as numpy's."""

    mean: float
    min: float
    p50: float
    p90: float
    p95: float
    p99: float
    max: float
    n: int | None = None  # None in a summary from before it was counted

    @classmethod
    def of(cls, values: Floats) -> Stats | None:
        """Statistics of the values that were measured; None when none was."""
        values = values[np.isfinite(values)]
        if not len(values):
            return None
        p50, p90, p95, p99 = (float(value) for value in np.percentile(values, (50, 90, 95, 99)))
        return cls(float(values.mean()), float(values.min()), p50, p90, p95, p99, float(values.max()), len(values))
