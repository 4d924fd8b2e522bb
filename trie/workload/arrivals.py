"""When the traces of an open load are due. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import count, islice, takewhile

from trie.config import LoadConfig
from trie.errors import WorkloadError
from trie.workload.trace import Trace


def arrivals(load: LoadConfig, traces: Sequence[Trace], seed: int) -> Iterator[float]:
    """The instants at which traces are due, in seconds since the run began: without an end, or those recorded."""
    if load.shape == "poisson":
        return _poisson(load.rate, seed)
    if load.shape == "constant":
        return (number / load.rate for number in count())
    return _recorded(in_order(load, traces), load.speed)


def _poisson(rate: float, seed: int) -> Iterator[float]:
    draw, at = random.Random(f"arrivals:{seed}"), 0.0
    while True:
        at += draw.expovariate(rate)
        yield at


def _recorded(traces: Sequence[Trace], speed: float) -> Iterator[float]:
    """From the first of them on."""
    offsets = [trace.start_offset_s or 0.0 for trace in traces]
    return ((offset - offsets[0]) / speed for offset in offsets)


def in_order(load: LoadConfig, traces: Sequence[Trace]) -> Sequence[Trace]:
    """The traces in the order in which they begin.

    Raises:
        WorkloadError: for a schedule of traces of which one does not say when it began.
    """
    if load.shape != "schedule":
        return traces
    missing = next((trace for trace in traces if trace.start_offset_s is None), None)
    if missing is not None:
        raise WorkloadError(
            f"load=schedule: trace {missing.row} has no start_offset_s, which says when it began; load=poisson or "
            "load=constant need none"
        )
    return sorted(traces, key=lambda trace: (trace.start_offset_s or 0.0, trace.row))


def due_until(
    load: LoadConfig, traces: Sequence[Trace], seed: int, *, until_s: float, most: int | None = None
) -> list[float]:
    """The instants before one, of at most so many traces."""
    return list(takewhile(lambda at: at < until_s, islice(arrivals(load, traces, seed), most)))


def ramp_step(load: LoadConfig, duration_s: float, at_s: float) -> int:
    """Which of the levels of a ramp holds at an instant; the last one from its beginning on."""
    return max(min(int(at_s * len(load.levels) / duration_s), len(load.levels) - 1), 0)
