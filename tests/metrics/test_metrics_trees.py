"""Numbers of traces with sub-agents, shared prefixes and resets, worked by hand."""

from __future__ import annotations

import numpy as np
from helpers.manifests import manifest
from helpers.rows import row

from trie.metrics.columns import Columns
from trie.metrics.series import phases
from trie.metrics.summary import Summary, summarize
from trie.metrics.traces import ceiling_tokens, eligible_tokens, traces
from trie.storage.parquet_parts import to_table
from trie.storage.record import Outcome, RequestRecord

AGENT = 1_000_000_000


def summary_of(*rows: RequestRecord) -> Summary:
    return summarize(to_table(rows), manifest(end={"wall_time_s": 20.0}))


# Two traces of two requests; between those of the first, its sub-agent makes one or two.
ROOT = [row(0, 0, 1, sent=1.0), row(0, 1, 1, sent=10.0, usage_cached_tokens=64)]
CHILD = [
    row(AGENT, 0, 1, sent=2.5, parent_session_id=0, depth=1),
    row(AGENT, 1, 1, sent=6.0, parent_session_id=0, depth=1, usage_cached_tokens=32),
]
OTHER = [row(1, 0, 1, sent=0.0), row(1, 1, 1, sent=3.0)]


def test_metrics_of_traces_are_those_of_the_traces_themselves() -> None:
    """The first trace lasts from 1 to 11.5 s; of its two prompts of 100 tokens 64 are cached."""
    summary = summary_of(*ROOT, *CHILD, *OTHER)
    assert summary.traces == {"completed": 2, "failed": 0, "cancelled": 0}
    assert summary.requests["ok"] == 6
    latency, rate = summary.per_trace["latency_s"], summary.per_trace["cache_hit_rate_pct"]
    assert latency is not None
    assert rate is not None
    assert (latency.n, latency.max, latency.min) == (2, 10.5, 4.5)
    assert (rate.max, rate.min) == (32.0, 0.0)
    assert summary.cache.hit_rate_pct == 100 * 96 / 600
    ttft = summary.per_request["ttft_s"]
    assert ttft is not None
    assert ttft.n == 6
    assert summary.concurrency.active_traces == (10.5 + 4.5) / 20


def test_a_trace_fails_with_its_sub_agent() -> None:
    failed = row(AGENT, 0, 1, sent=2.5, parent_session_id=0, depth=1, outcome=Outcome.failed, error_kind="timeout")
    columns = Columns(to_table([ROOT[0], failed, *OTHER]))
    found = traces(columns)
    assert (found.failed.tolist(), found.completed.tolist()) == ([True, False], [False, True])
    assert found.last_s.tolist() == [4.0, 4.5]
    assert columns.trace_of.tolist() == [0, 1, 1, 0]
    assert columns.with_subagents(np.ones(4)).tolist() == [2.0, 2.0]
    assert np.isnan(phases(columns, found, wall_time_s=20.0).tool_wait[1]).tolist() == [True, False, True, True]


def test_eligible_are_a_prefix_that_was_sent_before_and_what_a_reset_leaves() -> None:
    """48 tokens of the first prompt had been sent; of 111 tokens a reset leaves 64, all of which have their KV."""
    columns = Columns(
        to_table(
            [
                row(0, 0, 2, cached_prompt_tokens=48, shared_prefix_tokens=48, usage_cached_tokens=48),
                row(0, 1, 2, sent=2.0, lost_context_tokens=47, usage_cached_tokens=64),
                row(0, 2, 2, sent=4.0, usage_cached_tokens=96),
            ]
        )
    )
    assert eligible_tokens(columns).tolist() == [48, 64, 111]
    assert ceiling_tokens(columns).tolist() == [48, 64, 96]


def test_hits_on_first_requests_count_as_warm_only_where_no_prefix_is_shared() -> None:
    """The first sender of a prefix may find it where another one was served before it."""
    shared = {"shared_prefix_tokens": 48}
    cache = summary_of(
        row(0, 0, 0, **shared, usage_cached_tokens=32),
        row(1, 0, 0, **shared, cached_prompt_tokens=48, new_prompt_tokens=52, usage_cached_tokens=48),
        row(2, 0, 0, **shared, cached_prompt_tokens=48, new_prompt_tokens=52, usage_cached_tokens=0),
        row(3, 0, 0),
    ).cache
    assert cache.turn0_hit_share == 0.0
    assert cache.shared_prefix_hit_rate_pct == 100 * 48 / 96
