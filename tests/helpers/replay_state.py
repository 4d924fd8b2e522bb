"""A run around sessions, without its preflight: real connections, and rows in a folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from helpers.scripted_server import DONE, END, HEAD, Script, chunked, event
from trie.config import EndpointConfig, LoadConfig, Start
from trie.endpoint.connection import Connections
from trie.endpoint.request import Requester
from trie.endpoint.request_body import RequestFormat
from trie.prompts.builder import SessionPrompts
from trie.replay.counters import Counters
from trie.replay.event_loop import LoopGate
from trie.replay.failure_policy import Backoff, FailureWatch
from trie.replay.prompt_queue import PromptQueue
from trie.replay.run_state import RunState
from trie.replay.scheduler import Scheduler
from trie.replay.session_order import PlannedSession, SessionOrder
from trie.storage.parquet_parts import PartsWriter, read_records
from trie.storage.row_writer import RowWriter
from trie.workload.arrivals import arrivals
from trie.workload.beginning import Beginning
from trie.workload.session_tree import session_tree
from trie.workload.trace import Trace

WHOLE: Script = (HEAD, chunked(event("a") + event("b", '"stop"') + DONE), END)
BEGUN: Script = (HEAD, chunked(event("a")), 60.0)  # a first token, and nothing more


def trace(*waits_s: float, row: int = 0) -> Trace:
    """A trace with these tool latencies: prompts of 3 tokens, tool outputs of 1, answers of 2."""
    turns = len(waits_s)
    return Trace(3, (2,) * turns, (1,) * turns, waits_s, 2, row=row)


def planned_prompts(planned: PlannedSession) -> SessionPrompts:
    """The prompts of a planned session."""
    prompts = prompts_of(
        planned.trace, planned.session_id, [b" a"] * (planned.begins.turn + 1 if planned.begins else 0)
    )
    return replace(prompts, begins=planned.begins, due_s=planned.due_s)


def prompts_of(trace: Trace, session_id: int = 0, answers: Sequence[bytes] = ()) -> SessionPrompts:
    """Prompts " p0", " p1", ... of a session."""
    parts = tuple((b" p%d" % plan.turn,) for plan in trace.requests())
    plans = tuple(trace.requests())
    return SessionPrompts(session_tree(trace, session_id), plans, parts, tuple((answer,) for answer in answers))


@asynccontextmanager
async def run_state(
    url: str, folder: Path, *, concurrency: int = 1, max_retries: int = 0, gate: LoopGate | None = None, **given: Any
) -> AsyncIterator[RunState]:
    """The state of a run against one server; its rows go to `folder`."""
    endpoint = EndpointConfig(base_url=url)
    gate, counters = gate or LoopGate(), Counters()
    limits = {name: given.pop(name, None) for name in ("max_failures", "max_failure_rate")}
    rows = given.pop("rows", None) or RowWriter(PartsWriter(folder))
    request_format = RequestFormat(endpoint, "m", stream=True)
    async with Connections(endpoint, url) as connections:
        requester = Requester(
            connections,
            request_format,
            max_retries=max_retries,
            timeout_s=30.0,
            on_retry=counters.count_retry,
            next_pass=gate.enter,
        )
        yield RunState(
            request_format=request_format,
            requesters=[requester],
            rows=rows,
            gate=gate,
            counters=counters,
            failures=FailureWatch(counters, concurrency=concurrency, **limits),
            backoff=Backoff(concurrency),
            run_id="r",
            **given,
        )


def scheduler(
    state: RunState,
    traces: Sequence[Trace],
    *,
    concurrency: int = 1,
    duration_s: float = 30.0,
    max_traces: int | None = None,
    inside: Sequence[tuple[Trace, Beginning]] = (),
    start_mode: Start = Start.together,
    load: LoadConfig | None = None,
    drain_s: float | None = None,
    warm_up_per_slot: int = 0,
) -> Scheduler:
    """A scheduler of sessions of these traces, in turn."""
    due_s = arrivals(load, traces, 0) if load is not None and load.is_open else None
    order = SessionOrder(traces, most=max_traces, inside=inside, due_s=due_s)
    queue = PromptQueue(order, planned_prompts, ahead=concurrency)
    return Scheduler(
        state,
        queue,
        slots=concurrency,
        duration_s=duration_s,
        load=load,
        start_mode=start_mode,
        drain_s=drain_s,
        warm_up_per_slot=warm_up_per_slot,
    )


def rows_in(folder: Path) -> list[dict[str, Any]]:
    """The rows on disk, by session and turn."""
    rows: list[dict[str, Any]] = read_records(folder).to_pylist()
    return sorted(rows, key=lambda row: (row["session_id"], row["turn"]))
