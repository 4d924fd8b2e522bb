"""Did the server fall silent? Time in which requests were in flight and no token and no end of any of them was read.

A server that hangs leaves its requests open until the end of the run, which cuts them off: no failure, and nothing in
any statistic over what ended. So what was open at the end is looked at: for how long nothing had come, of all of them
together and of each, beside the longest such times of the run before. A run that ends at any moment ends within a
silence of an ordinary length; one that is longer than twice the longest before, and long enough to matter, is none.
"""

from __future__ import annotations

import numpy as np

from trie.metrics.columns import Bools, Columns, Floats
from trie.metrics.sections import Silence

FACTOR = 2.0  # times the longest before
LEAST_S, MOST_S, LEAST_SHARE = 2.0, 30.0, 0.05  # silence that matters: a share of the run, within bounds


def silence(columns: Columns, *, rate_limited: bool = False) -> Silence:
    """What was open at the end of a run, and how long nothing had come of it.

    Args:
        columns: of the rows.
        rate_limited: count requests that were answered with 429: they wait as long as the server told them to.
    """
    open_ = columns.each(lambda block: _open(block, rate_limited=rate_limited))
    if not open_.any():
        return Silence()
    until = float(columns["end_s"][open_].max())
    last_read = max(columns.of_blocks(lambda block: _last_read(block, rate_limited=rate_limited)))
    at_end = max(until - max(last_read, float(columns["sent_s"][open_].min())), 0.0)
    least = min(max(LEAST_S, LEAST_SHARE * until), MOST_S)
    longest = _longest(columns, open_, last_read) if at_end > least else None  # a sort of all instants, seldom needed
    waited = until - np.fmax(columns["attempt_sent_s"][open_], columns["last_token_s"][open_])
    wait = columns.remembered("longest wait", _longest_wait)
    stuck = waited > max(least, FACTOR * wait) if wait is not None else np.zeros(len(waited), dtype=np.bool_)
    return Silence(
        open_requests=int(open_.sum()),
        at_end_s=at_end,
        longest_before_s=longest,
        dead=longest is not None and at_end > FACTOR * longest,
        stuck_requests=int(stuck.sum()),
        stuck_s=float(waited[stuck].sum()),
        longest_wait_s=wait,
    )


def _open(columns: Columns, *, rate_limited: bool) -> Bools:
    """Which requests were in flight at the end."""
    open_ = columns.outcome("cancelled") & np.isfinite(columns["sent_s"]) & np.isfinite(columns["end_s"])
    return np.asarray(open_ & (rate_limited | (columns["rate_limited"] == 0)))


def _last_read(columns: Columns, *, rate_limited: bool) -> float:
    """When a token or an end was last read."""
    ends = columns["end_s"][~_open(columns, rate_limited=rate_limited)]
    return float(np.nanmax(np.r_[columns["first_token_s"], columns["last_token_s"], ends], initial=0.0))


def dead_until(columns: Columns) -> float | None:
    """The end of a run whose server had fallen silent before, or had sent all away; None where it had not."""
    dead = silence(columns, rate_limited=True).dead
    return float(columns["end_s"][columns.outcome("cancelled")].max()) if dead else None


def _longest(columns: Columns, open_: Bools, until: float) -> float:
    """The longest silence before an instant: requests in flight, none of them between its first and last token.

    Tokens between these come at gaps of their own; of the longest of each answer the 90th percentile is no silence.
    """
    sent, first, last = columns["sent_s"], columns["first_token_s"], columns["last_token_s"]
    end = np.where(open_, np.nan, columns["end_s"])
    was_sent = np.isfinite(sent)
    at = np.concatenate([sent, first, last, end])
    flight = np.repeat([1.0, 0.0, 0.0, -1.0], len(sent))
    stream = np.repeat([0.0, 1.0, -1.0, 0.0], len(sent))
    read = np.repeat([False, True, True, True], len(sent))
    counted = np.isfinite(at) & (at <= until) & np.tile(was_sent, 4)
    instants, place = np.unique(at[counted], return_inverse=True)
    if len(instants) < 2:
        return 0.0
    in_flight = np.cumsum(np.bincount(place, flight[counted]))[:-1]
    streaming = np.cumsum(np.bincount(place, stream[counted]))[:-1]
    silent = (in_flight > 0) & (streaming <= 0)
    broken = np.bincount(place, read[counted])[:-1] > 0
    starts = np.flatnonzero(np.r_[True, ~silent[:-1] | broken[1:]])
    stretches = np.add.reduceat(np.where(silent, np.diff(instants), 0.0), starts)
    gaps = columns["max_gap_s"][np.isfinite(columns["max_gap_s"])]
    return max(float(stretches.max()), float(np.quantile(gaps, 0.9)) if len(gaps) else 0.0)


def _longest_wait(columns: Columns) -> float | None:
    """The longest that any request which ended well brought nothing; None where none did."""
    return max((wait for wait in columns.of_blocks(_longest_wait_of) if wait is not None), default=None)


def _longest_wait_of(columns: Columns) -> float | None:
    """The same of a block."""
    ok = columns.outcome("ok")
    sent, first, last, end = (columns[name][ok] for name in ("sent_s", "first_token_s", "last_token_s", "end_s"))
    waits: tuple[Floats, ...] = (np.where(np.isnan(first), end, first) - sent, columns["max_gap_s"][ok], end - last)
    longest = np.concatenate(waits)
    longest = longest[np.isfinite(longest)]
    return float(longest.max()) if len(longest) else None
