"""A server that falls silent: runs that hang, runs that do not, and the longest silence by a second computation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers.known_servers import Server, sessions
from helpers.manifests import manifest
from helpers.rows import row
from hypothesis import given, settings
from hypothesis import strategies as st

from trie.metrics.checks.check import Check
from trie.metrics.columns import Columns
from trie.metrics.sections import Silence
from trie.metrics.silence import _longest, silence
from trie.metrics.summary import Summary, summarize
from trie.storage.parquet_parts import to_table
from trie.storage.record import Outcome, RequestRecord

CUT = {"outcome": Outcome.cancelled, "error_kind": "deadline", "first_token_s": None, "last_token_s": None}


def of(rows: list[RequestRecord]) -> Silence:
    return silence(Columns(to_table(rows)))


def judged(rows: list[RequestRecord], wall_s: float, **about: Any) -> tuple[Summary, dict[str, Check]]:
    found = summarize(to_table(rows), manifest(end={"wall_time_s": wall_s}, **about))
    return found, {check.id: check for check in found.verdict}


def hanging(rows: list[RequestRecord], until_s: float) -> list[RequestRecord]:
    """The same run, in which what was open when it ended stays open until then."""
    return [replace(r, end_s=until_s) if r.outcome is Outcome.cancelled else r for r in rows]


def ended(rows: list[RequestRecord], until_s: float, step_s: float) -> list[RequestRecord]:
    """A longer run, as it had looked if it had ended here: what had come until then is in the rows."""
    return [
        _ended(r, until_s, step_s) if (r.end_s or 0.0) > until_s else r for r in rows if (r.sent_s or 0.0) < until_s
    ]


def _ended(r: RequestRecord, until_s: float, step_s: float) -> RequestRecord:
    first = r.first_token_s if r.first_token_s is not None and r.first_token_s <= until_s else None
    last = None if first is None else first + (until_s - first) // step_s * step_s
    cut = {"outcome": Outcome.cancelled, "error_kind": "deadline", "end_s": until_s}
    return replace(r, **cut, first_token_s=first, last_token_s=last)


def test_a_server_that_hangs_after_7_of_20_seconds() -> None:
    found, checks = judged(hanging(sessions(Server(), wall_s=7.0, slots=8), 20.0), 20.0)
    quiet = found.silence
    assert quiet is not None
    assert quiet.open_requests == quiet.stuck_requests == 8
    assert quiet.at_end_s == pytest.approx(13.0, abs=0.2)
    assert quiet.longest_before_s is not None
    assert quiet.longest_before_s < 0.3  # the longest prompt takes 0.22 s
    assert not found.valid
    assert not checks["answered_to_the_end"].ok
    assert "nothing came in the last 13.1 of 20 s" in checks["answered_to_the_end"].found
    assert (checks["none_stuck"].ok, checks["none_stuck"].level) == (False, "error")


def test_no_window_leaves_a_dead_tail_out() -> None:
    """8 requests of 10 tokens end at 1, 2 ... 8 s, then nothing until 40 s: 80 tokens in 40 s, and none in the last 30.

    The first fifth ends at 8 s, with the last point: no token came after it.
    """
    rows = [row(i, sent=float(i), latency=1.0, ttft=0.1, completion=10) for i in range(8)]
    stuck = row(8, sent=8.0, end_s=40.0, **CUT)
    dead = judged([*rows, stuck], 40.0)[0].workload["completion_tok_s"]
    assert (dead.overall, dead.last_30s, dead.steady_state) == (2.0, 0.0, 0.0)
    idle = judged(rows, 40.0)[0].workload["completion_tok_s"]  # nothing in flight: the reference's window
    assert (idle.overall, idle.steady_state) == (2.0, 10.0)


def test_no_window_leaves_out_the_time_in_which_all_were_sent_away() -> None:
    """As above, and what is open waits after a 429: the server does not hang, and the time counts all the same."""
    rows = [row(i, sent=float(i), latency=1.0, ttft=0.1, completion=10) for i in range(8)]
    waiting = row(8, sent=8.0, end_s=40.0, rate_limited=1, **CUT)
    found, checks = judged([*rows, waiting], 40.0)
    rates = found.workload["completion_tok_s"]
    assert (rates.overall, rates.last_30s, rates.steady_state) == (2.0, 0.0, 0.0)
    assert "answered_to_the_end" not in checks


def test_a_steady_state_that_is_unlike_the_whole_run_is_said() -> None:
    rows = [row(i, sent=float(i), latency=1.0, ttft=0.1, completion=10) for i in range(8)]
    _, checks = judged(rows, 40.0)
    assert not checks["steady_like_whole"].ok
    assert "10 tok/s after the first fifth, 2 over the whole run (+400%)" in checks["steady_like_whole"].found
    _, checks = judged(sessions(Server(), wall_s=100.0), 100.0)
    assert checks["steady_like_whole"].ok


def test_one_of_two_servers_that_hangs() -> None:
    """4 of 8 slots stand still from 40 s on while the others go on: no silence of all, and 4 stuck requests."""
    well = sessions(Server(), wall_s=100.0)
    half = hanging(sessions(Server(seed=1), wall_s=40.0), 100.0)
    other = [replace(r, session_id=r.session_id + 10_000, slot=r.slot + 4) for r in half]
    found, checks = judged([*well, *other], 100.0)
    assert found.silence is not None
    assert found.silence.stuck_requests == 4
    assert checks["answered_to_the_end"].ok
    assert (checks["none_stuck"].ok, checks["none_stuck"].level) == (False, "error")
    assert "4 of 8 requests that were open at the end" in checks["none_stuck"].found


def test_one_stuck_request_of_many_slots_is_a_warning() -> None:
    rows = [*sessions(Server(), wall_s=100.0, slots=48), row(9999, sent=90.0, end_s=100.0, **CUT)]
    _, checks = judged(rows, 100.0, concurrency={"value": 48})
    assert (checks["none_stuck"].ok, checks["none_stuck"].level) == (False, "warning")


def test_a_hang_in_the_middle_of_the_streams() -> None:
    """The first tokens had come: what counts is the last one."""
    rows = hanging(sessions(Server(), wall_s=7.0, slots=8), 20.0)
    begun = [
        replace(r, first_token_s=r.sent_s, last_token_s=7.0) if r.outcome is Outcome.cancelled else r for r in rows
    ]
    found = of(begun)
    assert found.dead
    assert found.at_end_s == pytest.approx(13.0)


def test_without_a_stream_ends_are_what_is_read() -> None:
    rows = [replace(r, first_token_s=None, last_token_s=None) for r in sessions(Server(), wall_s=7.0, slots=8)]
    assert of(hanging(rows, 40.0)).dead
    assert not of(rows).dead


HONEST = [
    (Server(), 4, 20.0),
    (Server(), 1, 60.0),
    (Server(noise=0.5), 8, 30.0),
    (Server(overhead_s=3.0, noise=0.3), 2, 60.0),  # first tokens that take seconds
    (Server(step_s=0.5), 2, 100.0),  # answers of half a minute
]


@pytest.mark.parametrize(("server", "slots", "wall_s"), HONEST)
@pytest.mark.parametrize("streamed", [True, False])
def test_an_honest_run_may_end_at_any_moment(server: Server, slots: int, wall_s: float, streamed: bool) -> None:
    for seed in range(4):
        whole = sessions(replace(server, seed=seed), wall_s=2 * wall_s, slots=slots)
        for until in np.linspace(wall_s / 2, wall_s, 6):
            rows = ended(whole, float(until), 2 * server.step_s)
            if not streamed:
                rows = [replace(r, first_token_s=None, last_token_s=None) for r in rows]
            found = of(rows)
            assert not found.dead, (seed, until, found)
            assert found.stuck_requests == 0, (seed, until, found)


@pytest.mark.parametrize("until_s", [10.0, 20.0, 31.0, 44.0])
def test_a_queue_is_no_hang(until_s: float) -> None:
    """32 agents on 2 slots of 3 s: whoever still waits has waited hardly longer than who was served last."""
    ends = [3.0 * (i // 2 + 1) for i in range(32)]
    rows = [
        row(i, ttft=end - 2.9, latency=end)
        if end <= until_s
        else row(i, end_s=until_s, **{**CUT, **({"first_token_s": end - 2.9} if end - 2.9 < until_s else {})})
        for i, end in enumerate(ends)
    ]
    found = of(rows)
    assert not found.dead
    assert found.stuck_requests == 0


def test_tool_waits_and_waits_that_the_server_asked_for_are_no_silence() -> None:
    rows = [row(i, sent=float(i)) for i in range(10)]
    assert of(rows) == Silence()  # nothing in flight at the end
    late = row(20, sent=99.9, end_s=100.0, **CUT)
    assert of([*rows, late]).at_end_s == pytest.approx(0.1)  # nobody was waiting before
    limited = row(20, sent=20.0, end_s=100.0, rate_limited=1, **CUT)
    assert not of([*rows, limited]).dead


def test_a_short_silence_does_not_matter() -> None:
    """2 s, or 5 % of a run, or half a minute."""
    for until, long_enough in ((10.0, 2.1), (100.0, 5.1), (3600.0, 30.1)):
        for silent, dead in ((long_enough, True), (long_enough - 0.2, False)):
            end = until - silent
            rows = [row(i, sent=end * i / 100, latency=end / 100, ttft=0.01, max_gap_s=0.01) for i in range(100)]
            assert of([*rows, row(200, sent=end, end_s=until, **CUT)]).dead is dead, (until, silent)


@st.composite
def requests(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """Sent, first token, last token, end, in whole seconds."""
    sent, first, last, end = sorted(draw(st.tuples(*[st.integers(0, 40)] * 4)))
    return sent, first, last, end


def by_the_second(spans: list[tuple[int, int, int, int]], until: int) -> int:
    """The longest run of seconds in which some request is in flight, none streams, and nothing is read in between."""
    reads = {instant for _, *instants in spans for instant in instants}
    longest = length = 0
    for second in range(until):
        in_flight = any(sent <= second < end for sent, _, _, end in spans)
        streaming = any(first <= second < last for _, first, last, _ in spans)
        length = 0 if second in reads else length
        length = length + 1 if in_flight and not streaming else 0
        longest = max(longest, length)
    return longest


@settings(max_examples=300, deadline=None)
@given(st.lists(requests(), min_size=1, max_size=6))
def test_the_longest_silence_second_by_second(spans: list[tuple[int, int, int, int]]) -> None:
    rows = [
        row(i, sent=float(s), first_token_s=float(f), last_token_s=float(la), end_s=float(e), max_gap_s=None)
        for i, (s, f, la, e) in enumerate(spans)
    ]
    until = max(end for *_, end in spans)
    columns = Columns(to_table(rows))
    assert _longest(columns, columns.outcome("cancelled"), float(until)) == by_the_second(spans, until)
