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
TEXT_IS_TOKENS = Condition(
    "text_is_tokens",
    "error",
    "all text is tokens that the server counts",
    "more text came than the server counts tokens",
)
CONDITIONS = (SEEN, TEXT_IS_TOKENS)


def stream_checks(run: Evidence) -> Iterator[Check]:
    """Whether text is tokens, and how many answers have no speed, or one of a part of their tokens; of streams alone.

    Answers that came whole in one read are another check's (`tokens_seen_as_they_came`).
    """
    decode, ok = run.summary.decode, run.summary.requests["ok"]
    if decode is not None and ok and run.summary.drift.requests_with_usage:
        yield TEXT_IS_TOKENS.check(
            decode.surplus_requests <= UNSEEN_SHARE * ok,
            f"{decode.surplus_requests} of {ok} answers hold more chunks of text than tokens by usage, "
            f"{decode.surplus_chunks:,} in all",
            "TTFT may be that of a text which is no token (progress of a gateway, an echo), or usage leaves tokens "
            "out: look at a stream with curl -N, and ask the server itself rather than what stands before it",
        )
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
