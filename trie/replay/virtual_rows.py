"""The rows of a run in virtual time, whose instants are those since the run began; a warm-up comes before that."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from trie.config import RunConfig
from trie.storage.record import RequestRecord
from trie.workload.arrivals import ramp_step

ROWS_AT_ONCE = 20_000  # that are written as one part


class VirtualRows:
    """Takes rows with the model's instants, and writes them with those of the run.

    Args:
        write: takes rows, in the order in which their requests ended.
        config: of the run, which begins only when `measure` says so where the start is stationary.
    """

    def __init__(self, write: Callable[[list[RequestRecord]], None], config: RunConfig) -> None:
        # When the run did; None while it warms up.
        self.began: float | None = None if config.warms_up else 0.0
        self._step_of = partial(ramp_step, config.load, config.duration) if config.load.shape == "ramp" else None
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
        if self._step_of is not None:
            row.load_step = self._step_of(row.queued_s)
