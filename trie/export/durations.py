"""The requests of a run with the durations that other tools state, as columns; NaN where nothing was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trie.metrics.columns import Bools, Columns, Floats
from trie.metrics.evaluate_run import EvaluatedRun
from trie.metrics.values import per_request


@dataclass(frozen=True, slots=True)
class Requests:
    """Columns in the order of sessions and turns; durations in seconds, of requests that ended well."""

    columns: Columns
    durations: Mapping[str, Floats]  # by key of the metrics of requests
    input_tokens: Floats  # as the server counts them, else by the accounting
    output_tokens: Floats  # as the server counts them, else as asked for


def requests_of(run: EvaluatedRun) -> Requests:
    """A run's requests."""
    columns = run.columns
    values = per_request(columns, stream=run.manifest.settings.stream)
    ok = columns.outcome("ok")
    prompt = columns["usage_prompt_tokens"]
    accounted = columns["new_prompt_tokens"] + columns["cached_prompt_tokens"]
    return Requests(
        columns,
        {key: _of_all(of_ok, ok) for key, of_ok in values.items()},
        np.where(np.isnan(prompt), accounted, prompt),
        columns.completion_tokens,
    )


def _of_all(values: Floats, ok: Bools) -> Floats:
    """Values of the requests that ended well, with a NaN for each of the others."""
    of_all = np.full(len(ok), np.nan)
    of_all[ok] = values
    return of_all


def plain(values: Floats, digits: int = 9) -> list[float | None]:
    """JSON numbers; None for NaN."""
    return [round(value, digits) if value == value else None for value in values.tolist()]  # noqa: PLR0124 - NaN
