"""Cache hits over all requests that report them, and what a perfect cache would reach."""

from __future__ import annotations

import numpy as np

from trie.metrics.columns import Bools, Columns
from trie.metrics.definitions.metric import PERCENT, RUN, Metric, Ratio, RunRows, Single, Sums, sums
from trie.metrics.traces import ceiling_tokens, eligible_tokens

BLOCK_TOKENS = 128  # the largest block that engines cache by: what a cache may miss at the end of a prefix


def reports_hits(columns: Columns) -> Bools:
    """Which requests ended well and report both cached and prompt tokens."""
    return columns.outcome("ok") & ~np.isnan(columns.cached_tokens) & ~np.isnan(columns["usage_prompt_tokens"])


def _hit_rate_pct(columns: Columns) -> Sums:
    return sums(100.0 * columns.cached_tokens, columns["usage_prompt_tokens"], reports_hits(columns))


def _eligible_ceiling_pct(columns: Columns) -> Sums:
    eligible = eligible_tokens(columns)
    return sums(100.0 * ceiling_tokens(columns), eligible, reports_hits(columns) & ~np.isnan(eligible))


def _lost_pct(columns: Columns) -> Sums:
    eligible = eligible_tokens(columns)
    answers = np.r_[0.0, columns.completion_tokens[:-1]] if len(columns) else columns.completion_tokens
    # The answer before may come back as other tokens than were sampled.
    lost = np.maximum(ceiling_tokens(columns) - columns.cached_tokens - answers - BLOCK_TOKENS, 0.0)
    return sums(100.0 * lost, eligible, reports_hits(columns) & ~np.isnan(eligible))


def _turn0_hits(columns: Columns) -> Sums:
    hit = (columns.cached_tokens > 0).astype(np.float64)
    own = (columns["turn"] == 0) & (columns["shared_prefix_tokens"] == 0)
    return sums(hit, np.ones(len(columns)), reports_hits(columns) & own)


def _shared_prefix_hits(columns: Columns) -> Sums:
    expected = np.minimum(columns["cached_prompt_tokens"], columns["shared_prefix_tokens"])
    hit = 100.0 * np.minimum(columns.cached_tokens, expected)
    shared = (columns["turn"] == 0) & (columns["shared_prefix_tokens"] > 0)
    return sums(hit, expected, reports_hits(columns) & shared)


def _impossible_requests(run: RunRows) -> int:
    return run.columns.summed(
        lambda block: int((reports_hits(block) & (block.cached_tokens > block["usage_prompt_tokens"])).sum())
    )


CACHE_METRICS = (
    Metric(
        section=RUN,
        key="cache.hit_rate_pct",
        label="token-weighted hit rate",
        unit="%",
        better="higher",
        definition="100 x cached / prompt tokens over all requests that report them",
        formula=Ratio(_hit_rate_pct),
    ),
    Metric(
        section=RUN,
        key="cache.eligible_ceiling_pct",
        label="eligible ceiling",
        unit="%",
        better=None,
        definition=(
            "what a perfect cache could reach on these traces: the last sampled token's KV is missing, and only "
            "whole blocks of 16 tokens hit"
        ),
        formula=Ratio(_eligible_ceiling_pct),
    ),
    Metric(
        section=RUN,
        key="cache.lost_pct",
        label="lost from the cache",
        unit="%",
        better="lower",
        definition=(
            "100 x tokens of the eligible ceiling that did not hit, beyond the answer before and a block of 128 "
            "tokens in each request, / eligible tokens: what eviction and other workers cost"
        ),
        formula=Ratio(_lost_pct),
    ),
    Metric(
        section=RUN,
        key="cache.impossible_requests",
        label="impossible cache figures",
        unit="requests",
        better="lower",
        definition="requests whose usage states more cached tokens than prompt tokens",
        formula=Single(_impossible_requests),
    ),
    Metric(
        section=RUN,
        key="cache.turn0_hit_share",
        label="turn-0 hits",
        unit="ratio",
        shown=PERCENT,
        better="lower",
        definition=(
            "share of the first requests with cached tokens, of those that share no prefix by their traces: a warm "
            "cache, or a text that all requests begin with"
        ),
        formula=Ratio(_turn0_hits),
    ),
    Metric(
        section=RUN,
        key="cache.shared_prefix_hit_rate_pct",
        label="hits on shared prefixes",
        unit="%",
        better="higher",
        definition=(
            "100 x cached tokens of the first requests of sessions that share a prefix / the tokens of these prefixes "
            "that an earlier request had sent; expected, and a part of both hit rates"
        ),
        formula=Ratio(_shared_prefix_hits),
    ),
)
