"""What a workload will ask of a server's prefix cache, before any server is asked (closed_loop.py says how)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from math import inf
from typing import Any

import numpy as np

from trie.workload.accounting import every_request
from trie.workload.closed_loop import ClosedLoop, Floats, Held, Pace
from trie.workload.trace import Trace

KNEE = 0.95  # share of the ideal hit rate at which a cache is called large enough
HORIZON_S = 7200.0  # of a run, where nobody says: in a shorter one the longest traces are not yet among those active
MOST_TRACES = 4096  # of a run: enough that long ones have come and gone
SIZES = 12  # of the cache
MOST_CONCURRENT = 1024  # more are not tried


@dataclass(frozen=True, slots=True)
class Pass:
    """The traces replayed once at one concurrency, pace and size of the cache."""

    hit_rate: float  # the share of all prompt tokens that the cache served
    held: Held
    duration_s: float
    starts_s: Floats  # of the traces
    ends_s: Floats

    def cut_off(self, deadline_s: float) -> float:
        """The share of the traces begun before a deadline that it cuts off."""
        begun = self.starts_s < deadline_s
        return float((self.ends_s[begun] > deadline_s).mean())


@dataclass(frozen=True, slots=True)
class Demand:
    """What a closed loop at one concurrency asks of the cache."""

    concurrency: int
    pace: Pace
    traces: int  # of the workload that were replayed
    whole: Pass  # with a cache of any size
    curve: tuple[tuple[int, float], ...]  # sizes in tokens, and their hit rates

    @property
    def knee_tokens(self) -> int:
        """The size at which the hit rate comes to `KNEE` of the ideal one, by lines between the sizes tried."""
        sizes, rates = zip(*self.curve, strict=True)
        rising = np.maximum.accumulate(rates)
        return round(float(np.interp(KNEE * self.whole.hit_rate, rising, sizes)))


def replay_once(
    traces: Sequence[Trace], concurrency: int, pace: Pace, cache_tokens: float = inf, until_s: float = inf
) -> Pass:
    """Replay the traces on paper, in their order, until the last has ended or until a deadline."""
    loop = ClosedLoop(traces, min(concurrency, len(traces)), pace, cache_tokens, until_s)
    loop.run()
    return Pass(
        loop.hit_tokens / loop.prompt_tokens,
        loop.held(),
        loop.now,
        np.array(loop.starts_s),
        np.array(loop.ends_s),
    )


def demand(traces: Sequence[Trace], concurrency: int, pace: Pace, until_s: float = HORIZON_S) -> Demand:
    """What a run of so many seconds asks of caches of many sizes, up to one that holds all it ever held."""
    some = of_a_run(traces, concurrency)
    whole = replay_once(some, concurrency, pace, until_s=until_s)
    begun = some[: len(whole.starts_s)]
    most = max(whole.held.max, *(trace.context_tokens for trace in begun))
    sizes = np.linspace(0.0, 1.5 * most, SIZES + 1)[1:].round().astype(int).tolist()
    rates = [replay_once(some, concurrency, pace, size, until_s).hit_rate for size in sizes]
    return Demand(concurrency, pace, len(begun), whole, ((0, 0.0), *zip(sizes, rates, strict=True)))


def of_a_run(traces: Sequence[Trace], concurrency: int) -> Sequence[Trace]:
    """The traces of a run, in which a short file is begun again at its end."""
    return list(islice(cycle(traces), max(MOST_TRACES, 2 * concurrency)))


def knee_concurrency(traces: Sequence[Trace], cache_tokens: int, pace: Pace, until_s: float = HORIZON_S) -> int:
    """The most active traces with which a cache of this size still gives `KNEE` of the ideal hit rate; 0: none.

    The hit rate falls with the concurrency, so that the knee is sought by halves.
    """
    some = of_a_run(traces, MOST_CONCURRENT)

    def fits(concurrency: int) -> bool:
        rates = [replay_once(some, concurrency, pace, size, until_s).hit_rate for size in (cache_tokens, inf)]
        return rates[0] >= KNEE * rates[1]

    high = 1
    while high <= MOST_CONCURRENT and fits(high):
        high *= 2
    low = high // 2
    while high - low > 1 and high <= MOST_CONCURRENT:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def ideal_hit_rate(traces: Sequence[Trace]) -> float:
    """The share of the prompt tokens that an earlier request had at the head of its prompt or with its answer."""
    cached = prompt = 0
    for plan in every_request(traces):
        cached += plan.cached_prompt_tokens
        prompt += plan.prompt_tokens
    return cached / prompt


def to_json(of: Demand) -> dict[str, Any]:
    """The numbers as plain values."""
    return {
        "concurrency": of.concurrency,
        "traces": of.traces,
        "assumed_prompt_tok_s": of.pace.prompt_tok_s,
        "assumed_answer_step_s": of.pace.answer_step_s,
        "assumed_step_per_request_s": of.pace.step_per_request_s,
        "kv_tokens_mean": of.whole.held.mean,
        "kv_tokens_p95": of.whole.held.p95,
        "kv_tokens_max": of.whole.held.max,
        "ideal_hit_rate": of.whole.hit_rate,
        "knee_cache_tokens": of.knee_tokens,
        "hit_rate_by_cache_tokens": [list(point) for point in of.curve],
    }
