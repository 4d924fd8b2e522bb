"""How values are distributed, in as few points as a plot needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trie.metrics.columns import Bools, Columns, Floats, in_order, quantiles
from trie.metrics.definitions.metric import STATISTICS
from trie.metrics.traces import eligible_tokens, percent

TAIL = (0.985, 0.99, 0.995, 0.998, 0.999, 1.0)  # where a plot of 200 points needs more of them
TREND_BINS = 12
LEAST = {part.key: part.least for part in STATISTICS}  # in a bin, for a percentile


def ecdf(values: Floats, *, most: int = 200) -> tuple[Floats, Floats]:
    """The values below which shares of all lie, and the shares; all of them where there are at most `most`.

    More are thinned to quantiles, interpolated as in the tables, closer together in the upper tail.
    """
    return ecdf_of(in_order(values), most=most)


def ecdf_of(ordered: Floats, *, most: int = 200) -> tuple[Floats, Floats]:
    """The same of values in order."""
    if len(ordered) <= most:
        return ordered, np.arange(1, len(ordered) + 1) / max(len(ordered), 1)
    shares = np.r_[np.linspace(0.0, 0.98, most - len(TAIL)), TAIL]
    return quantiles(ordered, shares), shares


@dataclass(frozen=True, slots=True)
class ByTurn:
    """Cache hits over the turns of a trace, by tokens; requests that ended well and report them."""

    turn: Floats
    requests: Floats
    hit_pct: Floats  # cached / prompt tokens
    eligible_pct: Floats  # cached / eligible tokens; NaN for a first request, which has none


def cache_by_turn(columns: Columns, *, most: int = 200) -> ByTurn:
    """The first `most` turns, those without a request left out."""
    requests, *tokens = columns.summed(lambda block: _by_turn(block, most))
    cached, prompt, usable, eligible = tokens
    by_turn = (np.arange(most, dtype=np.float64), requests, percent(cached, prompt), percent(usable, eligible))
    return ByTurn(*(values[requests > 0] for values in by_turn))


def _by_turn(columns: Columns, most: int) -> Floats:
    """Sums by turn: requests, cached and prompt tokens; cached and eligible ones where these are known."""
    cached, prompt, eligible = columns.cached_tokens, columns["usage_prompt_tokens"], eligible_tokens(columns)
    measured = columns.outcome("ok") & np.isfinite(cached) & np.isfinite(prompt) & (columns["turn"] < most)
    turn = columns["turn"][measured].astype(np.intp)
    usable = np.isfinite(eligible[measured])
    amounts = (
        np.ones(len(turn)),
        cached[measured],
        prompt[measured],
        np.where(usable, cached[measured], 0.0),
        np.where(usable, eligible[measured], 0.0),
    )
    return np.array([np.bincount(turn, amount, most) for amount in amounts], np.float64)


@dataclass(frozen=True, slots=True)
class Trend:
    """TTFT in bins of new prompt tokens."""

    low: Floats  # of each bin: new tokens from
    high: Floats  # and to
    count: Floats
    p50_s: Floats  # NaN where a bin has too few requests, as these
    p90_s: Floats


@dataclass(frozen=True, slots=True)
class PrefillTimes:
    """TTFT against new prompt tokens, over requests that ended well.

    First requests and later ones have trends of their own: the first ones have nothing cached and many new tokens, so
    that a trend of both shows neither.
    """

    requests: int  # that the trends are of
    sample: NDArray[np.intp]  # rows of the columns
    first: Trend
    later: Trend


def prompt_tokens(columns: Columns) -> Floats:
    """Context length of each request: as the server counts it, else as accounted."""
    reported = columns["usage_prompt_tokens"]
    accounted = columns["new_prompt_tokens"] + columns["cached_prompt_tokens"]
    return np.where(np.isnan(reported), accounted, reported)


def new_tokens(columns: Columns) -> Floats:
    """Prompt tokens of each request that nothing before it in its trace had sent or received, as accounted."""
    return columns["new_prompt_tokens"]


def ttft_by_new_tokens(columns: Columns, *, most: int) -> PrefillTimes:
    """A sample of at most `most` requests, the same for the same rows, and percentiles in bins of equal ratio."""
    rows = np.flatnonzero(columns.each(_prefill_measured))
    requests, rows = len(rows), sample(rows, most)
    return PrefillTimes(
        requests=requests,
        sample=rows,
        first=_trend(*_new_and_ttft(columns, first=True)),
        later=_trend(*_new_and_ttft(columns, first=False)),
    )


def _ttft(columns: Columns) -> Floats:
    return columns["first_token_s"] - columns["sent_s"]


def _prefill_measured(columns: Columns) -> Bools:
    return np.asarray(columns.outcome("ok") & np.isfinite(_ttft(columns)) & (new_tokens(columns) > 0))


def _new_and_ttft(columns: Columns, *, first: bool) -> tuple[Floats, Floats]:
    def chosen(block: Columns) -> Bools:
        return np.asarray(_prefill_measured(block) & ((block["turn"] == 0) == first))

    new = columns.each(lambda block: new_tokens(block)[chosen(block)])
    return new, columns.each(lambda block: _ttft(block)[chosen(block)])


def _trend(x: Floats, times: Floats) -> Trend:
    edges = _ratios(x)
    which = np.searchsorted(edges[1:-1], x, side="right").astype(np.uint8)
    bins = [(at, *_count_p50_p90(times[which == at])) for at in range(len(edges) - 1)]  # each takes little memory
    at, count, p50_s, p90_s = np.array([of_bin for of_bin in bins if of_bin[1]], np.float64).reshape(-1, 4).T
    places = at.astype(np.intp)
    return Trend(low=edges[places], high=edges[places + 1], count=count, p50_s=p50_s, p90_s=p90_s)


def _count_p50_p90(values: Floats) -> tuple[int, float, float]:
    return len(values), _percentile(values, "p50"), _percentile(values, "p90")


def _percentile(values: Floats, name: str) -> float:
    """NaN of too few."""
    return float(np.percentile(values, int(name[1:]))) if len(values) >= LEAST[name] else float("nan")


def sample(rows: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """At most `most` of the rows in their order, drawn evenly at random, the same for the same rows."""
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, most, replace=False))


def _ratios(values: Floats) -> Floats:
    """Edges of bins of equal ratio from the least to the greatest; one bin where they are the same."""
    if not len(values):
        return np.array([1.0, 1.0])
    least, most = float(values.min()), float(values.max())
    return np.geomspace(least, most, TREND_BINS + 1) if most > least else np.array([least, most])
