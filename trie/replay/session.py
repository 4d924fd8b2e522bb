"""One session: a trace's requests in order, each on top of what the server answered before.

Sub-agents are sessions of their own. Those of a turn start together when its answer has ended, and their parent goes on
when the last of them has. If one of them fails, the others go on to their ends, and then the parent fails: what would
follow is not what was recorded. A cancellation ends all of them at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from time import perf_counter

from trie.endpoint.headers import header
from trie.endpoint.request import Request, fill
from trie.prompts.builder import SessionPrompts
from trie.replay.dialogue import Dialogue
from trie.replay.event_loop import INTERVAL_S
from trie.replay.run_state import CANCELLED, RunState
from trie.storage.record import Outcome, RequestRecord
from trie.workload.trace import PlannedRequest


async def replay(state: RunState, prompts: SessionPrompts, slot: int, began: float | None = None) -> Outcome:
    """Run a session to its end and record every request of it that started; the worst outcome among them.

    Each request is due when its tool latency is over, counted from the instant the last response ended, so that time
    the client itself took is not added to the wait. The first one is due when the session `began`, None: now.
    """
    if state.others is not None:
        state.others.note(prompts.session_id, state.sent_prefixes)
    outcome, _ = await _replay(state, prompts, slot, perf_counter() if began is None else began)
    return outcome


async def _replay(state: RunState, prompts: SessionPrompts, slot: int, began: float) -> tuple[Outcome, float]:
    """How a session that is due at `began` ends, and the end of its last response."""
    dialogue, previous_end = Dialogue(state.request_format, prompts), began
    for planned in prompts.requests():
        dialogue.ask(planned)
        due = previous_end + planned.wait_s
        if planned.waits_for:
            outcome, due = await _subagents(state, prompts.subagents[planned.turn - 1], slot, previous_end)
            if outcome is Outcome.failed:
                return outcome, due
        elif planned.wait_s:
            due = await state.waits.until(due)
            await state.gate.enter()
        due = min(due, perf_counter())  # timers may ring up to a millisecond early
        async with state.in_flight as waited:
            plan = state.sent_prefixes.send(prompts.trace, planned, state.server(prompts.session_id))
            request = Request(
                body=state.request_format.body(dialogue.conversation, plan.completion_tokens),
                headers=_headers(state, prompts.session_id, plan),
                queued=perf_counter() if waited else due,
            )
            if state.start is not None:
                state.start.note(slot, request)
            await _record(state, request, _row(prompts, plan, slot))
        previous_end = request.exchange.end or perf_counter()
        if request.failure is not None:
            return Outcome.failed, previous_end
        dialogue.answered(plan, request.answer)
    return Outcome.ok, previous_end


async def _subagents(
    state: RunState, sessions: Iterable[SessionPrompts], slot: int, began: float
) -> tuple[Outcome, float]:
    """Replay sub-agents side by side; the worst outcome among them, and the end of the last one."""

    async def replay_one(prompts: SessionPrompts) -> tuple[Outcome, float]:
        await state.gate.enter()
        return await _replay(state, prompts, slot, began)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(replay_one(prompts)) for prompts in sessions]
    await state.gate.enter()
    outcomes, ends = zip(*(task.result() for task in tasks), strict=True)
    return Outcome.failed if Outcome.failed in outcomes else Outcome.ok, max(ends)


async def _record(state: RunState, request: Request, row: RequestRecord) -> None:
    """Send a request and hand over its row, once, however it ends."""
    state.counters.requests_in_flight += 1
    state.waits.in_flight(state.counters.requests_in_flight)
    cancelled = False
    try:
        await state.requester(row.session_id).run(request)
    except asyncio.CancelledError:
        cancelled = True
        raise
    finally:
        state.counters.requests_in_flight -= 1
        state.waits.in_flight(state.counters.requests_in_flight)
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
        parent_session_id=prompts.session.parent_session_id,
        depth=prompts.session.depth,
        slot=slot,
        turn=plan.turn,
        num_turns=prompts.trace.num_turns,
        is_final=plan.is_final,
        outcome=Outcome.ok,
        new_prompt_tokens=plan.new_prompt_tokens,
        cached_prompt_tokens=plan.cached_prompt_tokens,
        requested_completion_tokens=plan.completion_tokens,
        shared_prefix_tokens=plan.shared_tokens,
        due_s=prompts.due_s if plan.turn == 0 else None,
        lost_context_tokens=plan.lost_tokens,
        lost_turns=plan.lost_turns,
    )
