"""Looks at a run in virtual time, out of the rows that it has written."""

from __future__ import annotations

from trie.config.stop_when import SLO
from trie.metrics.certainty.population import Population
from trie.metrics.certainty.section import Certainty
from trie.metrics.columns import Columns
from trie.metrics.slo.expression import parse_all
from trie.metrics.slo.of_run import run_of
from trie.metrics.slo.stop import SloLook, slo_look
from trie.metrics.stop_rule import Look, certainty_of, facts_of, look
from trie.preflight.steps import Prepared
from trie.storage.parquet_parts import to_table
from trie.storage.record import RequestRecord


class VirtualLooks:
    """Keeps the rows of a run, and says how sure its metrics are."""

    def __init__(self, ready: Prepared, expression: str) -> None:
        import pyarrow as pa

        self.last: Look | SloLook | None = None
        self._expression = expression
        self._config = ready.config
        self._population = Population.of(ready.workload.traces)
        self._rows: pa.Table = to_table([])

    def add(self, rows: list[RequestRecord]) -> None:
        """Take rows that have been written."""
        import pyarrow as pa

        self._rows = pa.concat_tables([self._rows, to_table(rows)])

    def look(self, now_s: float) -> Look | SloLook:
        """How sure the metrics or the objectives of the run are, which has gone on for `now_s` seconds."""
        self.last = self._of_objectives(now_s) if self._expression.strip() == SLO else self.of_targets(now_s)
        return self.last

    @property
    def line(self) -> str | None:
        """What the last look said, for people."""
        return None if self.last is None else self.last.line(self._config.duration)

    def of_targets(self, now_s: float) -> Look:
        """How sure the metrics are."""
        return look(self._expression, self._certainty(self._columns(), now_s), now_s)

    def _of_objectives(self, now_s: float) -> SloLook:
        columns = self._columns()
        facts = run_of(columns, self._certainty(columns, now_s), now_s, stream=self._config.stream)
        return slo_look(facts, parse_all(self._config.slo), now_s)

    def _columns(self) -> Columns:
        return Columns(self._rows.combine_chunks())

    def _certainty(self, columns: Columns, now_s: float) -> Certainty:
        return certainty_of(columns, self._population, now_s, facts_of(self._config))
