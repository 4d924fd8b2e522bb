"""What the requests of a run took, fitted on what they were."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from trie.metrics.certainty.blocks import Blocks
from trie.metrics.certainty.population import FEATURES, Population, features
from trie.metrics.certainty.regression import BlockSums, Fit
from trie.metrics.columns import Bools, Columns, Floats

Result = TypeVar("Result")

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
class RequestsPart:
    """Those of some whole sessions."""

    x: Floats  # features
    took_s: Floats  # from when it was due to its end
    ttft_s: Floats  # NaN without streaming
    sent_s: Floats
    session: Floats

    def __len__(self) -> int:
        return len(self.took_s)

    @property
    def first(self) -> Bools:
        """The first requests of their traces."""
        return self.x[:, FEATURES.index("first")] > 0


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests that ended well, chosen by when they were sent and never by how they ended."""

    columns: Columns
    since: float
    until: float
    count: int
    sent_s: tuple[float, float]  # the first and the last

    def __len__(self) -> int:
        return self.count

    def of_parts(self, formula: Callable[[RequestsPart], Result]) -> Iterator[Result]:
        """What a formula gives for some whole sessions, and then for others, until it was all of them."""
        name = f"requests from {self.since} to {self.until}"
        return self.columns.of_blocks(lambda block: formula(block.once(name, self._part)))

    def summed(self, formula: Callable[[RequestsPart], BlockSums]) -> BlockSums:
        return reduce(add, self.of_parts(formula))

    def _part(self, columns: Columns) -> RequestsPart:
        at = np.flatnonzero(_counted(columns, self.since, self.until))

        def of(name: str) -> Floats:
            return columns[name][at]

        lengths = ("requested_completion_tokens", "new_prompt_tokens", "cached_prompt_tokens", "turn")
        return RequestsPart(
            x=features(*map(of, lengths)),
            took_s=of("end_s") - of("queued_s"),
            ttft_s=of("first_token_s") - of("queued_s"),
            sent_s=of("sent_s"),
            session=of("session_id"),
        )


def guard_s(columns: Columns) -> float:
    """How long before the end the last request that counts is sent: long ones would be cut off more often."""
    took = columns.each(lambda block: (block["end_s"] - block["sent_s"])[block.outcome("ok")])
    took = took[np.isfinite(took)]
    return float(np.quantile(took, GUARD)) if len(took) else 0.0


def requests_between(columns: Columns, since: float, until: float) -> Requests:
    """The requests that were sent in a window."""
    sent = columns.each(lambda block: block["sent_s"][_counted(block, since, until)])
    return Requests(columns, since, until, len(sent), (sent.min(initial=np.inf), sent.max(initial=-np.inf)))


def _counted(columns: Columns, since: float, until: float) -> Bools:
    sent = columns["sent_s"]
    return columns.outcome("ok") & (sent >= since) & (sent <= until) & np.isfinite(columns["end_s"])


def mean_trace_s(requests: Requests, population: Population) -> float:
    """How long a trace of the workload takes on average."""
    sums = requests.summed(lambda part: BlockSums.of(part.x, part.took_s, np.zeros(len(part), np.intp), 1))
    fit = sums.fit(_columns(BASE))
    return float(population.wait_s.mean() + population.whole.mean(0) @ fit.coefficients)


@dataclass(frozen=True, slots=True)
class FirstTokens:
    """First requests that got a first token."""

    x: Floats
    ttft_s: Floats
    block: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Model:
    """How long requests take, and their first tokens; the residuals of what it was fitted to."""

    chosen: tuple[str, ...]
    took: Fit
    first_ttft: Fit | None  # None without streaming
    later_ttft: Fit | None
    first: FirstTokens
    later_ttft_variance: float  # of the residuals
    per_request: Floats  # coefficients of the squared residual, by feature
    per_session: float  # variance that all requests of a session share


