"""What the sessions of a run share, and how it is made of what preflight prepared."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter

from trie.endpoint.connection import Connections
from trie.endpoint.request import Requester
from trie.endpoint.request_body import RequestFormat
from trie.preflight.steps import Prepared
from trie.replay import session_order
from trie.replay.counters import Counters
from trie.replay.event_loop import LoopGate, LoopHealth
from trie.replay.failure_policy import OUTAGE_EVERY_S, Backoff, FailureWatch
from trie.replay.in_flight import InFlight
from trie.replay.other_prefixes import OtherPrefixes
from trie.replay.share import WHOLE, Share
from trie.replay.start import SlotStart
from trie.replay.tool_waits import ToolWaits
from trie.storage.record import RequestRecord
from trie.storage.row_writer import RowWriter
from trie.workload.accounting import SentPrefixes, family
from trie.workload.arrivals import ramp_step
from trie.workload.session_tree import SUBAGENT_IDS

CANCELLED = "cancelled"  # why a run ended that its caller cancelled, and what its rows carry then


@dataclass(slots=True)
class Clock:
    """The seconds of a run; instants are those of `perf_counter`."""

    began: float = math.inf  # not yet
    ended: float | None = None

    warm_up_s: float | None = None  # that came before; None for a run without one
    warming_up: bool = False

    def start(self, at: float | None = None) -> None:
        """The run begins at an instant; None: now."""
        self.began = perf_counter() if at is None else at

    def start_again(self, at: float | None = None) -> None:
        """A warm-up is over: the run begins at an instant; None: now."""
        at = perf_counter() if at is None else at
        self.warm_up_s, self.began, self.warming_up = at - self.began, at, False

    def stop(self) -> None:
        self.ended = perf_counter()

    @property
    def now_s(self) -> float:
        """Seconds since the run began: 0 before it does, and its length once it has ended."""
        if self.warming_up:
            return 0.0
        return max((perf_counter() if self.ended is None else self.ended) - self.began, 0.0)


@dataclass(slots=True, kw_only=True)
class RunState:
    """The run around a session."""

    request_format: RequestFormat
    requesters: Sequence[Requester]  # one for each server of the model
    rows: RowWriter
    gate: LoopGate
    counters: Counters
    failures: FailureWatch
    backoff: Backoff
    run_id: str  # begins the id of each session
    traces: int = 1  # of the workload: so many sessions are a cycle
    session_header: str | None = None  # names the session to routers
    clock: Clock = field(default_factory=Clock)
    health: LoopHealth = field(default_factory=LoopHealth)
    stop_reason: str | None = None  # why the run is being ended, once it is
    waits: ToolWaits = field(default_factory=ToolWaits)
    start: SlotStart | None = None  # while slots begin
    in_flight: InFlight = field(default_factory=InFlight)
    sent_prefixes: SentPrefixes = field(default_factory=SentPrefixes)
    others: OtherPrefixes | None = None  # of other workers, where traces share prefixes
    step_of: Callable[[float], int] | None = None  # of a ramp, by the second of the run
    worker_id: int | None = None  # of the process that replays a share of the run; None: it replays all of it
    node: str | None = None  # the name of its machine
    _held: list[RequestRecord] | None = None  # rows of a warm-up that is not over

    def warm_up(self) -> None:
        """From now on the run warms up, until `measure`."""
        self._held = []
        self.clock.warming_up = True

    def measure(self, at: float | None = None) -> None:
        """The warm-up is over, if there was one: the run begins, and rows of before have negative instants.

        `at`: the instant at which it begins, which may have passed just now; None: now.
        """
        if self._held is None:
            return
        held, self._held = self._held, None
        self.clock.start_again(at)
        self.health.restart()
        for row in held:
            row.shift(-(self.clock.warm_up_s or 0.0))
            row.warm_up = row.queued_s < 0
            self._keep(row)

    def add(self, row: RequestRecord) -> None:
        """Keep the row of a request that has ended."""
        if self.step_of is not None:
            row.load_step = self.step_of(row.queued_s)
        if self._held is not None:
            self._held.append(row)
        else:
            self._keep(row)

    def _keep(self, row: RequestRecord) -> None:
        row.worker_id, row.node = self.worker_id, self.node
        self.rows.add(row)

    def warms_up(self, queued_s: float) -> bool:
        """Whether a request that was due at this instant belongs to the warm-up."""
        return self._held is not None or (self.clock.warm_up_s is not None and queued_s < 0)

    def server(self, session_id: int) -> int:
        """The number of the server that a session's requests go to: each session stays with one.

        Traces take turns on the servers, and each cycle of the workload begins with the next one: so every trace
        visits every server, whatever their numbers have in common. Sub-agents go to the servers behind their trace's.
        """
        subagent, root = divmod(session_id, SUBAGENT_IDS)
        cycle, trace = divmod(root, self.traces)
        return (trace + cycle + subagent) % len(self.requesters)

    def requester(self, session_id: int) -> Requester:
        """Who sends a session's requests."""
        return self.requesters[self.server(session_id)]


def build(ready: Prepared, rows: RowWriter, share: Share = WHOLE) -> RunState:
    """The state of a run that has not begun, or of a share of it; its rows go to `rows`."""
    config, gate, counters = ready.config, LoopGate(), Counters()
    concurrency = 1 if config.load.is_open else len(share.below(config.slots))  # traces that are always active
    request_format = RequestFormat(
        config.endpoint, ready.model, stream=config.stream, form=ready.prompts.form, history=config.history
    )

    def requester(connections: Connections) -> Requester:
        return Requester(
            connections,
            request_format,
            max_retries=config.max_retries,
            timeout_s=config.timeout,
            stall_s=config.stall_timeout,
            on_retry=counters.count_retry,
            next_pass=gate.enter,
            worker=connections.base_url if len(ready.servers) > 1 else None,
        )

    state = RunState(
        request_format=request_format,
        requesters=[requester(connections) for connections in ready.servers],
        rows=rows,
        gate=gate,
        counters=counters,
        failures=FailureWatch(
            counters,
            concurrency=concurrency,
            max_failures=config.max_failures,
            max_failure_rate=config.max_failure_rate,
        ),
        backoff=Backoff(concurrency, every_s=OUTAGE_EVERY_S * share.of),
        run_id=f"{ready.seed:x}",
        waits=ToolWaits(config.load.idle_gap_cap_s),
        step_of=partial(ramp_step, config.load, config.duration) if config.load.shape == "ramp" else None,
        traces=len(ready.workload.traces),
        worker_id=None if share == WHOLE else share.index,
        node=None if share == WHOLE else platform.node(),
        session_header=config.endpoint.session_header,
        in_flight=InFlight(config.client.max_in_flight),
    )
    traces = ready.workload.traces
    if share != WHOLE and any(member.shared_prefix_length for trace in traces for member in family(trace)):
        every = session_order.build(config, traces, seed=ready.seed, pace=ready.pace)
        state.others = OtherPrefixes(every, share, state.server)
    return state
