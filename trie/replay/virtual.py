"""The closed loop in virtual time: the same slots, sessions, retries and limits, against the model instead of a server.

Theory of operation. There is one list of what is due, by instant: slots and sessions that go on, attempts that are made
again. Between two of these the model runs ahead until a request ends. Nothing waits: the clock jumps. What a run in
real time does within a pass of its event loop takes no time here, so the client is never late.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from math import inf
from typing import Any

from trie.config import RunConfig, Start
from trie.endpoint.request_body import REASONING, RECORDED
from trie.endpoint.retry import FIRST_PAUSE_S, MAX_DOUBLINGS, MAX_PAUSE_S, RETRYABLE_KINDS
from trie.errors import ConfigError
from trie.preflight.pilot import simulated_pace
from trie.replay import session_order
from trie.replay.failure_policy import Backoff
from trie.replay.session_order import PlannedSession
from trie.replay.virtual_request import Failure, OpenRequest, Session, failure_of, refusal, row_of
from trie.replay.virtual_rows import VirtualRows
from trie.replay.virtual_slots import VirtualSlots
from trie.replay.virtual_text import VirtualText, bos_of
from trie.sim.faults import REFUSED
from trie.sim.virtual import Reply, SessionJob, VirtualEndpoint
from trie.storage.record import Outcome, RequestRecord
from trie.workload.accounting import SentPrefixes
from trie.workload.beginning import Beginning, requests_from
from trie.workload.closed_loop import Pace
from trie.workload.session_tree import TreeSession, session_tree
from trie.workload.trace import Trace

DEADLINE, ALL_TRACES = "deadline", "max_traces"  # why a run ended, unless `stop` was told why


class VirtualReplay:
    """Replays traces in virtual time until the deadline, the last trace, or `stop`.

    Args:
        config: of the run.
        traces: taken in order, and again from the first.
        write: takes rows, in the order in which their requests ended.
        limit_reached: asked after each failed session: the reason to end the run, or None.
        note: told each row as its request ends.
        seed: of what the slots begin with where the start is stationary.
        pace: at which the server works, for that; None: as a pilot of the model tells.
        look: called with the seconds that the run has lasted, all rows written; says when to call it next.
        first_look_s: when to call it first; infinity for never.
    """

    def __init__(
        self,
        config: RunConfig,
        traces: Sequence[Trace],
        *,
        write: Callable[[list[RequestRecord]], None],
        note: Callable[[RequestRecord], None] = lambda _: None,
        limit_reached: Callable[[], str | None] = lambda: None,
        seed: int = 0,
        pace: Pace | None = None,
        look: Callable[[float], float] = lambda _: inf,
        first_look_s: float = inf,
    ) -> None:
        self.endpoint = VirtualEndpoint(config.sim, stream=config.stream)
        self.now = 0.0
        self.stop_reason: str | None = None
        self._config = config
        stationary = config.start is Start.stationary
        self._rows = VirtualRows(write, config)
        pace = pace or simulated_pace(config) if stationary else None
        sessions = session_order.build(config, traces, seed=seed, pace=pace)
        self._slots = VirtualSlots(config, sessions, at=self._at, begin=self._begin_session)
        self._deadline_after = config.duration
        self._note, self._limit_reached = note, limit_reached
        self._look, self._first_look_s = look, first_look_s
        self._backoff = Backoff(config.slots)
        self._due: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._order = 0
        self._timeouts: deque[tuple[float, OpenRequest]] = deque()
        self._open: dict[OpenRequest, None] = {}
        self._owners: dict[SessionJob, OpenRequest] = {}
        self._failed_in_a_row = [0] * config.slots
        self._waiting_for_recovery: dict[tuple[int, int], None] = {}  # slots, and which of their sessions failed
        self._bos = bos_of(config)
        self._sent_prefixes = SentPrefixes()
        self._waiting_to_send: deque[OpenRequest] = deque()

    def stop(self, reason: str) -> None:
        """End the run at the instant it has come to; may be called from another thread."""
        self.stop_reason = self.stop_reason or reason

    def run(self) -> str:
        """Replay; returns why it ended: `deadline`, `max_traces`, or the reason given to `stop`.

        Raises:
            RunDirError: when rows can't be written.
            ConfigError: for what has no answer in virtual time.
        """
        if self._rows.began is not None:
            self._look_at(self._first_look_s)
        self._slots.begin()
        while self.stop_reason is None:
            self._go_on()
        for request in list(self._open):
            self._cut_off(request)
        if self._rows.began is None:  # ended while it warmed up
            self._rows.measure(self.now)
        self._rows.flush()
        return self.stop_reason

    @property
    def elapsed_s(self) -> float:
        """Since the run began: 0 while it warms up."""
        return 0.0 if self._rows.began is None else self.now - self._rows.began

    @property
    def begun(self) -> int:
        """Sessions that have begun."""
        return self._slots.begun

    @property
    def drain_s(self) -> float | None:
        """For how long traces went on after the deadline; None where they did not."""
        return self.elapsed_s - self._config.duration if self._slots.draining else None

    @property
    def warm_up_s(self) -> float | None:
        """How long the run warmed up; None where it does not."""
        return self._rows.began if self._config.start is Start.stationary else None

    def _go_on(self) -> None:
        """What happens next."""
        if self._slots.over:
            self.stop(DEADLINE if self._slots.draining else ALL_TRACES)
            return
        start = self._slots.start
        if not start.over:
            start.go_on()
            if start.over and self._rows.began is None:
                self._rows.measure(self.now)
                self._look_at(self.now + self._first_look_s)
        due = self._due[0][0] if self._due else inf
        timeouts = self._timeouts
        while timeouts and timeouts[0][1].closed:
            timeouts.popleft()
        timeout = timeouts[0][0] if timeouts else inf
        deadline = inf if self._rows.began is None else self._rows.began + self._deadline_after
        look = inf if start.over else self.endpoint.next_event_at()  # which may be a first token
        until = min(due, timeout, deadline, look)
        jobs = self.endpoint.until_end(until)
        if jobs:
            self.now = jobs[0].last_at
            for job in jobs:
                self._job_ended(job)
            return
        self.now = until
        if until == deadline:
            self._end_load()
        elif until == due:
            _, _, action, argument = heappop(self._due)
            action(argument)
        elif until == timeout:
            self._time_out(timeouts.popleft()[1])

    def _end_load(self) -> None:
        """The deadline: no session begins any more, and those that are active are cancelled, or have a limited time."""
        if self._config.at_deadline == "cancel" or self._slots.draining:
            self.stop(DEADLINE)
            return
        self._slots.draining = True
        self._deadline_after += self._config.drain_timeout

    def _look_at(self, instant: float) -> None:
        """Let the caller look at the run so far, again and again."""

        def look(_: None) -> None:
            self._rows.flush()
            self._look_at(self.now - self.elapsed_s + self._look(self.elapsed_s))

        if instant < inf:
            self._at(instant, look, None)

    def _at(self, instant: float, action: Callable[[Any], None], argument: Any) -> None:
        self._order += 1
        heappush(self._due, (instant, self._order, action, argument))

    def _begin_session(self, slot: int, planned: PlannedSession) -> OpenRequest:
        tree = session_tree(planned.trace, planned.session_id)
        session = self._session(tree, slot, begins=planned.begins)
        session.due_s = planned.due_s
        request = self._next_request(session, self.now)
        assert request is not None  # each trace begins with one
        return request

    def _session(
        self, tree: TreeSession, slot: int, *, parent: Session | None = None, begins: Beginning | None = None
    ) -> Session:
        plans = list(tree.trace.requests(reasoning_back=self._config.history == REASONING))
        text = VirtualText(tree, self._bos)
        for plan in plans[: 0 if begins is None else begins.turn]:  # said and heard before the session begins
            text.ask(plan)
            text.answered(plan.answer_tokens)
        return Session(tree, slot, requests_from(plans, begins), text, parent, begins)

    def _next_request(self, session: Session, previous_end: float) -> OpenRequest | None:
        plan = next(session.requests, None)
        if plan is None:
            self._session_ended(session, previous_end)
            return None
        session.text.ask(plan)
        if plan.waits_for:
            session.waiting, session.at_work = plan, len(plan.waits_for)
            for subagent in session.tree.after(plan.turn - 1):
                self._next_request(self._session(subagent, session.slot, parent=session), previous_end)
            return None
        due = previous_end + plan.wait_s
        request = OpenRequest(session, plan, due)
        self._at(due, self._begin, request)
        return request

    def _session_ended(self, session: Session, end: float, *, failed: bool = False) -> None:
        """A slot takes the next trace; a parent goes on behind the last of its sub-agents, or fails with them."""
        parent = session.parent
        if parent is None:
            if failed:
                self._trace_failed(session)
            else:
                self._failed_in_a_row[session.slot] = 0
                self._slots.ended()
                self._slots.next(session.slot)
            return
        parent.at_work -= 1
        parent.failed |= failed
        if parent.at_work:
            return
        if parent.failed:
            self._session_ended(parent, end, failed=True)
            return
        assert parent.waiting is not None
        self._at(end, self._begin, OpenRequest(parent, parent.waiting, end))

    def _begin(self, request: OpenRequest) -> None:
        """A request is due: it is sent, or waits where there are as many as there may be."""
        if len(self._open) == self._config.client.max_in_flight:
            self._waiting_to_send.append(request)
            return
        request.sent = self.now
        request.plan = self._sent_prefixes.send(request.session.tree.trace, request.plan)
        self._open[request] = None
        self._timeouts.append((self.now + self._config.timeout, request))
        self._attempt(request)

    def _attempt(self, request: OpenRequest) -> None:
        if request.closed:
            return
        config, plan = self._config, request.plan
        request.attempts += 1
        request.attempt_sent = self.now
        fault = self.endpoint.fault()
        at_once = fault in REFUSED or (config.stream and fault != "disconnect")
        request.status = REFUSED.get(fault or "", 200) if at_once else None
        request.headers = self.now if at_once else None
        if fault in REFUSED or fault == "disconnect":
            request.rate_limited += request.status == 429
            failure = refusal(fault, request.status)
            self._attempt_failed(request, failure, pause_s=0.0 if request.status == 429 else None)
            return
        session = request.session
        prompt = session.text.prompt(recited=config.history == RECORDED or session.recites(plan))
        natural = not config.endpoint.ignore_eos
        job = self.endpoint.ask(self.now, prompt, plan.completion_tokens, fault=fault, natural=natural)
        request.job = job
        self._owners[job] = request

    def _attempt_failed(self, request: OpenRequest, failure: Failure, *, pause_s: float | None = None) -> None:
        """Make another attempt after a pause, or end the request."""
        retries = request.attempts - 1
        request.failure = failure
        if retries == self._config.max_retries:
            self._close(request, Reply(self.now), failure)
            return
        growing = min(FIRST_PAUSE_S * 2.0 ** min(retries, MAX_DOUBLINGS), MAX_PAUSE_S)
        self._at(self.now + (growing if pause_s is None else pause_s), self._attempt, request)

    def _job_ended(self, job: SessionJob) -> None:
        request = self._owners[job]
        if job.fault == "stall":
            self._at(self.endpoint.reply(job).end_s, self._answered, request)
        else:
            self._answered(request)

    def _answered(self, request: OpenRequest) -> None:
        """A response has ended; what a fault made of it may be worth another attempt."""
        if request.closed:
            return
        job = request.job
        assert job is not None
        reply = self.endpoint.reply(job)
        limit, gap = self._config.stall_timeout, reply.max_gap_s
        if limit is not None and gap is not None and gap > limit:
            raise ConfigError(
                f"stall_timeout={limit:g}: must be null, or above {gap:.3g} seconds, with clock=virtual: tokens are so "
                "far apart here, and virtual time has no answer for a client that gives up on them"
            )
        if request.headers is None:
            request.headers, request.status = reply.end_s, 200
        failure = None if job.fault is None else failure_of(job.fault, reply, stream=self._config.stream)
        if failure is not None and failure[0] in RETRYABLE_KINDS and not reply.chunks:
            self._owners.pop(job)
            request.job = None
            self._attempt_failed(request, failure)
            return
        self._close(request, reply, failure)

    def _time_out(self, request: OpenRequest) -> None:
        if request.closed:
            return
        before = f"; before that {request.failure[1]}" if request.failure is not None else ""
        text = f"no whole answer within {self._config.timeout:g} s{before}"
        self._close(request, self._cut(request), ("timeout", text))

    def _cut(self, request: OpenRequest) -> Reply:
        """What had come of a request that the client gives up now."""
        if request.job is None:
            return Reply(self.now)
        self.endpoint.cancel(self.now, request.job)
        return self.endpoint.reply(request.job, self.now)

    def _cut_off(self, request: OpenRequest) -> None:
        """The run ends: the request is cancelled."""
        row = row_of(request, self._cut(request), Outcome.cancelled)
        row.error_kind = self.stop_reason
        self._record(row)

    def _close(self, request: OpenRequest, reply: Reply, failure: Failure | None) -> None:
        """A request has ended, and its session goes on or fails with it."""
        request.closed = True
        del self._open[request]
        if request.job is not None:
            del self._owners[request.job]
        row = row_of(request, reply, Outcome.ok if failure is None else Outcome.failed)
        if failure is not None:
            row.error_kind, row.error = failure
            self._record(row)
            self._session_ended(request.session, reply.end_s, failed=True)
            self._send_waiting()
            return
        self._record(row)
        if self._backoff.succeeded():
            for pause in list(self._waiting_for_recovery):
                self._resume(pause)
        plan, session = request.plan, request.session
        answer = request.job.generated if request.job is not None else 0
        session.answered(plan, plan.completion_tokens if self._config.history == RECORDED else answer)
        self._next_request(session, reply.end_s)
        self._send_waiting()

    def _send_waiting(self) -> None:
        """A request has ended: the one that has waited longest takes its place."""
        if self._waiting_to_send:
            self._at(self.now, self._begin, self._waiting_to_send.popleft())

    def _trace_failed(self, session: Session) -> None:
        if (reason := self._limit_reached()) is not None:
            self.stop(reason)
        slot = session.slot
        self._slots.ended()
        if self._config.load.is_open:  # the next one comes when it is due
            self._slots.next(slot)
            return
        until, recoverable = self._backoff.pause_until(self.now, self._failed_in_a_row[slot])
        self._failed_in_a_row[slot] += 1
        if not recoverable:
            self._at(until, self._slots.next, slot)
            return
        pause = (slot, session.tree.session_id)
        self._waiting_for_recovery[pause] = None
        self._at(until, self._resume, pause)

    def _resume(self, pause: tuple[int, int]) -> None:
        """A slot that waited for the server to recover goes on, once."""
        if pause in self._waiting_for_recovery:
            del self._waiting_for_recovery[pause]
            self._slots.next(pause[0])

    def _record(self, row: RequestRecord) -> None:
        self._note(row)
        self._rows.add(row)