def fit(requests: Requests, blocks: Blocks, *, stream: bool) -> Model:
    """Choose the features by how well blocks predict the ones left out, and fit them."""
    sums = requests.summed(lambda part: BlockSums.of(part.x, part.took_s, blocks.of(part.sent_s), blocks.count))
    fits: Mapping[tuple[str, ...], Fit] = {names: sums.fit(_columns(names)) for names in CHOICES}
    chosen: tuple[str, ...] = CHOICES[0]
    for names in CHOICES[1:]:
        if fits[names].left_out_error < BETTER * fits[chosen].left_out_error:
            chosen = names
    coefficients = fits[chosen].coefficients
    squares = _squares(requests, blocks, coefficients)
    later = _ttft(requests, blocks, OF_LATER, first=False) if stream else None
    return Model(
        chosen=chosen,
        took=fits[chosen],
        first_ttft=_ttft(requests, blocks, OF_FIRST, first=True) if stream else None,
        later_ttft=later,
        first=_first_tokens(requests, blocks),
        later_ttft_variance=0.0 if later is None else _variance(requests, later.coefficients),
        per_request=squares.coefficients,
        per_session=_shared_variance(requests, coefficients, squares.coefficients),
    )


def _squares(requests: Requests, blocks: Blocks, coefficients: Floats) -> Fit:
    """The squared residuals, by what the requests were."""

    def of(part: RequestsPart) -> BlockSums:
        residuals = part.took_s - part.x @ coefficients
        return BlockSums.of(part.x, residuals**2, blocks.of(part.sent_s), blocks.count)

    return requests.summed(of).fit(_columns(BASE))


def _ttft(requests: Requests, blocks: Blocks, names: tuple[str, ...], *, first: bool) -> Fit | None:
    """None where too few requests have a first token, or a block has none of them."""

    def of(part: RequestsPart) -> BlockSums:
        rows = (part.first == first) & np.isfinite(part.ttft_s)
        return BlockSums.of(part.x[rows], part.ttft_s[rows], blocks.of(part.sent_s[rows]), blocks.count)

    sums = requests.summed(of)
    return sums.fit(_columns(names)) if sums.rows.sum() > 2 * len(names) else None


def _first_tokens(requests: Requests, blocks: Blocks) -> FirstTokens:
    def of(part: RequestsPart) -> tuple[Floats, Floats, NDArray[np.intp]]:
        rows = part.first & np.isfinite(part.ttft_s)
        return part.x[rows], part.ttft_s[rows], blocks.of(part.sent_s[rows])

    return FirstTokens(*(np.concatenate(column) for column in zip(*requests.of_parts(of), strict=True)))


def _variance(requests: Requests, coefficients: Floats) -> float:
    """That of what first tokens of later requests took beyond a fit."""

    def residuals(part: RequestsPart) -> Floats:
        rows = ~part.first & np.isfinite(part.ttft_s)
        return part.ttft_s[rows] - part.x[rows] @ coefficients

    def count_and_sum(part: RequestsPart) -> tuple[int, float]:
        of_part = residuals(part)
        return len(of_part), float(of_part.sum())

    count, total = map(sum, zip(*requests.of_parts(count_and_sum), strict=True))
    mean = total / count
    return float(sum(requests.of_parts(lambda part: ((residuals(part) - mean) ** 2).sum()))) / count


def _columns(names: tuple[str, ...]) -> list[int]:
    return [FEATURES.index(name) for name in names]


def _shared_variance(requests: Requests, coefficients: Floats, per_request: Floats) -> float:
    """By moments: the square of a session's sum of residuals is that of its requests, and n squared times the rest."""

    def shared_and_pairs(part: RequestsPart) -> tuple[float, float]:
        _, session = np.unique(part.session, return_inverse=True)
        sums = np.bincount(session, part.took_s - part.x @ coefficients)
        counts = np.bincount(session).astype(np.float64)
        own = np.bincount(session, np.maximum(part.x @ per_request, 0.0))
        return float((sums**2 - own).sum()), float((counts**2).sum())

    shared, pairs = map(sum, zip(*requests.of_parts(shared_and_pairs), strict=True))
    return max(shared / pairs, 0.0)
