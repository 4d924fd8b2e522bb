"""docs/metrics.md is what the declarations say, and the declarations cover what a summary holds."""

from __future__ import annotations

from pathlib import Path

from metrics_builders import manifest, row

from trie.metrics import declarations
from trie.metrics.document import page
from trie.metrics.summary import summarize
from trie.records import to_table

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m trie.metrics.document > docs/metrics.md"


def test_every_number_of_a_summary_is_declared():
    found = summarize(to_table([row()]), manifest()).to_json()
    for key, metrics in {
        "per_trace": declarations.PER_TRACE,
        "per_request": declarations.PER_REQUEST,
        "workload": declarations.WORKLOAD,
    }.items():
        assert list(found[key]) == [metric.key for metric in metrics]
    assert set(found["workload"]["completion_tok_s"]) == set(declarations.WINDOWS)
    assert set(found["per_trace"]["latency_s"]) == set(declarations.STATISTICS)


def test_every_declared_number_is_in_a_summary():
    found = summarize(to_table([row()]), manifest()).to_json()
    for metric in declarations.RUN:
        head, _, rest = metric.key.partition(".")
        assert head in found, metric.key
        if rest:
            assert any(key.startswith(rest.removesuffix("_s")) for key in found[head]), metric.key
