"""The client's part in virtual time: requests with their attempts, pauses and timeouts, against the model."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf

from trie.config import RunConfig
from trie.endpoint.request_body import RECORDED
from trie.endpoint.retry import FIRST_PAUSE_S, MAX_DOUBLINGS, MAX_PAUSE_S, RETRYABLE_KINDS
from trie.errors import ConfigError
from trie.replay.virtual_agenda import Agenda
from trie.replay.virtual_request import Failure, OpenRequest, failure_of, refusal
from trie.sim.faults import REFUSED
from trie.sim.virtual import Reply, SessionJob, VirtualEndpoint
from trie.workload.accounting import SentPrefixes


class VirtualClient:
    """Sends requests and says how they end.

    Args:
        config: of the run.
        agenda: of the run.
        sent: told each request that is sent for the first time.
        ended: told each request that has ended, with what was seen of the answer, and the failure where it is one.
    """

    def __init__(
        self,
        config: RunConfig,
        agenda: Agenda,
        *,
        sent: Callable[[OpenRequest], None],
        ended: Callable[[OpenRequest, Reply, Failure | None], None],
    ) -> None:
        self.endpoint = VirtualEndpoint(config.sim, stream=config.stream)
        self.open: dict[OpenRequest, None] = {}
        self._config = config
        self._agenda = agenda
        self._sent, self._ended = sent, ended
        self._timeouts: deque[tuple[float, OpenRequest]] = deque()
        self._owners: dict[SessionJob, OpenRequest] = {}
        self._sent_prefixes = SentPrefixes()
        self._waiting_to_send: deque[OpenRequest] = deque()

    def send(self, request: OpenRequest) -> None:
        """A request is due: it is sent, or waits where there are as many as there may be."""
        if self._waiting_to_send or len(self.open) == self._config.client.max_in_flight:
            self._waiting_to_send.append(request)
        else:
            self._send(request)

    def _send(self, request: OpenRequest) -> None:
        request.sent = self._agenda.now
        self._sent(request)
        request.plan = self._sent_prefixes.send(request.session.tree.trace, request.plan)
        self.open[request] = None
        self._timeouts.append((self._agenda.now + self._config.timeout, request))
        self._attempt(request)

    @property
    def next_timeout(self) -> float:
        """When the next request times out that is still open."""
        timeouts = self._timeouts
        while timeouts and timeouts[0][1].closed:
            timeouts.popleft()
        return timeouts[0][0] if timeouts else inf

    def time_out(self) -> None:
        """The request whose timeout is next has had its time."""
        request = self._timeouts.popleft()[1]
        before = f"; before that {request.failure[1]}" if request.failure is not None else ""
        text = f"no whole answer within {self._config.timeout:g} s{before}"
        self._close(request, self.cut(request), ("timeout", text))

    def cut(self, request: OpenRequest) -> Reply:
        """What had come of a request that the client gives up now."""
        now = self._agenda.now
        if request.job is None:
            return Reply(now)
        self.endpoint.cancel(now, request.job)
        return self.endpoint.reply(request.job, now)

    def job_ended(self, job: SessionJob) -> None:
        """The model has ended an answer."""
        request = self._owners[job]
        if job.fault == "stall":
            self._agenda.at(self.endpoint.reply(job).end_s, self._answered, request)
        else:
            self._answered(request)

    def _attempt(self, request: OpenRequest) -> None:
        if request.closed:
            return
        config, plan, now = self._config, request.plan, self._agenda.now
        request.attempts += 1
        request.attempt_sent = now
        fault = self.endpoint.fault()
        at_once = fault in REFUSED or (config.stream and fault != "disconnect")
        request.status = REFUSED.get(fault or "", 200) if at_once else None
        request.headers = now if at_once else None
        if fault in REFUSED or fault == "disconnect":
            request.rate_limited += request.status == 429
            failure = refusal(fault, request.status)
            self._attempt_failed(request, failure, pause_s=0.0 if request.status == 429 else None)
            return
        session = request.session
        prompt = session.text.prompt(recited=config.history == RECORDED or session.recites(plan))
        natural = not config.endpoint.ignore_eos
        job = self.endpoint.ask(now, prompt, plan.completion_tokens, fault=fault, natural=natural)
        request.job = job
        self._owners[job] = request

    def _attempt_failed(self, request: OpenRequest, failure: Failure, *, pause_s: float | None = None) -> None:
        """Make another attempt after a pause, or end the request."""
        retries, now = request.attempts - 1, self._agenda.now
        request.failure = failure
        if retries == self._config.max_retries:
            self._close(request, Reply(now), failure)
            return
        growing = min(FIRST_PAUSE_S * 2.0 ** min(retries, MAX_DOUBLINGS), MAX_PAUSE_S)
        self._agenda.at(now + (growing if pause_s is None else pause_s), self._attempt, request)

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

    def _close(self, request: OpenRequest, reply: Reply, failure: Failure | None) -> None:
        """A request has ended."""
        request.closed = True
        del self.open[request]
        if request.job is not None:
            del self._owners[request.job]
        self._ended(request, reply, failure)
        if self._waiting_to_send:
            self._agenda.at(self._agenda.now, self._send_waiting, None)

    def _send_waiting(self, _: None) -> None:
        """Requests have ended: those that have waited longest take their places."""
        while self._waiting_to_send and len(self.open) != self._config.client.max_in_flight:
            request = self._waiting_to_send.popleft()
            request.queued = self._agenda.now
            self._send(request)
