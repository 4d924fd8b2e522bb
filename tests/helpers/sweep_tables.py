"""Rows of a sweep as its report has them, of which a test says only what it is about."""

from __future__ import annotations

from typing import Any

from trie.sweep.table import FACTS, Row, columns

THROUGHPUT = "completion_tok_s_steady_state"


def row(concurrency: int, throughput: float | None = None, **given: Any) -> Row:
    """A cell that is done; `throughput` is its steady completion tok/s."""
    names = [*FACTS, *columns()]
    found: Row = dict.fromkeys(names)
    facts = {"cell": f"w-c{concurrency}", "workload": "w", "variant": "", "status": "done", "why": "", "valid": True}
    found.update(facts, concurrency=concurrency, repeat=1, warnings=0, model="m")
    found[THROUGHPUT] = throughput
    return {**found, **given}
