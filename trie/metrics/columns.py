"""The rows of a run as numpy columns in the order of sessions and turns, nulls as NaN."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from trie.metrics.column_store import BLOCK_ROWS, PARTS, Bools, Codes, ColumnStore, Floats, Source
from trie.metrics.in_threads import MadeOnce, in_threads, sort
from trie.workload.session_tree import SUBAGENT_IDS

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Bools", "Columns", "Floats", "Stats", "in_order", "quantiles"]

Each = TypeVar("Each", bound=np.generic)
Amount = TypeVar("Amount", int, float, Floats)
Result = TypeVar("Result")


class Columns:
    """Columns by name, as float64; sorted by session and turn, so that a session is a run of neighbours.

    Requests of a warm-up are left out. `load_ended_s` is the instant from which on no trace began. Sessions of traces
    come first, those of sub-agents behind them: what is said of "each trace" is of the former, in their order.

    A run of very many rows is worked on in `blocks`, which are columns themselves: what takes several columns at once
    is done for each of them, so that it needs little memory. A smaller one is its only block.
    """

    def __init__(
        self,
        rows: Source | ColumnStore,
        *,
        load_ended_s: float = np.inf,
        block_rows: int = BLOCK_ROWS,
        run: Columns | None = None,
        span: tuple[int, int] | None = None,
    ) -> None:
        self.load_ended_s = load_ended_s
        self._store = rows if isinstance(rows, ColumnStore) else ColumnStore(rows, block_rows=block_rows)
        self._run = run  # that a block is of, with the rows `span` of it
        self._begin, self._end = span or (0, self._store.count)
        self._floats: dict[str, Floats] = {}
        self._derived = MadeOnce()

    @property
    def small(self) -> bool:
        """Whether all columns fit into memory together."""
        return self._run is not None or len(self) <= self._store.block_rows

    def blocks(self) -> Iterator[Columns]:
        """The same in parts of whole sessions, in order."""
        if self.small:
            yield self
            return
        for begin, end in self._bounds:
            yield Columns(self._store, load_ended_s=self.load_ended_s, run=self, span=(begin, end))

    def of_blocks(self, formula: Callable[[Columns], Result]) -> Iterator[Result]:
        """What a formula gives for each block, in order; two blocks are worked on at a time."""
        return iter([formula(self)]) if self.small else in_threads(formula, self.blocks())

    @cached_property
    def _bounds(self) -> list[tuple[int, int]]:
        """Where blocks begin and end: at the first session that begins behind so many rows."""
        starts = np.flatnonzero(self.first_of_session)
        wanted = np.arange(0, len(self), max(self._store.block_rows // PARTS, 1))
        begins = np.unique(starts[np.minimum(np.searchsorted(starts, wanted), len(starts) - 1)])
        return [(int(begin), int(end)) for begin, end in zip(begins, [*begins[1:], len(self)], strict=True)]

    def each(self, formula: Callable[[Columns], NDArray[Each]]) -> NDArray[Each]:
        """What a formula gives for the rows or the traces of each block, one behind the other."""
        return formula(self) if self.small else np.concatenate(list(self.of_blocks(formula)))

    def summed(self, formula: Callable[[Columns], Amount]) -> Amount:
        """The sum of what a formula gives for each block."""
        return reduce(add, self.of_blocks(formula))

    @cached_property
    def with_warm_up(self) -> Columns:
        """The same with the requests of the warm-up, which an engine counts too."""
        if not self.warm_up_requests:
            return self
        store = self._store
        return Columns(ColumnStore(store.source, block_rows=store.block_rows, warm_up=True))

    @property
    def warm_up_requests(self) -> int:
        """How many requests the warm-up had."""
        return self._store.source.num_rows - len(self)

    def __len__(self) -> int:
        return self._end - self._begin

    def __getitem__(self, name: str) -> Floats:
        if name in self._floats:
            return self._floats[name]
        values = self._store.floats(name, self._begin, self._end)
        if self.small:
            self._floats[name] = values
        return values

    def outcome(self, name: str) -> Bools:
        """Which rows have this outcome."""
        codes, names = self.names("outcome")
        return np.asarray(codes == names.index(name) if name in names else np.zeros(len(self), np.bool_))

    def names(self, name: str) -> tuple[Codes, list[str]]:
        """A column of texts as indices into its different ones, -1 for null, and these in order of appearance."""
        return self._store.codes(name, self._begin, self._end)

    def failures(self) -> dict[str, int]:
        """Failed requests by the kind of their error, the commonest first."""
        codes, kinds = self.names("error_kind")
        counts = Counter(codes[self.outcome("failed")].tolist())
        counted = {kinds[code] if code >= 0 else "unknown": count for code, count in counts.items()}
        return dict(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0])))

    def errors(self) -> list[dict[str, Any]]:
        """Failed requests by kind and HTTP status, the commonest first: `count`, `first_s`, and an `example` text."""
        import pyarrow as pa

        at = pa.array(self._store.rows(np.flatnonzero(self.outcome("failed"))))
        names = ["error_kind", "http_status", "end_s", "outcome", "error"]
        failed = pa.table({name: _plain(self._store.source.column(name).take(at)) for name in names})
        ways = [("end_s", "min"), ("outcome", "count"), ("error", "first")]
        kinds = failed.group_by(names[:2], use_threads=False).aggregate(ways)
        titles = {"outcome_count": "count", "end_s_min": "first_s", "error_first": "example"}
        rows: list[dict[str, Any]] = [{titles.get(key, key): row[key] for key in row} for row in kinds.to_pylist()]
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
    def whole_run(self) -> Columns:
        """That which a block is a part of."""
        return self if self._run is None else self._run

    @property
    def first_row(self) -> int:
        """Of a block, where it begins in the run."""
        return self._begin

    @cached_property
    def traces_before(self) -> int:
        """How many traces of the run come before those of a block."""
        return 0 if self._run is None else int(np.searchsorted(self._run.starts, self._begin))

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

    @property
    def completion_tokens(self) -> Floats:
        """As the server reports them, else as asked for."""
        return self.kept("completion tokens", _completion_tokens)

    @property
    def omitted_zeros(self) -> Bools:
        """Which rows report usage without cached tokens where others of the same worker report them, and none a 0.

        Several engines leave the field out where it would be 0; a server that never reports it is another matter, also
        beside one that does, and so is one that writes its zeros.
        """
        return self.kept("omitted zeros", _omitted_zeros)

    @property
    def cached_tokens(self) -> Floats:
        """As the server reports them, 0 where it leaves a zero out, NaN where it does not report them."""
        return self.kept("cached tokens", _cached_tokens)

    def remembered(self, name: str, formula: Callable[[Columns], Any]) -> Any:
        """What a formula gives, worked out once; for what is small beside the rows."""
        return self._derived.get(name, lambda: formula(self))

    def once(self, name: str, formula: Callable[[Columns], Any]) -> Any:
        """What a formula gives for a block, worked out once; of very many rows each time that it is asked for."""
        return self.remembered(name, formula) if self.small else formula(self)

    def derived(self, name: str, make: Callable[[], Floats]) -> Floats:
        """Values of the whole run that were worked out before, or now."""
        values: Floats = self._store.derived(name, make)
        return values

    def kept(self, name: str, formula: Callable[[Columns], NDArray[Each]]) -> NDArray[Each]:
        """The values of a formula for rows or traces, block by block, worked out once."""
        if self._run is not None:
            values: NDArray[Each] = self.once(name, formula)
            return values
        return self._store.derived(name, lambda: self.each(formula))

    @cached_property
    def omitting_workers(self) -> Bools:
        """Which workers leave a zero of cached tokens out; the first are those of no name."""
        if self._run is not None:
            return self._run.omitting_workers
        workers = len(self.names("worker")[1])

        def reported_and_zero(block: Columns) -> Bools:
            seen = np.zeros((2, workers + 1), np.bool_)
            cached, worker = block["usage_cached_tokens"], block.names("worker")[0] + 1
            seen[0, worker[cached > 0]] = True
            seen[1, worker[cached == 0]] = True
            return seen

        reported, zero = reduce(np.logical_or, self.of_blocks(reported_and_zero))
        return np.asarray(reported & ~zero)


def _completion_tokens(columns: Columns) -> Floats:
    reported = columns["usage_completion_tokens"]
    return np.where(np.isnan(reported), columns["requested_completion_tokens"], reported)


def _omitted_zeros(columns: Columns) -> Bools:
    omitting = columns.omitting_workers[columns.names("worker")[0] + 1]
    return np.isnan(columns["usage_cached_tokens"]) & ~np.isnan(columns["usage_prompt_tokens"]) & omitting


def _cached_tokens(columns: Columns) -> Floats:
    return np.where(columns.omitted_zeros, 0.0, columns["usage_cached_tokens"])


def _plain(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts out of their dictionary."""
    import pyarrow as pa

    return texts.cast(pa.string()) if pa.types.is_dictionary(texts.type) else texts


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
    def of(cls, values: Floats, ordered: Floats | None = None) -> Stats | None:
        """Statistics of the values that were measured; None when none was. `ordered` are these in order, if at hand."""
        values = values[np.isfinite(values)]
        if not len(values):
            return None
        ordered = in_order(values) if ordered is None else ordered
        p50, p90, p95, p99 = quantiles(ordered, (0.5, 0.9, 0.95, 0.99)).tolist()
        return cls(float(values.mean()), float(ordered[0]), p50, p90, p95, p99, float(ordered[-1]), len(values))


def in_order(values: Floats) -> Floats:
    """The values that were measured, sorted."""
    measured = values[np.isfinite(values)]
    sort(measured)
    return measured


def quantiles(ordered: Floats, shares: Sequence[float] | Floats) -> Floats:
    """Those of values in order, as `numpy.quantile` interpolates them, which would have to search each time."""
    place = (len(ordered) - 1) * np.asarray(shares, np.float64)
    below = np.floor(place).astype(np.intp)
    low, high = ordered[below], ordered[np.minimum(below + 1, len(ordered) - 1)]
    weight = place - below
    return np.where(weight >= 0.5, high - (high - low) * (1 - weight), low + (high - low) * weight)
