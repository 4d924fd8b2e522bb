"""A request in virtual time: what is known of it while it is open, what a fault is called, and its row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from trie.replay.virtual_text import VirtualText
from trie.sim.virtual import Reply, SessionJob
from trie.storage.record import Outcome, RequestRecord
from trie.workload.beginning import Beginning
from trie.workload.session_tree import TreeSession
from trie.workload.trace import PlannedRequest

Failure = tuple[str, str]  # kind and text


@dataclass(slots=True, eq=False)
class Session:
    """A trace being replayed, or a sub-agent of one."""

    tree: TreeSession
    slot: int
    requests: Iterator[PlannedRequest]
    text: VirtualText
    parent: Session | None = None
    begins: Beginning | None = None
    due_s: float | None = None  # of an open load
    waiting: PlannedRequest | None = None  # while sub-agents are at work, the request that waits for them
    at_work: int = 0  # of them
    failed: bool = False  # one of them did

    def recites(self, plan: PlannedRequest) -> bool:
        """Whether the prompts that follow do not hold the answer to a request as it was given."""
        return plan.dropped_tokens > 0 or (self.begins is not None and self.begins.turn == plan.turn)

    def answered(self, plan: PlannedRequest, answer: int) -> None:
        """Append what stands for the answer to a request in the prompts that follow."""
        if self.begins is not None and self.begins.turn == plan.turn:
            self.text.answered(self.begins.answer_tokens)
        else:
            self.text.answered(max(answer - plan.dropped_tokens, 0))


@dataclass(slots=True, eq=False)
class OpenRequest:
    """A request from the instant at which it is due to its end."""

    session: Session
    plan: PlannedRequest
    queued: float
    sent: float = 0.0
    attempt_sent: float = 0.0
    headers: float | None = None
    attempts: int = 0
    rate_limited: int = 0
    status: int | None = None
    failure: Failure | None = None  # of its last attempt
    job: SessionJob | None = None  # while the model has it
    closed: bool = False

    def come_earlier(self, seconds: float) -> None:
        """The wait before it is cut."""
        self.queued -= seconds


def row_of(request: OpenRequest, reply: Reply, outcome: Outcome) -> RequestRecord:
    """The row of a request that has ended, or was cut off."""
    session, plan = request.session, request.plan
    return RequestRecord(
        trace_id=session.tree.trace.row,
        session_id=session.tree.session_id,
        parent_session_id=session.tree.parent_session_id,
        depth=session.tree.depth,
        slot=session.slot,
        turn=plan.turn,
        num_turns=session.tree.trace.num_turns,
        is_final=plan.is_final,
        outcome=outcome,
        http_status=request.status,
        attempts=request.attempts,
        rate_limited=request.rate_limited,
        queued_s=request.queued,
        sent_s=request.sent,
        attempt_sent_s=request.attempt_sent,
        headers_s=request.headers,
        first_token_s=reply.first_s,
        last_token_s=reply.last_s,
        end_s=reply.end_s,
        new_prompt_tokens=plan.new_prompt_tokens,
        cached_prompt_tokens=plan.cached_prompt_tokens,
        requested_completion_tokens=plan.completion_tokens,
        shared_prefix_tokens=plan.shared_tokens,
        due_s=session.due_s if plan.turn == 0 else None,
        lost_context_tokens=plan.lost_tokens,
        lost_turns=plan.lost_turns,
        usage_prompt_tokens=reply.prompt_tokens,
        usage_completion_tokens=reply.completion_tokens,
        usage_cached_tokens=reply.cached_tokens,
        finish_reason=reply.finish,
        chunks=reply.chunks,
        max_gap_s=reply.max_gap_s,
    )


def refusal(fault: str | None, status: int | None) -> Failure:
    """What the client calls an attempt that got no answer."""
    if status is None:
        return "disconnected", "the connection was reset before an answer"
    return "http_status", f"HTTP {status}: injected fault {fault}"


def failure_of(fault: str, reply: Reply, *, stream: bool) -> Failure | None:
    """What the client calls a response that a fault has changed, or None where it is whole."""
    if fault == "reset":
        return "reset", "the connection broke in the answer"
    if fault == "error_event":
        return "error_event", "injected fault error_event"
    if fault == "empty":
        return "no_tokens", "the answer holds no token"
    if fault == "truncated" and stream:
        return "truncated", f"the stream ended after {reply.chunks} chunks without finish_reason or usage"
    if fault == "truncated":
        return "bad_response", "not JSON: half of the answer"
    return None
