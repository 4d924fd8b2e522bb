"""One session: a trace's requests in order, each on top of what the server answered before."""

from __future__ import annotations

import asyncio
from time import perf_counter

from trie.endpoint.headers import header
from trie.endpoint.request import Request, fill
from trie.endpoint.request_body import Conversation
from trie.prompts.builder import SessionPrompts
from trie.replay.event_loop import INTERVAL_S
from trie.replay.run_state import CANCELLED, RunState
from trie.storage.record import Outcome, RequestRecord
from trie.workload.trace import PlannedRequest


async def replay(state: RunState, prompts: SessionPrompts, slot: int) -> Outcome:
    """Run a session to its end and record every request of it that started; the worst outcome among them.

    Each request is due when its tool latency is over, counted from the instant the last response ended, so that time
    the client itself took is not added to the wait.
    """
    conversation = state.request_format.conversation()
    _catch_up(conversation, prompts)
    previous_end = perf_counter()
    for plan in prompts.requests():
        conversation.ask(prompts.parts[plan.turn])
        due = previous_end + plan.wait_s
        if plan.wait_s:
            await asyncio.sleep(due - perf_counter())
            await state.gate.enter()
        request = Request(
            body=state.request_format.body(conversation, plan.completion_tokens),
            headers=_headers(state, prompts.session_id, plan),
            queued=min(due, perf_counter()),  # timers may ring up to a millisecond early
        )
        if state.start is not None:
            state.start.note(slot, request)
        await _record(state, request, _row(prompts, plan, slot))
        if request.failure is not None:
            return Outcome.failed
        _remember(conversation, request, prompts, plan)
        previous_end = request.exchange.end or perf_counter()
    return Outcome.ok


def _catch_up(conversation: Conversation, prompts: SessionPrompts) -> None:
    """Say what a session that begins inside its trace would have said and heard before."""
    for turn in range(prompts.begins.turn if prompts.begins is not None else 0):
        conversation.ask(prompts.parts[turn])
        conversation.recite(prompts.answers[turn])


def _remember(conversation: Conversation, request: Request, prompts: SessionPrompts, plan: PlannedRequest) -> None:
    """What the next request will hold as the answer to this one."""
    if plan.turn < len(prompts.answers):
        conversation.recite(prompts.answers[plan.turn])
    else:
        conversation.answered(request.answer)


async def _record(state: RunState, request: Request, row: RequestRecord) -> None:
    """Send a request and hand over its row, once, however it ends."""
    state.counters.requests_in_flight += 1
    cancelled = False
    try:
        await state.requester(row.session_id).run(request)
    except asyncio.CancelledError:
        cancelled = True
        raise
    finally:
        state.counters.requests_in_flight -= 1
        _fill(state, request, row)
        if cancelled:  # whatever an attempt before had failed with
            row.outcome, row.error_kind = Outcome.cancelled, state.stop_reason or CANCELLED
        _count(state, row)
        state.add(row)


def _fill(state: RunState, request: Request, row: RequestRecord) -> None:
    began = state.clock.began
    fill(row, request, began)
    row.queued_s = request.queued - began
    row.warm_up = state.warms_up(row.queued_s)
    _note_lag(state, request, row)


def _note_lag(state: RunState, request: Request, row: RequestRecord) -> None:
    """Note how late the client's own loop was while the request was open, and while its first token was awaited."""
    worst, began = state.health.worst, state.clock.began
    end = began + (row.end_s or 0.0)
    row.loop_lag_s = worst(request.queued, end)
    if not row.loop_lag_s or row.sent_s is None:
        return
    if row.first_token_s is not None:
        row.first_token_lag_s = worst(began + row.sent_s, began + row.first_token_s, unseen_s=INTERVAL_S)
    row.later_lag_s = worst(began + (row.first_token_s or row.sent_s), end, unseen_s=INTERVAL_S)


def _count(state: RunState, row: RequestRecord) -> None:
    state.counters.live.note(row, perf_counter())
    if row.outcome is Outcome.ok and row.warm_up:
        state.counters.requests_ok += 1
        state.backoff.succeeded()
    elif row.outcome is Outcome.ok:
        state.counters.completed(
            row.end_s or 0.0, row.new_prompt_tokens, row.cached_prompt_tokens, row.requested_completion_tokens
        )
        state.backoff.succeeded()
    elif row.outcome is Outcome.failed:
        state.counters.requests_failed += 1
        state.failures.note(row)
    else:
        state.counters.requests_cancelled += 1


def _headers(state: RunState, session_id: int, plan: PlannedRequest) -> bytes:
    """The request's own id and, where a setting names the header, its session's: routers keep a session on a worker."""
    session = f"{state.run_id}-{session_id}"
    lines = header("X-Request-Id", f"{session}-{plan.turn}")
    if state.session_header:
        lines += header(state.session_header, session)
    return lines


def _row(prompts: SessionPrompts, plan: PlannedRequest, slot: int) -> RequestRecord:
    return RequestRecord(
        trace_id=prompts.trace.row,
        session_id=prompts.session_id,
        slot=slot,
        turn=plan.turn,
        num_turns=prompts.trace.num_turns,
        is_final=plan.is_final,
        outcome=Outcome.ok,
        new_prompt_tokens=plan.new_prompt_tokens,
        cached_prompt_tokens=plan.cached_prompt_tokens,
        requested_completion_tokens=plan.completion_tokens,
    )
