"""Looks at a run in virtual time, out of the rows that it has written."""

from __future__ import annotations

from trie.metrics.certainty.population import Population
from trie.metrics.columns import Columns
from trie.metrics.stop_rule import Look, certainty_of, facts_of, look
from trie.preflight.steps import Prepared
from trie.storage.parquet_parts import to_table
from trie.storage.record import RequestRecord


class VirtualLooks:
    """Keeps the rows of a run, and says how sure its metrics are."""

    def __init__(self, ready: Prepared, expression: str) -> None:
        import pyarrow as pa

        self.last: Look | None = None
        self._expression = expression
        self._config = ready.config
        self._population = Population.of(ready.workload.traces)
        self._rows: pa.Table = to_table([])

    def add(self, rows: list[RequestRecord]) -> None:
        """Take rows that have been written."""
        import pyarrow as pa

        self._rows = pa.concat_tables([self._rows, to_table(rows)])

    def look(self, now_s: float) -> Look:
        """How sure the metrics of the run are, which has gone on for `now_s` seconds."""
        config = self._config
        so_far = certainty_of(Columns(self._rows.combine_chunks()), self._population, now_s, facts_of(config))
        self.last = look(self._expression, so_far, now_s)
        return self.last

    @property
    def line(self) -> str | None:
        """What the last look said, for people."""
        return None if self.last is None else self.last.line(self._config.duration)
