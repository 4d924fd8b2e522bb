"""Metrics with one value for each request that ended well."""

from __future__ import annotations

from trie.metrics.columns import Columns, Floats
from trie.metrics.decode_speed import decode_speeds
from trie.metrics.definitions.metric import MS, PER_REQUEST, Headline, Metric, Values


def _ttft_s(columns: Columns) -> Floats:
    return columns["first_token_s"] - columns["sent_s"]


def _latency_s(columns: Columns) -> Floats:
    return columns["end_s"] - columns["sent_s"]


def _client_s(columns: Columns) -> Floats:
    return columns["sent_s"] - columns["queued_s"]


REQUEST_METRICS = (
    Metric(
        section=PER_REQUEST,
        key="ttft_s",
        label="Request TTFT",
        unit="s",
        shown=MS,
        better="lower",
        definition="from a request's send to its first token",
        formula=Values(_ttft_s, streaming=True),
        headline=Headline(first=("p50",), place=2),
        with_cut_off="censoring.request_ttft_km_{part}_s",
    ),
    Metric(
        section=PER_REQUEST,
        key="tpot_s",
        label="TPOT",
        unit="s",
        shown=MS,
        better="lower",
        definition=(
            "(last token - first token) / (completion tokens that were sent - tokens of the first chunk, 1 where a "
            "row has none); requests whose tokens were seen as they came"
        ),
        formula=Values(lambda columns: decode_speeds(columns).tpot_s, streaming=True),
        headline=Headline(first=("p50",), place=3, curve=True),
    ),
    Metric(
        section=PER_REQUEST,
        key="latency_s",
        label="Request latency",
        unit="s",
        shown=MS,
        better="lower",
        definition="from a request's send to its end",
        formula=Values(_latency_s),
        with_cut_off="censoring.request_latency_km_{part}_s",
    ),
    Metric(
        section=PER_REQUEST,
        key="max_gap_s",
        label="Longest gap",
        unit="s",
        shown=MS,
        better="lower",
        definition="longest time between two reads of the socket that brought tokens",
        formula=Values(lambda columns: columns["max_gap_s"], streaming=True),
    ),
    Metric(
        section=PER_REQUEST,
        key="client_s",
        label="Client delay",
        unit="s",
        shown=MS,
        better="lower",
        definition=(
            "from when a request was due to sent_s, the start of its first attempt: connection, body, the client's own "
            "lateness; a connection that failed counts as waiting for the server"
        ),
        formula=Values(_client_s),
    ),
)
