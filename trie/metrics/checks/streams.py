"""Checks of the streams: were tokens seen as they were made, and all of them?"""

from __future__ import annotations

from collections.abc import Iterator

from trie.metrics.checks.check import Check, Condition, Evidence

UNSEEN_SHARE = 0.05  # of the answers of several tokens

WHY = {
    "one_chunk": "came in one chunk",
    "burst": "came for the most part in one read",
    "too_fast": "came faster than any engine makes them",
}
SEEN = Condition(
    "decode_speed_seen", "warning", "decode speed was seen", "decode speed was not seen, or not that of all tokens"
)
CONDITIONS = (SEEN,)


def stream_checks(run: Evidence) -> Iterator[Check]:
    """How many answers have no decode speed, or one of a part of their tokens; nothing for a run without a stream.

    Answers that came whole in one read are another check's (`tokens_seen_as_they_came`).
    """
    decode = run.summary.decode
    if decode is None or not decode.requests:
        return
    unseen = {why: decode.not_measured.get(why, 0) for why in WHY}
    reasons = [f"{count} {WHY[why]}" for why, count in unseen.items() if count]
    if decode.hidden_requests:
        hidden = f"{decode.hidden_requests} hold {decode.hidden_tokens:,} tokens that were counted and never sent"
        reasons.append(hidden)
    share = max(sum(unseen.values()), decode.hidden_requests) / decode.requests
    yield SEEN.check(
        share <= UNSEEN_SHARE,
        f"of {decode.requests} answers of several tokens {', '.join(reasons) or 'all were seen as they came'}",
        "a parser or a proxy holds tokens back, or reasoning stays with the server: Decode TPS and TPOT speak for the "
        "tokens that were seen alone, TTFT for the first of them",
    )
