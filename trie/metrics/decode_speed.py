"""How fast requests decoded, by the tokens that were seen coming in the time in which they came.

The reference divides all tokens but one by the time from the first token to the end. That holds where each chunk brings
a token or a few as they are made. It says 55,000 tok/s where a parser lets go of a whole answer at once, or where most
of the tokens are reasoning that never leaves the server. So the reference's figure is taken where it agrees with what
was seen; else the speed is that of what was seen; and where nothing was seen, there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trie.metrics.columns import Bools, Columns, Floats

AGREES = 0.1  # by which the reference's figure may differ from what was seen
BURST_SHARE = 0.5  # of an answer in one read, above which it was not seen coming
NOT_SEEN = ("one_chunk", "one_read", "burst", "too_fast")  # why an answer of several tokens has no speed
FASTEST_TOK_S = 20_000.0  # of one request: above it tokens came out of a buffer, not out of an engine


@dataclass(frozen=True, slots=True)
class DecodeSpeeds:
    """One entry for each request, whatever became of it; NaN where a value was not measured."""

    tok_s: Floats  # 0 for an answer of one token, as the reference has it
    tpot_s: Floats
    several: Bools  # answers of several tokens that streamed
    not_seen: Mapping[str, Bools]  # of them, those without a speed, by why; each in one of these at most
    hidden_tokens: Floats  # that were counted and never sent
    adjusted: Bools  # whose speed is not the reference's

    def per_session(self, columns: Columns) -> Floats:
        """Mean speed over the requests of each session that have one."""
        measured = np.isfinite(self.tok_s)
        counts = columns.per_session(measured.astype(np.float64))
        total = columns.per_session(np.where(measured, self.tok_s, 0.0))
        return _rate(total, counts)


def decode_speeds(columns: Columns) -> DecodeSpeeds:
    """The decode speed of each request, and why others have none."""
    speeds: DecodeSpeeds = columns.once("decode speeds", _decode_speeds)
    return speeds


def _decode_speeds(columns: Columns) -> DecodeSpeeds:
    tokens, chunks = columns.completion_tokens, columns["chunks"]
    first, end, last = columns["first_token_s"], columns["end_s"], columns["last_token_s"]
    last = np.where(np.isnan(last), end, last)
    hidden = np.nan_to_num(columns["hidden_tokens"])
    after = tokens - hidden - _tokens_at_first(columns, hidden)
    seen_tok_s, reference_tok_s = _rate(after, last - first), _rate(tokens - 1, end - first)
    several = (tokens > 1) & np.isfinite(first)
    not_seen: dict[str, Bools] = {}
    left = several
    in_bursts = (columns["burst_share"] > BURST_SHARE) | (after <= 0)
    masks = (chunks == 1, last <= first, in_bursts, seen_tok_s > FASTEST_TOK_S)
    for why, mask in zip(NOT_SEEN, masks, strict=True):
        not_seen[why] = left & mask
        left = left & ~mask
    agrees = (hidden == 0) & (np.abs(reference_tok_s - seen_tok_s) <= AGREES * seen_tok_s)
    speed = np.where(agrees, reference_tok_s, seen_tok_s)
    return DecodeSpeeds(
        tok_s=np.where(left, speed, np.where((tokens <= 1) & np.isfinite(first), 0.0, np.nan)),
        tpot_s=np.where(left & (chunks > 1), _rate(last - first, after), np.nan),
        several=several,
        not_seen=not_seen,
        hidden_tokens=hidden,
        adjusted=left & ~agrees,
    )


def _tokens_at_first(columns: Columns, hidden: Floats) -> Floats:
    """Tokens that came with the first chunk; where the server counts hidden ones among them, without those."""
    with_first = columns["first_chunk_tokens"]
    return np.where(np.isnan(with_first), 1.0, np.where(hidden > 0, np.maximum(with_first - hidden, 1.0), with_first))


def _rate(part: Floats, whole: Floats) -> Floats:
    """Part / whole; NaN where the whole is not positive."""
    rate: Floats = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return rate
