"""What the requests of a run took, fitted on what they were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trie.metrics.certainty.blocks import Blocks
from trie.metrics.certainty.population import FEATURES, Population, features
from trie.metrics.certainty.regression import BlockSums, Fit
from trie.metrics.columns import Bools, Columns, Floats

GUARD = 0.995  # the quantile of durations by which the last requests that count are sent before the end
LEAST_REQUESTS = 50
BETTER = 0.99  # of the error of fewer features, below which more of them are taken
BASE = ("requests", "completion_tokens", "new_prompt_tokens", "context_tokens")
CHOICES: tuple[tuple[str, ...], ...] = (
    BASE,
    (*BASE, "context_x_completion"),
    (*BASE, "first"),
    (*BASE, "context_x_completion", "first"),
)
OF_FIRST = ("requests", "new_prompt_tokens")
OF_LATER = ("requests", "new_prompt_tokens", "context_tokens")


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests that ended well, chosen by when they were sent and never by how they ended."""

    x: Floats  # features
    took_s: Floats  # from when it was due to its end
    ttft_s: Floats  # NaN without streaming
    sent_s: Floats
    session: Floats
    trace: Floats

    def __len__(self) -> int:
        return len(self.took_s)

    @property
    def first(self) -> Bools:
        """The first requests of their traces."""
        return self.x[:, FEATURES.index("first")] > 0


def guard_s(columns: Columns) -> float:
    """How long before the end the last request that counts is sent: long ones would be cut off more often."""
    took = (columns["end_s"] - columns["sent_s"])[columns.outcome("ok")]
    took = took[np.isfinite(took)]
    return float(np.quantile(took, GUARD)) if len(took) else 0.0


def requests_between(columns: Columns, since: float, until: float) -> Requests:
    """The requests that were sent in a window."""
    sent = columns["sent_s"]
    counted = columns.outcome("ok") & (sent >= since) & (sent <= until) & np.isfinite(columns["end_s"])
    at = np.flatnonzero(counted)

    def of(name: str) -> Floats:
        return columns[name][at]

    x = features(of("requested_completion_tokens"), of("new_prompt_tokens"), of("cached_prompt_tokens"), of("turn"))
    return Requests(
        x=x,
        took_s=of("end_s") - of("queued_s"),
        ttft_s=of("first_token_s") - of("queued_s"),
        sent_s=of("sent_s"),
        session=of("session_id"),
        trace=of("trace_id"),
    )


def mean_trace_s(requests: Requests, population: Population) -> float:
    """How long a trace of the workload takes on average."""
    once = np.zeros(len(requests), np.intp)
    fit = BlockSums.of(requests.x, requests.took_s, once, 1).fit(_columns(BASE))
    return float(population.wait_s.mean() + population.whole.mean(0) @ fit.coefficients)


@dataclass(frozen=True, slots=True)
class Model:
    """How long requests take, and their first tokens; the residuals of what it was fitted to."""

    chosen: tuple[str, ...]
    took: Fit
    first_ttft: Fit | None  # None without streaming
    later_ttft: Fit | None
    requests: Requests
    block: NDArray[np.intp]
    blocks: int
    per_request: Floats  # coefficients of the squared residual, by feature
    per_session: float  # variance that all requests of a session share

    def residuals(self) -> Floats:
        """What each request took beyond the fit."""
        return self.requests.took_s - self.requests.x @ self.took.coefficients


def fit(requests: Requests, blocks: Blocks, *, stream: bool) -> Model:
    """Choose the features by how well blocks predict the ones left out, and fit them."""
    block = blocks.of(requests.sent_s)
    sums = BlockSums.of(requests.x, requests.took_s, block, blocks.count)
    fits: Mapping[tuple[str, ...], Fit] = {names: sums.fit(_columns(names)) for names in CHOICES}
    chosen: tuple[str, ...] = CHOICES[0]
    for names in CHOICES[1:]:
        if fits[names].left_out_error < BETTER * fits[chosen].left_out_error:
            chosen = names
    residuals = requests.took_s - requests.x @ fits[chosen].coefficients
    squares = BlockSums.of(requests.x, residuals**2, block, blocks.count).fit(_columns(BASE))
    first = requests.first
    return Model(
        chosen=chosen,
        took=fits[chosen],
        first_ttft=_ttft(requests, first, block, blocks.count, OF_FIRST) if stream else None,
        later_ttft=_ttft(requests, ~first, block, blocks.count, OF_LATER) if stream else None,
        requests=requests,
        block=block,
        blocks=blocks.count,
        per_request=squares.coefficients,
        per_session=_shared_variance(requests, residuals, squares.coefficients),
    )


def _ttft(requests: Requests, rows: Bools, block: NDArray[np.intp], blocks: int, names: tuple[str, ...]) -> Fit | None:
    """None where too few requests have a first token, or a block has none of them."""
    rows = rows & np.isfinite(requests.ttft_s)
    sums = BlockSums.of(requests.x[rows], requests.ttft_s[rows], block[rows], blocks)
    return sums.fit(_columns(names)) if sums.rows.sum() > 2 * len(names) else None


def _columns(names: tuple[str, ...]) -> list[int]:
    return [FEATURES.index(name) for name in names]


def _shared_variance(requests: Requests, residuals: Floats, per_request: Floats) -> float:
    """By moments: the square of a session's sum of residuals is that of its requests, and n squared times the rest."""
    _, session = np.unique(requests.session, return_inverse=True)
    sums = np.bincount(session, residuals)
    counts = np.bincount(session).astype(np.float64)
    own = np.bincount(session, np.maximum(requests.x @ per_request, 0.0))
    return max(float((sums**2 - own).sum() / (counts**2).sum()), 0.0)
