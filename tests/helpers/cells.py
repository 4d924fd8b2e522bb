"""Cells of a sweep, as rows of its table, of which a test says only what it is about."""

from __future__ import annotations

from typing import Any

from trie.sweep.table import FACTS, Row, columns

THROUGHPUT = "completion_tok_s_steady_state"


def cell(concurrency: int, throughput: float | None = None, **fields: Any) -> Row:
    """A cell that is done; `throughput` is its steady completion tok/s."""
    done: Row = {
        "cell": f"w-c{concurrency}",
        "workload": "w",
        "variant": "",
        "status": "done",
        "why": "",
        "valid": True,
        "concurrency": concurrency,
        "repeat": 1,
        "warnings": 0,
        "model": "m",
        THROUGHPUT: throughput,
    }
    return {**dict.fromkeys([*FACTS, *columns()]), **done, **fields}
