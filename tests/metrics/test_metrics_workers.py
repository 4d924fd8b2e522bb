"""Workers behind a router: counted by name, moves by hand, hit rates of both kinds of turns."""

from __future__ import annotations

from typing import Any

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


HIT: dict[str, Any] = {"worker": "a", "usage_cached_tokens": 50}
UNSAID: dict[str, Any] = {"usage_cached_tokens": None}
NO_USAGE: dict[str, Any] = {"usage_prompt_tokens": None, "usage_completion_tokens": None, "usage_cached_tokens": None}


@pytest.mark.parametrize(
    ("others", "measured", "left_out", "level"),
    [
        ([row(20, worker="a", **UNSAID)], 21, 0, None),  # a leaves a zero out
        ([row(20, worker="b", **UNSAID)], 20, 1, "warning"),  # b never reports any
        ([row(20, **UNSAID)], 20, 1, "warning"),  # who served it is not known
        ([row(20 + i, worker="b", **UNSAID) for i in range(21)], 20, 21, "error"),
        ([row(20, worker="b", **UNSAID), row(21, worker="b", usage_cached_tokens=9)], 22, 0, None),
        ([row(20, 0, 1, **HIT), row(20, 1, 1, worker="a", **NO_USAGE)], 20, 1, "warning"),
        ([row(20, worker="a", outcome=Outcome.failed, error_kind="reset", **NO_USAGE)], 20, 0, None),
    ],
)
def test_a_zero_is_left_out_by_workers_that_report_and_what_is_dropped_is_said(
    others: list[RequestRecord], measured: int, left_out: int, level: str | None
) -> None:
    """Twenty traces that hit 50 of 100 tokens on a, and others."""
    summary = summarize(to_table([*(row(i, **HIT) for i in range(20)), *others]), manifest())
    cache = summary.cache
    assert (cache.traces_measured, cache.traces_left_out) == (measured, left_out)
    (complete,) = [check for check in summary.verdict if check.id == "cache_figures_complete"]
    assert (complete.ok, None if complete.ok else complete.level) == (level is None, level)
    assert f"{left_out} of {measured + left_out} completed traces" in complete.found
    silent = any(request.worker == "b" and request.usage_cached_tokens is None for request in others) and left_out
    assert ("as all that b served" in complete.found) is bool(silent)


def test_a_worker_that_never_reports_hits_is_no_worker_without_hits() -> None:
    """Half of the requests hit half of their prompts; nothing is known of the others."""
    rows = [row(0, **HIT), row(1, worker="b", **UNSAID)]
    summary = summarize(to_table(rows), manifest())
    assert summary.cache.hit_rate_pct == pytest.approx(50.0)
    assert (summary.cache.requests_with_cached_tokens, summary.cache.omitted_zero_requests) == (1, 0)
    assert summary.facts["workers"]["hit_rate_pct"] == {"a": pytest.approx(50.0), "b": None}
