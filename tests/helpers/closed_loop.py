"""A closed loop of agents on the simulator's model, in virtual time: what a run against it must measure."""

from __future__ import annotations

import heapq
from itertools import count, cycle

from trie.config import SimConfig
from trie.sim.timing import Job, Model
from trie.workload.trace import Trace


def throughput(config: SimConfig, traces: list[Trace], concurrency: int, duration_s: float) -> float:
    """Steady completion tok/s: the slope from the first completion after a fifth of the time to the last."""
    points = completions(config, traces, concurrency, duration_s)
    since = points[-1][0] * 0.2
    steady = [(at, tokens) for at, tokens in points if at >= since]
    return sum(tokens for _, tokens in steady[1:]) / (steady[-1][0] - steady[0][0])


def completions(config: SimConfig, traces: list[Trace], concurrency: int, duration_s: float) -> list[tuple[float, int]]:
    """When each request ended, and with how many tokens."""
    model, source, ties = Model(config), cycle(traces), count()
    due: list[tuple[float, int, Trace, int]] = [(0.0, next(ties), next(source), 0) for _ in range(concurrency)]
    running: dict[Job, tuple[Trace, int]] = {}
    points: list[tuple[float, int]] = []
    while True:
        now = min(due[0][0] if due else float("inf"), model.next_event_at())
        if now > duration_s:
            return points
        for emission in model.advance(now, limit=1):
            if emission.finished:
                trace, turn = running.pop(emission.job)
                points.append((emission.at, length(trace, turn)))
                wait = trace.tool_call_latency[turn] if turn < trace.num_turns else 0.0
                following = (trace, turn + 1) if turn < trace.num_turns else (next(source), 0)
                heapq.heappush(due, (emission.at + wait, next(ties), *following))
        while due and due[0][0] <= now:
            _, _, trace, turn = heapq.heappop(due)
            job = Job([], 8, length(trace, turn))
            running[job] = (trace, turn)
            model.submit(now, job)


def length(trace: Trace, turn: int) -> int:
    """Tokens of the answer to a trace's request."""
    return trace.assistant_response_length[turn] if turn < trace.num_turns else trace.final_assistant_response_length
