"""Throughput: tokens that each completed request adds, per second of a window.

They are those of the trace's lengths, as the reference counts them; of an answer that is shorter, those that came.
"""

from __future__ import annotations

import numpy as np

from trie.metrics.columns import Columns, Floats
from trie.metrics.definitions.metric import WORKLOAD, Headline, Metric, Values


def _completion_tokens(columns: Columns) -> Floats:
    """As asked for, or what came where that is less; usage above what was asked for is not counted."""
    return np.fmin(columns["requested_completion_tokens"], columns["usage_completion_tokens"])


WORKLOAD_METRICS = (
    Metric(
        section=WORKLOAD,
        key="total_prompt_tok_s",
        label="total prompt",
        unit="tok/s",
        better="higher",
        definition="new and cached prompt tokens of completed requests per second, by the trace's own accounting",
        formula=Values(lambda columns: columns["new_prompt_tokens"] + columns["cached_prompt_tokens"]),
        reference=True,
    ),
    Metric(
        section=WORKLOAD,
        key="cached_prompt_tok_s",
        label="cached prompt",
        unit="tok/s",
        better=None,
        definition=(
            "the part of them that earlier requests of the trace had sent or received: expected by the trace's "
            "accounting, not hits that were measured"
        ),
        formula=Values(lambda columns: columns["cached_prompt_tokens"]),
        reference=True,
        expected=True,
    ),
    Metric(
        section=WORKLOAD,
        key="uncached_prompt_tok_s",
        label="uncached prompt",
        unit="tok/s",
        better=None,
        definition=(
            "the rest, input prompts and tool outputs: expected by the trace's accounting, not misses that were "
            "measured"
        ),
        formula=Values(lambda columns: columns["new_prompt_tokens"]),
        reference=True,
        expected=True,
    ),
    Metric(
        section=WORKLOAD,
        key="completion_tok_s",
        label="completion",
        unit="tok/s",
        better="higher",
        definition=(
            "completion tokens of completed requests per second: by the lengths of the trace, and where an answer is "
            "shorter by usage; the reference counts what was asked for there too"
        ),
        formula=Values(_completion_tokens),
        reference=True,
        headline=Headline(
            first=("steady_state_per_gpu", "steady_state"),
            place=1,
            name="Completion throughput",
            sweep=("steady_state", "steady_state_per_gpu"),
            compare=("steady_state", "steady_state_per_gpu"),
        ),
    ),
)
