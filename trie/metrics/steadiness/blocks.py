"""A run in equal blocks of time: what its rates and its cache were in each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trie.metrics.columns import Bools, Columns, Floats
from trie.metrics.decode_speed import decode_speeds
from trie.metrics.series import Bins, phases
from trie.metrics.traces import eligible_tokens, traces
from trie.metrics.values import tokens

RATE, TPOT, HITS, CONTEXT = "completion_tok_s", "tpot_s", "eligible_hit_rate_pct", "context_tokens"
NAMES = (RATE, TPOT, HITS, CONTEXT)
MOST, LEAST = 40, 20  # blocks of a window
REQUESTS = 10  # in a block, on average
MISSING = 0.1  # share of the blocks that may have no value


@dataclass(frozen=True, slots=True)
class Series:
    """One metric by block, as a ratio of two sums."""

    above: Floats
    below: Floats

    @property
    def values(self) -> Floats:
        """NaN for a block in which nothing was measured."""
        values: Floats = np.divide(self.above, self.below, out=np.full(len(self.below), np.nan), where=self.below > 0)
        return values

    def mean(self, first: int, end: int) -> float | None:
        """Of the blocks from `first` to the one before `end`, together."""
        whole = float(self.below[first:end].sum())
        return float(self.above[first:end].sum()) / whole if whole > 0 else None


@dataclass(frozen=True, slots=True)
class Blocks:
    """The blocks of a run; the first ones come before the window of steady state."""

    edges: Floats
    before: int  # blocks before the window
    series: Mapping[str, Series]  # those that were measured

    def __len__(self) -> int:
        return len(self.edges) - 1


def blocks(columns: Columns, window: tuple[float, float], count: int) -> Blocks:
    """`count` blocks of a window, and as many of the same width before it as the run has.

    Args:
        columns: of the run.
        window: seconds; ends with the last request that ended well.
        count: of blocks in the window.
    """
    since, until = window
    width = (until - since) / count
    before = int(since / width)
    edges: Floats = until - width * np.arange(count + before, -1.0, -1.0)
    sums = columns.summed(lambda block: _sums_of(block, edges))
    series = {name: Series(above, below) for name, (above, below) in zip(NAMES, sums, strict=True)}
    series |= {name: Series(series[name].above, np.diff(edges)) for name in (RATE, CONTEXT)}  # per second
    return Blocks(edges, before, {name: of_name for name, of_name in series.items() if _enough(of_name)})


def _enough(series: Series) -> bool:
    return float(np.isnan(series.values).mean()) <= MISSING


def _sums_of(columns: Columns, edges: Floats) -> Floats:
    """For each series what is above and below its line, by block."""
    ok, end, first = columns.outcome("ok"), columns["end_s"], columns["first_token_s"]
    tpot, last = decode_speeds(columns).tpot_s, columns["last_token_s"]
    decode_s = np.where(np.isnan(tpot), np.nan, last - first)
    decoded = ok & (tpot > 0)
    eligible, cached = eligible_tokens(columns), columns.cached_tokens
    seen = np.where(np.isnan(first), end, first)
    hits = ok & (eligible > 0) & np.isfinite(cached)
    return np.array(
        [
            (_completed(columns, edges), np.zeros(len(edges) - 1)),
            (_sums(edges, last, decode_s, decoded), _sums(edges, last, decode_s / tpot, decoded)),
            (100.0 * _sums(edges, seen, cached, hits), _sums(edges, seen, eligible, hits)),
            (_context(columns, edges), np.zeros(len(edges) - 1)),
        ]
    )


def rate(columns: Columns, edges: Floats) -> Series:
    """Completion tokens per second, as the throughput counts them."""
    return Series(columns.summed(lambda block: _completed(block, edges)), np.diff(edges))


def _completed(columns: Columns, edges: Floats) -> Floats:
    return _sums(edges, columns["end_s"], tokens(columns)[RATE], columns.outcome("ok"))


def _sums(edges: Floats, at: Floats, amount: Floats, counted: Bools) -> Floats:
    """What falls into each block; an instant on an edge belongs to the block that it ends."""
    inside = counted & np.isfinite(amount) & (at > edges[0]) & (at <= edges[-1])
    which = np.searchsorted(edges, at[inside], side="left") - 1
    return np.bincount(which, amount[inside], len(edges) - 1).astype(np.float64)


def _context(columns: Columns, edges: Floats) -> Floats:
    """Token-seconds of the prompts of active sessions: each prompt counts until the next one of its session is due."""
    due = columns["queued_s"]
    wait_until = phases(columns, traces(columns), wall_time_s=float(edges[-1])).tool_wait[1]
    until = np.fmax(columns["end_s"], wait_until)
    prompt = columns["new_prompt_tokens"] + columns["cached_prompt_tokens"]
    return Bins(float(edges[1] - edges[0]), edges).spread(due, until, prompt * (until - due))
