"""The timeline by slot, by hand."""

from __future__ import annotations

from typing import Any

from helpers.rows import row

from trie.metrics.columns import Columns
from trie.metrics.series import PHASES, Timeline, timeline
from trie.storage.parquet_parts import to_table
from trie.storage.record import Outcome, RequestRecord


def shown(*rows: RequestRecord, wall: float = 10.0, most: int = 100, slots: int = 8, **about: Any) -> Timeline:
    columns = Columns(to_table(rows))
    window = about.pop("window", (0.0, wall))
    return timeline(columns, window, wall_time_s=wall, most=most, slots=slots)


def bars(found: Timeline) -> list[tuple[int, str, float, float]]:
    columns = (found.row, found.phase, found.start_s, found.end_s)
    return sorted((int(r), PHASES[p], float(a), float(b)) for r, p, a, b in zip(*columns, strict=True))


def test_a_trace_is_prefill_decode_tool_wait_and_so_on():
    found = shown(row(0, 0, turns=1, sent=0.0), row(0, 1, turns=1, sent=4.0, queued_s=3.9))
    assert found.whole
    assert bars(found) == [
        (0, "decode", 0.5, 1.5),
        (0, "prefill", 0.0, 0.5),
        (0, "tool wait", 1.5, 3.9),
        (1, "decode", 4.5, 5.5),
        (1, "prefill", 4.0, 4.5),
    ]


def test_a_failed_request_is_one_bar():
    assert bars(shown(row(outcome=Outcome.failed))) == [(0, "failed", 0.0, 1.5)]


def test_a_request_that_was_never_sent_has_no_bar():
    assert bars(shown(row(sent_s=None, attempt_sent_s=None, first_token_s=None, outcome=Outcome.cancelled))) == []


def test_what_does_not_fit_is_an_excerpt_with_everything_in_it():
    rows = [row(i, sent=2.0 * i) for i in range(50)]  # prefill and decode of 1.5 s, every 2 s
    found = shown(*rows, wall=100.0, most=10, window=(20.0, 100.0))
    assert not found.whole
    assert found.since_s == 60.0  # the middle of the window
    assert 5 <= len(found.row) <= 10
    assert (found.start_s >= found.since_s).all()
    assert (found.end_s <= found.until_s).all()
    inside = [i for i in range(50) if 2.0 * i + 1.5 > found.since_s and 2.0 * i < found.until_s]
    assert sorted(set(found.row.tolist())) == inside


def test_slots_beyond_those_shown_are_left_out():
    found = shown(row(0, slot=0), row(1, slot=5), slots=3)
    assert (found.slots, found.whole) == (3, False)
    assert set(found.row.tolist()) == {0}


def test_no_rows_make_no_timeline():
    found = shown()
    assert (found.slots, len(found.row)) == (0, 0)
