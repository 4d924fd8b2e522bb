"""Workers behind a router: counted by name, moves by hand, hit rates of both kinds of turns."""

from __future__ import annotations

import pytest
from helpers.manifests import manifest
from helpers.rows import row

from trie.metrics.cache import MOST, workers
from trie.metrics.columns import Columns
from trie.metrics.sections import Workers
from trie.metrics.summary import Summary, summarize
from trie.storage.parquet_parts import to_table
from trie.storage.record import Outcome, RequestRecord
from trie.storage.typed_json import encode


def served(rows: list[RequestRecord]) -> Workers | None:
    return workers(Columns(to_table(rows)))


def test_no_names_no_facts() -> None:
    assert served([row(0), row(1)]) is None
    assert served([]) is None


def test_two_workers_and_a_session_that_moved() -> None:
    """Session 0 stays on a; session 1 goes from a to b and back. Cached: 50 of 100 where it stays, 10 where not."""
    rows = [
        row(0, 0, turns=1, worker="a", usage_cached_tokens=0),
        row(0, 1, turns=1, worker="a", usage_cached_tokens=50),
        row(1, 0, turns=3, worker="a", usage_cached_tokens=0),
        row(1, 1, turns=3, worker="b", usage_cached_tokens=10),
        row(1, 2, turns=3, worker="b", usage_cached_tokens=50),
        row(1, 3, turns=3, worker="a", outcome=Outcome.failed, error_kind="reset"),
        row(2, 0, worker=None),
    ]
    assert encode(served(rows)) == {
        "count": 2,
        "requests": {"a": 3, "b": 2},
        "hit_rate_pct": {"a": pytest.approx(100 * 50 / 300), "b": pytest.approx(100 * 60 / 200)},
        "turns": 3,
        "moved_turns": 1,
        "moved_hit_rate_pct": pytest.approx(10.0),
        "stayed_hit_rate_pct": pytest.approx(50.0),
    }


def test_many_workers_are_counted_and_few_are_named() -> None:
    facts = served([row(number, worker=f"w{number:03}") for number in range(100)])
    assert facts is not None
    assert facts.count == 100
    assert list(facts.requests) == [f"w{number:03}" for number in range(MOST)]


def test_they_are_in_the_summary_and_survive_its_file() -> None:
    summary = summarize(to_table([row(0, worker="a")]), manifest())
    assert summary.facts["workers"]["requests"] == {"a": 1}
    assert Summary.from_json(summary.to_json()).facts["workers"] == summary.facts["workers"]
