"""How far the server's token counts are from what was accounted and asked for."""

from __future__ import annotations

import numpy as np

from trie.metrics.columns import Columns
from trie.metrics.definitions.metric import PERCENT, RUN, Metric, Ratio, Sums, sums

BY_LIMIT = frozenset({"length", "max_tokens", "max_output_tokens", "model_length"})  # finish reasons


def _prompt_drift(columns: Columns) -> Sums:
    prompt = columns["usage_prompt_tokens"]
    accounted = columns["new_prompt_tokens"] + columns["cached_prompt_tokens"]
    return sums(prompt - accounted, accounted, columns.outcome("ok") & ~np.isnan(prompt))


def _completion_short(columns: Columns) -> Sums:
    completion, requested = columns["usage_completion_tokens"], columns["requested_completion_tokens"]
    missing = np.maximum(requested - completion, 0.0)
    return sums(missing, requested, columns.outcome("ok") & ~np.isnan(completion))


def _completion_long(columns: Columns) -> Sums:
    completion, requested = columns["usage_completion_tokens"], columns["requested_completion_tokens"]
    beyond = np.maximum(completion - requested, 0.0)
    return sums(beyond, requested, columns.outcome("ok") & ~np.isnan(completion))


def _completion_unknown(columns: Columns) -> Sums:
    """Answers without usage are as long as asked only where the limit of tokens ended them, and as chunks show.

    A server that caps answers says `length` too: of a stream, tokens beyond its chunks may never have come.
    """
    index, reasons = columns.names("finish_reason")
    by_limit = np.array([*(reason in BY_LIMIT for reason in reasons), True])[index]  # the last: without a reason
    requested, uncounted = columns["requested_completion_tokens"], np.isnan(columns["usage_completion_tokens"])
    chunks = columns["chunks"]
    unseen = np.where(chunks > 0, np.maximum(requested - chunks, 0.0), 0.0)
    unknown = np.where(by_limit, unseen, requested)
    return sums(np.where(uncounted, unknown, 0.0), requested, columns.outcome("ok"))


LENGTH_METRICS = (
    Metric(
        section=RUN,
        key="drift.prompt_ratio",
        label="prompt drift",
        unit="ratio",
        shown=PERCENT,
        better=None,
        definition="usage prompt tokens / accounted prompt tokens - 1, over all requests that report usage",
        formula=Ratio(_prompt_drift),
    ),
    Metric(
        section=RUN,
        key="drift.template_ratio",
        label="template",
        unit="ratio",
        shown=PERCENT,
        better=None,
        definition=(
            "the part of the prompt drift that a chat's template makes, as measured before the run: tokens added to "
            "the first prompt, and by each further turn"
        ),
    ),
    Metric(
        section=RUN,
        key="drift.unexplained_ratio",
        label="unexplained drift",
        unit="ratio",
        shown=PERCENT,
        better=None,
        definition="the rest of the prompt drift, which the verdict judges",
    ),
    Metric(
        section=RUN,
        key="drift.completion_short_ratio",
        label="completions short",
        unit="ratio",
        shown=PERCENT,
        better="lower",
        definition="share of the requested completion tokens that did not come",
        formula=Ratio(_completion_short),
    ),
    Metric(
        section=RUN,
        key="drift.completion_long_ratio",
        label="completions long",
        unit="ratio",
        shown=PERCENT,
        better="lower",
        definition="completion tokens that came beyond those requested / completion tokens requested",
        formula=Ratio(_completion_long),
    ),
    Metric(
        section=RUN,
        key="drift.completion_unknown_ratio",
        label="completions of unknown length",
        unit="ratio",
        shown=PERCENT,
        better="lower",
        definition=(
            "share of the requested completion tokens of which nothing tells that they came: of answers without usage, "
            "all where the finish_reason is not the limit, else those beyond the chunks of a stream"
        ),
        formula=Ratio(_completion_unknown),
    ),
)
