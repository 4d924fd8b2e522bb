"""Points inside traces: where a session finds itself in a loop that has gone on for long, worked by hand."""

from __future__ import annotations

import math

import pytest

from trie.workload.beginning import Beginning, beginning, beginnings, requests_from
from trie.workload.closed_loop import Pace
from trie.workload.trace import Subagent, Trace

# 10 prompt tokens take 1 s and 6 of an answer 3 s, then a wait of 2 s; 5 tokens take 0.5 s, 4 of an answer 2 s.
PACE = Pace(prompt_tok_s=10.0, answer_step_s=0.5)
TRACE = Trace(10, (6,), (5,), (2.0,), 4)


@pytest.mark.parametrize(
    ("at_s", "expected"),
    [
        (0.5, Beginning(0, 6, 6, 1.0)),  # in the first prefill: the whole answer is to come
        (2.5, Beginning(0, 6, 3, 1.0)),  # half of the answer is left
        (4.5, Beginning(0, 6, 1, 0.75)),  # 0.5 s into the wait: 1.5 of 2 s are left, behind the last token
        (6.25, Beginning(1, 4, 4, 1.0)),
        (7.5, Beginning(1, 4, 2, 1.0)),
        (8.5, Beginning(1, 4, 1, 1.0)),  # the end, as rounding may have it
    ],
)
def test_what_a_session_is_doing_at_a_time(at_s: float, expected: Beginning) -> None:
    assert beginning(TRACE, PACE, at_s) == expected


def test_the_first_request_holds_all_that_came_before_and_the_others_are_those_of_the_trace() -> None:
    trace = Trace(10, (6, 7), (5, 8), (2.0, 3.0), 4)
    first, second = requests_from(trace.requests(), Beginning(1, 7, 2, 0.5))
    assert (first.turn, first.wait_s, first.completion_tokens, first.is_final) == (1, 0.0, 2, False)
    assert (first.new_prompt_tokens, first.cached_prompt_tokens) == (10 + 6 + 5, 0)
    assert (second.turn, second.wait_s, second.completion_tokens, second.is_final) == (2, 1.5, 4, True)
    assert (second.new_prompt_tokens, second.cached_prompt_tokens) == (8, 10 + 6 + 5 + 7)


def test_traces_are_drawn_by_how_long_they_last_and_points_are_uniform_in_that_time() -> None:
    """Of 1 and 3 s: three quarters are of the long one; the tokens left of its answer of 30 are uniform, mean 15.5."""
    short, long = Trace(1, (), (), (), 10, row=0), Trace(1, (), (), (), 30, row=1)
    drawn = beginnings([short, long], Pace(prompt_tok_s=math.inf, answer_step_s=0.1), 4000, 7)
    left = [begins.tokens_left for trace, begins in drawn if trace.row]
    assert len(left) / 4000 == pytest.approx(0.75, abs=4 * math.sqrt(0.75 * 0.25 / 4000))
    assert sum(left) / len(left) == pytest.approx(15, abs=4 * 30 / math.sqrt(12 * len(left)))
    assert drawn == beginnings([short, long], Pace(prompt_tok_s=math.inf, answer_step_s=0.1), 4000, 7)


def test_a_wait_for_sub_agents_lasts_as_long_as_the_longest_and_they_begin_anew() -> None:
    """The answer ends at 4 s; the sub-agents take 2 and 4 s, and the tool latency of 9 s is theirs."""
    subagents = (Subagent(0, Trace(10, (), (), (), 2)), Subagent(0, Trace(10, (), (), (), 6)))
    trace = Trace(10, (6,), (5,), (9.0,), 4, subagents=subagents)
    found = beginning(trace, PACE, 5.0)
    assert found == Beginning(0, 6, 1, 0.75)
    first, second = requests_from(trace.requests(), found)
    assert (first.waits_for, second.waits_for, second.wait_s) == ((), tuple(child.trace for child in subagents), 0.0)
    assert beginning(trace, PACE, 8.25) == Beginning(1, 4, 4, 1.0)
