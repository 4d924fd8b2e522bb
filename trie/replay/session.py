"""One session: a trace's requests in order, each on top of what the server answered before."""

from __future__ import annotations

import asyncio
from time import perf_counter

from trie.endpoint.headers import header
from trie.endpoint.request import Request, fill
from trie.endpoint.request_body import Conversation
from trie.prompts.builder import Script
from trie.replay.run_state import Setting
from trie.storage.record import Outcome, RequestRecord
from trie.workload.trace import PlannedRequest


async def replay(setting: Setting, script: Script, slot: int) -> Outcome:
    """Run a session to its end and record every request of it that started; the worst outcome among them.

    Each request is due when its tool latency is over, counted from the instant the last response ended, so that time
    the client itself took is not added to the wait.
    """
    conversation = setting.fmt.conversation()
    previous_end = perf_counter()
    for plan, part in zip(script.trace.requests(), script.parts, strict=True):
        conversation.ask(part)
        due = previous_end + plan.wait_s
        if plan.wait_s:
            await asyncio.sleep(due - perf_counter())
            await setting.gate.enter()
        request = Request(
            body=setting.fmt.body(conversation, plan.completion_tokens),
            headers=_headers(setting, script, plan),
            queued=min(due, perf_counter()),  # timers may ring up to a millisecond early
        )
        row = _row(script, plan, slot)
        try:
            await _measured(setting, request, row)
        except asyncio.CancelledError:
            row.outcome, row.error_kind = Outcome.cancelled, setting.live.ending or "cancelled"
            raise
        finally:
            _record(setting, request, row)
        if request.failure is not None:
            return Outcome.failed
        _remember(conversation, request, script, plan)
        previous_end = request.exchange.end or perf_counter()
    return Outcome.ok


def _remember(conversation: Conversation, request: Request, script: Script, plan: PlannedRequest) -> None:
    """What the next request will hold as the answer to this one."""
    if script.answers:
        conversation.recite(script.answers[plan.turn])
    else:
        conversation.answered(request.answer)


async def _measured(setting: Setting, request: Request, row: RequestRecord) -> None:
    setting.live.requests_in_flight += 1
    try:
        await setting.requester(row.session_id).run(request)
    finally:
        setting.live.requests_in_flight -= 1
        fill(row, request, setting.began)


def _headers(setting: Setting, script: Script, plan: PlannedRequest) -> bytes:
    """The request's own id and, where a setting names the header, its session's: routers keep a session on a worker."""
    session = f"{setting.run_id}-{script.session_id}"
    lines = header("X-Request-Id", f"{session}-{plan.turn}")
    if setting.session_header:
        lines += header(setting.session_header, session)
    return lines


def _row(script: Script, plan: PlannedRequest, slot: int) -> RequestRecord:
    return RequestRecord(
        trace_id=script.trace.row,
        session_id=script.session_id,
        slot=slot,
        turn=plan.turn,
        num_turns=script.trace.num_turns,
        is_final=plan.is_final,
        outcome=Outcome.ok,
        new_prompt_tokens=plan.new_prompt_tokens,
        cached_prompt_tokens=plan.cached_prompt_tokens,
        requested_completion_tokens=plan.completion_tokens,
    )


def _record(setting: Setting, request: Request, row: RequestRecord) -> None:
    live = setting.live
    row.queued_s = request.queued - setting.began
    end_s = row.end_s or 0.0
    _note_lag(setting, request, row, end_s)
    if row.outcome is Outcome.ok:
        live.completed(end_s, row.new_prompt_tokens, row.cached_prompt_tokens, row.requested_completion_tokens)
        setting.backoff.succeeded()
    elif row.outcome is Outcome.failed:
        live.requests_failed += 1
        setting.watch.note(row)
    else:
        live.requests_cancelled += 1
    setting.recorder.add(row)


def _note_lag(setting: Setting, request: Request, row: RequestRecord, end_s: float) -> None:
    """Note how late the client's own loop was while the request was open, and while its first token was awaited."""
    worst, began = setting.health.worst, setting.began
    row.loop_lag_s = worst(request.queued, began + end_s)
    if not row.loop_lag_s or row.sent_s is None:
        return
    if row.first_token_s is not None:
        row.first_token_lag_s = worst(began + row.sent_s, began + row.first_token_s)
    row.later_lag_s = worst(began + (row.first_token_s or row.sent_s), began + end_s)
