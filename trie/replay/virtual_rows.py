"""The rows of a run in virtual time, whose instants are those since the run began; a warm-up comes before that."""

from __future__ import annotations

from collections.abc import Callable

from trie.storage.record import RequestRecord

ROWS_AT_ONCE = 20_000  # that are written as one part


class VirtualRows:
    """Takes rows with the model's instants, and writes them with those of the run.

    Args:
        write: takes rows, in the order in which their requests ended.
        warms_up: whether the run begins only when `measure` says so.
    """

    def __init__(self, write: Callable[[list[RequestRecord]], None], *, warms_up: bool) -> None:
        self.began: float | None = None if warms_up else 0.0  # when the run did; None while it warms up
        self._write = write
        self._rows: list[RequestRecord] = []

    def measure(self, now: float) -> None:
        """The warm-up is over, and the run begins."""
        self.began = now
        for row in self._rows:
            self._date(row)

    def add(self, row: RequestRecord) -> None:
        self._rows.append(row)
        if self.began is None:
            return
        self._date(row)
        if len(self._rows) >= ROWS_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what is left."""
        self._write(self._rows)
        self._rows = []

    def _date(self, row: RequestRecord) -> None:
        if self.began:
            row.shift(-self.began)
            row.warm_up = row.queued_s < 0
