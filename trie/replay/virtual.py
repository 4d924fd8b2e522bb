"""A run in virtual time: the same slots, sessions, retries and limits, against the model instead of a server.

Theory of operation. There is one list of what is due, by instant: slots and sessions that go on, attempts that are made
again. Between two of these the model runs ahead until a request ends. Nothing waits: the clock jumps. What a run in
real time does within a pass of its event loop takes no time here, so the client is never late.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from trie.config import RunConfig
from trie.endpoint.request_body import REASONING, RECORDED
from trie.preflight.pilot import simulated_pace
from trie.replay import session_order
from trie.replay.failure_policy import Backoff
from trie.replay.session_order import PlannedSession
from trie.replay.virtual_agenda import Agenda
from trie.replay.virtual_client import VirtualClient
from trie.replay.virtual_request import Failure, OpenRequest, Session, row_of
from trie.replay.virtual_rows import VirtualRows
from trie.replay.virtual_slots import VirtualSlots
from trie.replay.virtual_text import VirtualText, bos_of
from trie.sim.virtual import Reply
from trie.storage.record import Outcome, RequestRecord
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
        self._agenda = Agenda()
        self._client = VirtualClient(config, self._agenda, sent=self._sent, ended=self._request_ended)
        self.endpoint = self._client.endpoint
        self.stop_reason: str | None = None
        self._config = config
        self._rows = VirtualRows(write, config)
        pace = pace or simulated_pace(config) if config.warms_up else None
        sessions = session_order.build(config, traces, seed=seed, pace=pace)
        self._slots = VirtualSlots(config, sessions, at=self._agenda.at, begin=self._begin_session)
        self._deadline = inf if config.warms_up else config.duration  # of the time that agenda and model have
        self._cap_s = config.load.idle_gap_cap_s
        self._note, self._limit_reached = note, limit_reached
        self._look, self._first_look_s = look, first_look_s
        self._backoff = Backoff(config.slots)
        self._idle_since: float | None = None  # that no request is in flight
        self._failed_in_a_row = [0] * config.slots
        self._waiting_for_recovery: dict[tuple[int, int], None] = {}  # slots, and which of their sessions failed
        self._bos = bos_of(config)

    @property
    def now(self) -> float:
        """The instant to which the run has come."""
        return self._agenda.now

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
        for request in list(self._client.open):
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
        return self._rows.began if self._config.warms_up else None

    def _go_on(self) -> None:
        """What happens next."""
        if self._slots.over:
            self.stop(DEADLINE if self._slots.draining else ALL_TRACES)
            return
        look = inf if self._slots.start.over else self._start()
        if self._cap_s is not None:
            self._cut_waits(self._cap_s)
        agenda, client = self._agenda, self._client
        due, timeout = agenda.next_at, client.next_timeout
        until = min(due, timeout, self._deadline, look)
        jobs = self.endpoint.until_end(until)
        if jobs:
            agenda.now = jobs[0].last_at
            for job in jobs:
                client.job_ended(job)
            return
        agenda.now = until
        if until == self._deadline:
            self._end_load()
        elif until == due:
            agenda.do_next()
        elif until == timeout:
            client.time_out()

    def _start(self) -> float:
        """Let further slots begin, if it is time; returns the next instant at which there may be a first token."""
        start = self._slots.start
        start.go_on()
        if not start.over:
            return self.endpoint.next_event_at()
        if self._rows.began is None:
            self._rows.measure(self.now)
            self._deadline = self.now + self._config.duration
            self._look_at(self.now + self._first_look_s)
        return inf

    def _cut_waits(self, cap_s: float) -> None:
        """With no request in flight, the next one comes within `load.idle_gap_cap_s`: all waits are cut alike."""
        if self._client.open:
            self._idle_since = None
        else:
            self._idle_since = self.now if self._idle_since is None else self._idle_since
            self._agenda.advance(self._client.send, self._idle_since + cap_s, OpenRequest.come_earlier)

    def _end_load(self) -> None:
        """The deadline: no session begins any more, and those that are active are cancelled, or have a limited time."""
        if self._config.at_deadline == "cancel" or self._slots.draining:
            self.stop(DEADLINE)
            return
        self._slots.draining = True
        self._deadline += self._config.drain_timeout

    def _look_at(self, instant: float) -> None:
        """Let the caller look at the run so far, again and again."""

        def look(_: None) -> None:
            self._rows.flush()
            self._look_at(self.now - self.elapsed_s + self._look(self.elapsed_s))

        if instant < inf:
            self._agenda.at(instant, look, None)

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
        self._agenda.at(due, self._client.send, request)
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
        self._agenda.at(end, self._client.send, OpenRequest(parent, parent.waiting, end))

    def _sent(self, request: OpenRequest) -> None:
        if not self._slots.start.over:
            self._slots.start.note(request)

    def _cut_off(self, request: OpenRequest) -> None:
        """The run ends: the request is cancelled."""
        row = row_of(request, self._client.cut(request), Outcome.cancelled)
        row.error_kind = self.stop_reason
        self._record(row)

    def _request_ended(self, request: OpenRequest, reply: Reply, failure: Failure | None) -> None:
        """Its session goes on, or fails with it."""
        row = row_of(request, reply, Outcome.ok if failure is None else Outcome.failed)
        if failure is not None:
            row.error_kind, row.error = failure
            self._record(row)
            self._session_ended(request.session, reply.end_s, failed=True)
            return
        self._record(row)
        if self._backoff.succeeded():
            for pause in list(self._waiting_for_recovery):
                self._resume(pause)
        plan, session = request.plan, request.session
        answer = request.job.generated if request.job is not None else 0
        session.answered(plan, plan.completion_tokens if self._config.history == RECORDED else answer)
        self._next_request(session, reply.end_s)

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
            self._agenda.at(until, self._slots.next, slot)
            return
        pause = (slot, session.tree.session_id)
        self._waiting_for_recovery[pause] = None
        self._agenda.at(until, self._resume, pause)

    def _resume(self, pause: tuple[int, int]) -> None:
        """A slot that waited for the server to recover goes on, once."""
        if pause in self._waiting_for_recovery:
            del self._waiting_for_recovery[pause]
            self._slots.next(pause[0])

    def _record(self, row: RequestRecord) -> None:
        self._note(row)
        self._rows.add(row)
