"""The rows of a run as numpy columns, each trace's requests side by side in the order of their turns."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trie.records import Outcome

if TYPE_CHECKING:
    import pyarrow as pa

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Columns of one length, sorted by session and turn.

    Instants and counts are float64 with NaN for null. `starts` holds the index of each session's first row, `lasts`
    that of its last one: figures of a trace are reductions between the two.
    """

    session: Ints
    turn: Ints
    num_turns: Ints
    final: Bools
    ok: Bools
    failed: Bools
    attempts: Ints
    chunks: Ints
    queued: Floats
    sent: Floats
    attempt_sent: Floats
    first_token: Floats
    last_token: Floats
    end: Floats
    new_prompt: Floats
    cached_prompt: Floats
    requested: Floats
    usage_prompt: Floats
    usage_completion: Floats
    usage_cached: Floats
    max_gap: Floats
    loop_lag: Floats
    starts: Ints
    lasts: Ints

    def __len__(self) -> int:
        return len(self.session)

    @property
    def traces(self) -> int:
        """How many sessions the rows belong to."""
        return len(self.starts)

    @property
    def accounted(self) -> Floats:
        """Prompt tokens of each request by the trace's own accounting."""
        return self.new_prompt + self.cached_prompt

    @property
    def completion(self) -> Floats:
        """Completion tokens of each request: as the server counted them, else as they were asked for."""
        return np.where(np.isnan(self.usage_completion), self.requested, self.usage_completion)

    def per_trace(self, values: Floats | Bools) -> Floats:
        """Sum over each trace's rows; NaN in one of them makes the trace's sum NaN."""
        return np.add.reduceat(values.astype(np.float64, copy=False), self.starts)

    def previous(self, values: Floats) -> Floats:
        """Each row's value in the row before it of the same trace; NaN in a trace's first row."""
        shifted = np.empty_like(values)
        shifted[1:] = values[:-1]
        shifted[self.starts] = np.nan
        return shifted

    @property
    def last_instant(self) -> float | None:
        """The latest instant in any row, in seconds since the run began; None without rows."""
        instants = (self.queued, self.sent, self.first_token, self.last_token, self.end)
        latest = [np.nanmax(column) for column in instants if not np.isnan(column).all()]
        return float(max(latest)) if latest else None


_COLUMNS = {  # field of Rows: column of the record
    "session": "session_id",
    "turn": "turn",
    "num_turns": "num_turns",
    "final": "is_final",
    "attempts": "attempts",
    "chunks": "chunks",
    "queued": "queued_s",
    "sent": "sent_s",
    "attempt_sent": "attempt_sent_s",
    "first_token": "first_token_s",
    "last_token": "last_token_s",
    "end": "end_s",
    "new_prompt": "new_prompt_tokens",
    "cached_prompt": "cached_prompt_tokens",
    "requested": "requested_completion_tokens",
    "usage_prompt": "usage_prompt_tokens",
    "usage_completion": "usage_completion_tokens",
    "usage_cached": "usage_cached_tokens",
    "max_gap": "max_gap_s",
    "loop_lag": "loop_lag_s",
}
_INTS = frozenset({"session", "turn", "num_turns", "attempts", "chunks"})
_TOKEN_INSTANTS = ("first_token", "last_token", "max_gap")


def load(table: pa.Table, *, stream: bool = True) -> Rows:
    """Rows out of a table of `trie.records.arrow_schema()`.

    Without `stream` the instants of tokens count as not measured, whatever the rows say of them.
    """
    columns: dict[str, npt.NDArray[Any]] = {name: _numpy(table, name) for name in _COLUMNS}
    columns |= {str(outcome): _equal(table, "outcome", outcome) for outcome in (Outcome.ok, Outcome.failed)}
    if not stream:
        columns |= {name: np.full(table.num_rows, np.nan) for name in _TOKEN_INSTANTS}
    order = np.lexsort((columns["turn"], columns["session"]))
    columns = {name: column[order] for name, column in columns.items()}
    session = columns["session"]
    starts = np.flatnonzero(np.diff(session, prepend=session[:1] - 1))
    lasts = np.append(starts[1:], len(session)) - 1 if len(starts) else starts
    assert columns.keys() | {"starts", "lasts"} == {item.name for item in fields(Rows)}
    return Rows(**columns, starts=starts, lasts=lasts)


def _numpy(table: pa.Table, name: str) -> npt.NDArray[Any]:
    column = table[_COLUMNS[name]]
    if name in _INTS or name == "final":
        return np.asarray(column.to_numpy())
    return np.asarray(column.cast("float64").to_numpy())


def _equal(table: pa.Table, column: str, value: str) -> Bools:
    import pyarrow.compute as pc  # noqa: PLC0415 - only where a table is at hand is pyarrow loaded already

    return np.asarray(pc.equal(table[column], str(value)).to_numpy(zero_copy_only=False), dtype=np.bool_)
