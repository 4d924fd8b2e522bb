"""Metrics with one value for each trace; those that did not complete are left out of the statistics."""

from __future__ import annotations

from trie.metrics.columns import Columns, Floats
from trie.metrics.decode_speed import decode_speeds
from trie.metrics.definitions.metric import PER_TRACE, Headline, Metric, Values
from trie.metrics.traces import eligible_tokens, percent


def _latency_s(columns: Columns) -> Floats:
    return columns["end_s"][columns.ends] - columns.due_or_sent


def _ttft_s(columns: Columns) -> Floats:
    return columns["first_token_s"][columns.starts] - columns.due_or_sent


def _ttfat_s(columns: Columns) -> Floats:
    return columns["first_token_s"][columns.ends] - columns.due_or_sent


def _cache_hit_rate_pct(columns: Columns) -> Floats:
    return percent(columns.per_session(columns.cached_tokens), columns.per_session(columns["usage_prompt_tokens"]))


def _eligible_cache_hit_rate_pct(columns: Columns) -> Floats:
    return percent(columns.per_session(columns.cached_tokens), columns.per_session(eligible_tokens(columns)))


TRACE_METRICS = (
    Metric(
        section=PER_TRACE,
        key="latency_s",
        label="Latency",
        unit="s",
        better="lower",
        definition=(
            "from the first request's send (of an open load: from when the trace was due) to the end of the final "
            "response, tool waits included"
        ),
        formula=Values(_latency_s),
        reference=True,
        headline=Headline(
            first=("p50",),
            place=4,
            name="Trace latency p50",
            sweep=("p90",),
            compare=("p50",),
            curve=True,
        ),
        with_cut_off="censoring.latency_km_{part}_s",
    ),
    Metric(
        section=PER_TRACE,
        key="ttft_s",
        label="TTFT",
        unit="s",
        better="lower",
        definition=(
            "first request: from its send (of an open load: from when the trace was due) to its first token; streaming "
            "only"
        ),
        formula=Values(_ttft_s, streaming=True),
        reference=True,
        headline=Headline(sweep=("p90",), compare=("p50", "p99"), curve=True),
        with_cut_off="censoring.ttft_km_{part}_s",
    ),
    Metric(
        section=PER_TRACE,
        key="ttfat_s",
        label="TTFAT",
        unit="s",
        better="lower",
        definition=(
            "from the first request's send (of an open load: from when the trace was due) to the first token of the "
            "final request; streaming only"
        ),
        formula=Values(_ttfat_s, streaming=True),
        reference=True,
        headline=Headline(sweep=("p50",), compare=("p50",)),
        with_cut_off="censoring.ttfat_km_{part}_s",
    ),
    Metric(
        section=PER_TRACE,
        key="decode_tps",
        label="Decode TPS",
        unit="tok/s",
        better="higher",
        definition=(
            "mean over the trace's requests of (completion tokens - 1) / (end - first token); 0 for a request of one "
            "token; of what was seen where that differs by more than 10 %, see below; streaming only"
        ),
        formula=Values(lambda columns: decode_speeds(columns).per_session(columns), streaming=True),
        reference=True,
        headline=Headline(sweep=("p50",), compare=("mean",), curve=True),
    ),
    Metric(
        section=PER_TRACE,
        key="cache_hit_rate_pct",
        label="Cache hit rate",
        unit="%",
        better="higher",
        definition="100 x sum of cached tokens / sum of prompt tokens, both as the server reports them",
        formula=Values(_cache_hit_rate_pct),
        reference=True,
        headline=Headline(sweep=("mean",)),
    ),
    Metric(
        section=PER_TRACE,
        key="eligible_cache_hit_rate_pct",
        label="Eligible cache hit rate",
        unit="%",
        better="higher",
        definition=(
            "100 x sum of cached tokens / sum of eligible tokens; eligible are, from the second request on, the prompt "
            "and completion tokens of the request before, less those that a reset of the context or reasoning that "
            "does not go back has changed; of the first, those of a shared prefix that an earlier request had sent"
        ),
        formula=Values(_eligible_cache_hit_rate_pct),
        reference=True,
        headline=Headline(
            first=("mean",),
            place=5,
            name="Cache hits of eligible",
            compare=("mean",),
        ),
    ),
)
