"""Whether the client itself was the limit, and what it could see."""

from __future__ import annotations

import numpy as np

from trie.metrics.columns import Columns
from trie.metrics.definitions.metric import MS, PERCENT, RUN, Metric, Ratio, Sums, sums

SUSPECT_LAG_S = 0.005  # lateness of the event loop above which a request's times are suspect


def _one_read(columns: Columns) -> Sums:
    several = columns.outcome("ok") & (columns["chunks"] > 1)
    at_once = (columns["last_token_s"] == columns["first_token_s"]).astype(np.float64)
    return sums(at_once, np.ones(len(columns)), several)


def _suspect(columns: Columns) -> Sums:
    late = columns["loop_lag_s"] > SUSPECT_LAG_S
    return sums(late.astype(np.float64), np.ones(len(columns)), np.ones(len(columns), dtype=np.bool_))


CLIENT_METRICS = (
    Metric(
        section=RUN,
        key="one_read_share",
        label="answers in one read",
        unit="ratio",
        shown=PERCENT,
        better="lower",
        definition=(
            "share of the answers of several chunks whose chunks all came in one read of the socket: nothing was "
            "seen of the time between their tokens"
        ),
        formula=Ratio(_one_read, streaming=True),
    ),
    Metric(
        section=RUN,
        key="client.cpu_share",
        label="client CPU",
        unit="ratio",
        shown=PERCENT,
        better="lower",
        definition="CPU seconds of the client / wall time",
    ),
    Metric(
        section=RUN,
        key="client.loop_lag_p99_s",
        label="client loop lag p99",
        unit="s",
        shown=MS,
        better="lower",
        definition="lateness of the client's own event loop, sampled every 2 ms",
    ),
    Metric(
        section=RUN,
        key="client.suspect_share",
        label="suspect requests",
        unit="ratio",
        shown=PERCENT,
        better="lower",
        definition="share of requests during which the loop was late by more than 5 ms",
        formula=Ratio(_suspect),
    ),
)
