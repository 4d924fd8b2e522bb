"""A trace from inside: the point at which a session finds itself in a closed loop that has gone on for long. Pure.

Theory of operation. Somebody who looks at a closed loop at any moment finds in each slot a trace with a probability in
proportion to how long the trace lasts, at a point uniform in that time (the inspection paradox of renewal processes).
A stationary start draws just that. How long a trace lasts is its tool waits, which are known, and its requests, whose
times a `Pace` estimates. Where the point falls into a request, the request is made with what is left of its answer;
where it falls into a tool wait, with the last token of its answer, and what is left of the wait follows. Either way its
prompt holds all that came before in one prefill.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from trie.workload.closed_loop import Pace
from trie.workload.trace import PlannedRequest, Trace


class Beginning(NamedTuple):
    """The point inside a trace at which a session begins."""

    turn: int  # of its first request, whose prompt holds all that came before
    answer_tokens: int  # of the answer to it, as the next prompt holds it
    tokens_left: int  # of the completion, those that are still to come
    wait_left: float  # share of the tool wait behind it


def beginnings(
    traces: Sequence[Trace], pace: Pace, count: int, seed: int, *, reasoning_back: bool = False
) -> list[tuple[Trace, Beginning]]:
    """What so many slots hold at a moment of a loop in equilibrium; the same for the same seed."""
    random_numbers = random.Random(f"stationary start {seed}")
    ends_s = list(accumulate(_seconds(trace, pace) for trace in traces))
    drawn = []
    for _ in range(count):
        at = random_numbers.random() * ends_s[-1]
        index = min(bisect_right(ends_s, at), len(traces) - 1)
        before_s = ends_s[index - 1] if index else 0.0
        drawn.append((traces[index], beginning(traces[index], pace, at - before_s, reasoning_back)))
    return drawn


def beginnings_between(
    traces: Sequence[Trace],
    pace: Pace,
    count: int,
    seed: int,
    shares: tuple[float, float],
    *,
    reasoning_back: bool = False,
) -> list[tuple[Trace, Beginning]]:
    """The first traces, one for each slot, each at a point uniform between two shares of its time."""
    draw = random.Random(f"start inside {seed}")
    drawn = []
    for slot in range(count):
        trace = traces[slot % len(traces)]
        at_s = draw.uniform(*shares) * _seconds(trace, pace)
        drawn.append((trace, beginning(trace, pace, at_s, reasoning_back)))
    return drawn


def _seconds(trace: Trace, pace: Pace) -> float:
    return sum(_wait_s(plan, pace) + _request_s(plan, pace) for plan in trace.requests())


def _wait_s(plan: PlannedRequest, pace: Pace) -> float:
    """From the end of the response before a request to its send: a tool's latency, or the longest sub-agent's time."""
    return max((_seconds(trace, pace) for trace in plan.waits_for), default=plan.wait_s)


def _request_s(plan: PlannedRequest, pace: Pace) -> float:
    """From the send of a request to its end."""
    prefill_s = plan.new_prompt_tokens / pace.prompt_tok_s
    return pace.overhead_s + prefill_s + plan.completion_tokens * pace.answer_step_s


def beginning(trace: Trace, pace: Pace, at_s: float, reasoning_back: bool = False) -> Beginning:
    """What a session at this time since its trace began is doing; sub-agents that are at work begin anew."""
    last = None
    for plan in trace.requests(reasoning_back=reasoning_back):
        wait_s = _wait_s(plan, pace)
        if last is not None and at_s < wait_s:
            return Beginning(last.turn, last.answer_tokens, 1, 1.0 - at_s / wait_s)
        at_s -= wait_s
        took_s = _request_s(plan, pace)
        if at_s < took_s:
            decode_s = pace.answer_step_s * plan.completion_tokens
            left = 1.0 if decode_s <= 0 else min((took_s - at_s) / decode_s, 1.0)
            tokens_left = max(round(left * plan.completion_tokens), 1)
            return Beginning(plan.turn, plan.answer_tokens, tokens_left, 1.0)
        at_s -= took_s
        last = plan
    assert last is not None  # a trace makes at least one request
    return Beginning(last.turn, last.answer_tokens, 1, 1.0)


def requests_from(plans: Iterable[PlannedRequest], begins: Beginning | None) -> Iterator[PlannedRequest]:
    """Of a trace's requests those of a session that begins inside it, or with its first one."""
    prefix = 0  # tokens of a shared one at the head of the conversation
    for plan in plans:
        prefix = plan.shared_tokens or (prefix if plan.cut is None else 0)
        if begins is None or plan.turn > begins.turn + 1:
            yield plan
        elif plan.turn == begins.turn:
            yield plan._replace(
                wait_s=0.0,
                new_prompt_tokens=plan.prompt_tokens,
                cached_prompt_tokens=0,
                completion_tokens=begins.tokens_left,
                resent_tokens=plan.prompt_tokens - plan.text_tokens,
                shared_tokens=prefix,
                waits_for=(),
            )
        elif plan.turn == begins.turn + 1:
            yield plan._replace(wait_s=plan.wait_s * begins.wait_left)
