"""Decode speed against figures worked by hand: of what was seen coming, in the time in which it came."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.manifests import manifest
from helpers.rows import row

from trie.metrics.summary import Summary, summarize
from trie.storage.parquet_parts import to_table
from trie.storage.record import RequestRecord


def summary(*rows: RequestRecord, **settings: Any) -> Summary:
    return summarize(to_table(list(rows)), manifest(**settings))


def speed_of(*rows: RequestRecord) -> tuple[float | None, float | None]:
    """Mean Decode TPS and mean TPOT."""
    figures = summary(*rows)
    speed, tpot = figures.per_trace["decode_tps"], figures.per_request["tpot_s"]
    return speed and speed.mean, tpot and tpot.mean


def seen(first: float, last: float, end: float, **fields: Any) -> RequestRecord:
    """A request sent at 0 with these instants."""
    return row(first_token_s=first, last_token_s=last, end_s=end, **fields)


def test_the_reference_s_figure_stays_where_it_is_sound() -> None:
    """11 tokens between 0.5 and 1.5 s; the end is 40 ms later: 10 / 1.04, as the reference counts."""
    speed, tpot = speed_of(seen(0.5, 1.5, 1.54))
    assert speed == pytest.approx(10 / 1.04)
    assert tpot == pytest.approx(0.1)


def test_an_end_long_behind_the_last_token_moves_no_speed() -> None:
    assert speed_of(seen(0.5, 1.5, 9.5)) == (pytest.approx(10.0), pytest.approx(0.1))


def test_an_answer_in_one_chunk_has_no_speed_whenever_it_ended() -> None:
    """As a parser that holds text back makes it: 20 tokens 0.36 ms before the end are 55,000 tok/s to the reference."""
    figures = summary(seen(0.3, 0.3, 0.30036, completion=20, chunks=1))
    assert (figures.per_trace["decode_tps"], figures.per_request["tpot_s"]) == (None, None)
    assert figures.decode is not None
    assert figures.decode.not_measured == {"one_chunk": 1, "one_read": 0, "burst": 0, "too_fast": 0}


def test_hidden_tokens_are_no_part_of_the_speed() -> None:
    """200 tokens, 198 of them thoughts: the second of the two that were seen came 10 ms after the first."""
    speed, tpot = speed_of(seen(0.41, 0.42, 0.4205, completion=200, chunks=2, hidden_tokens=198))
    assert (speed, tpot) == (pytest.approx(100.0), pytest.approx(0.01))


def test_hidden_tokens_that_usage_counts_into_the_first_chunk() -> None:
    """Usage in each chunk says 199 at the first: 198 are hidden, one came with it, one after it."""
    row_ = seen(0.41, 0.42, 0.42, completion=200, chunks=2, hidden_tokens=198, first_chunk_tokens=199)
    assert speed_of(row_) == (pytest.approx(100.0), pytest.approx(0.01))


def test_tokens_of_the_first_chunk_are_no_part_of_the_speed() -> None:
    """15 of 20 tokens at first, then 5 in half a second; by the reference 19 / 0.5."""
    row_ = seen(0.5, 1.0, 1.0, completion=20, chunks=6, first_chunk_tokens=15)
    assert speed_of(row_) == (pytest.approx(10.0), pytest.approx(0.1))


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"chunks": 2, "burst_share": 0.99}, "burst"),
        ({"chunks": 3, "first_chunk_tokens": 11}, "burst"),
        ({"last_token_s": 0.5}, "one_read"),
        ({"last_token_s": 0.5 + 1e-4}, "too_fast"),
    ],
)
def test_what_was_not_seen_coming_has_no_speed(fields: dict[str, Any], why: str) -> None:
    figures = summary(row(**fields))
    assert (figures.per_trace["decode_tps"], figures.per_request["tpot_s"]) == (None, None)
    assert figures.decode is not None
    assert {reason for reason, count in figures.decode.not_measured.items() if count} == {why}


def test_a_trace_s_speed_is_that_of_its_requests_that_have_one() -> None:
    """10 tok/s, none, and 0 of one token: the mean of 10 and 0."""
    rows = [row(0, 0, 2), row(0, 1, 2, sent=2.0, chunks=1), row(0, 2, 2, sent=4.0, completion=1)]
    assert speed_of(*rows)[0] == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("unseen", "ok", "words"),
    [
        ([], True, "all were seen as they came"),
        ([row(19, chunks=1)], True, "1 came in one chunk"),
        ([row(18, chunks=1), row(19, burst_share=0.9)], False, "1 came in one chunk, 1 came for the most part"),
        ([row(18, hidden_tokens=5), row(19, hidden_tokens=6)], False, "2 hold 11 tokens that were counted"),
    ],
)
def test_the_verdict_says_how_many_and_why(unseen: list[RequestRecord], ok: bool, words: str) -> None:
    """Of 20 answers: one is 5 %, two are more."""
    rows = [*(row(session) for session in range(20 - len(unseen))), *unseen]
    (check,) = [check for check in summary(*rows).verdict if check.id == "decode_speed_seen"]
    assert (check.ok, check.level) == (ok, "warning")
    assert f"of 20 answers of several tokens {words}" in check.found


@pytest.mark.parametrize(("cases", "ok"), [(1, True), (2, False)])
def test_text_that_is_no_token_is_told_by_the_counts(cases: int, ok: bool) -> None:
    """A gateway's progress text, then the 11 tokens that usage counts: of 20 answers one is 5 %, two are more."""
    rows = [row(session, chunks=12 if session < cases else 11) for session in range(20)]
    figures = summary(*rows)
    assert figures.decode is not None
    assert (figures.decode.surplus_requests, figures.decode.surplus_chunks) == (cases, cases)
    (check,) = [check for check in figures.verdict if check.id == "text_is_tokens"]
    assert (check.ok, check.level) == (ok, "error")
    assert check.found.startswith(f"{cases} of 20 answers hold more chunks of text than tokens by usage")


def test_without_streaming_nothing_is_said_of_it() -> None:
    figures = summary(row(chunks=0, first_token_s=None, last_token_s=None), stream=False)
    assert figures.decode is None
    assert "decode_speed_seen" not in {check.id for check in figures.verdict}
