"""One run out of the parts that its workers replayed: counters while it goes on, facts at its end. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from trie.replay.counters import RECENT_S, Counters, Point
from trie.replay.live_numbers import LiveNumbers, Spread
from trie.replay.session_order import MOST_WAITING

SUMMED = (
    "traces_active",
    "traces_completed",
    "traces_failed",
    "traces_cancelled",
    "requests_in_flight",
    "requests_ok",
    "requests_failed",
    "requests_cancelled",
    "retries",
)

Facts = Mapping[str, Any]  # of a scheduler that has ended


def update(run: Counters, workers: Sequence[Counters], now_s: float) -> None:
    """Bring the counters of a run up to date with those of its workers; its live numbers are merged on their own."""
    for name in SUMMED:
        setattr(run, name, sum(getattr(counters, name) for counters in workers))
    sums = [sum(values) for values in zip(*(counters.total[1:] for counters in workers), strict=True)]
    if sums != list(run.total[1:]):
        run.total = Point(now_s, *sums)
        run.recent.append(run.total)
    while len(run.recent) > 1 and run.recent[0].t < now_s - RECENT_S:
        run.recent.popleft()


def live_of(workers: Sequence[LiveNumbers]) -> LiveNumbers:
    """Live numbers of a run from those of its workers."""
    return LiveNumbers(
        ttft=Spread.merged([live.ttft for live in workers]),
        tpot=Spread.merged([live.tpot for live in workers]),
        prompt_tokens=sum(live.prompt_tokens for live in workers),
        cached_tokens=sum(live.cached_tokens for live in workers),
        failures=sum((live.failures for live in workers), Counter()),
    )


def end_facts(parts: Sequence[Facts]) -> dict[str, Any]:
    """What the manifest states about the end of a run, out of the facts of the workers that ended."""
    due = [part["traces_due"] for part in parts if part["traces_due"] is not None]
    waiting = sorted(instant for part in parts for instant in part.get("waiting_since_s", ()))
    return {
        "warm_up_s": _most(parts, "warm_up_s"),
        "drain_s": _most(parts, "drain_s"),
        "began_monotonic_s": _most(parts, "began_monotonic_s"),
        "traces_due": sum(due) if due else None,
        "waiting_since_s": waiting[:MOST_WAITING],
        "client": _worst([part["client"] for part in parts]) if parts else None,
    }


def _worst(clients: Sequence[Facts]) -> dict[str, Any]:
    """The client's CPU time is that of all workers; late it was by as much as the latest of them."""
    late = ("loop_lag_p50_s", "loop_lag_p99_s", "loop_lag_max_s")
    return {
        "cpu_s": sum(client["cpu_s"] for client in clients),
        **{name: max(client[name] for client in clients) for name in late},
        "samples": sum(client["samples"] for client in clients),
        "priority": " and ".join(sorted({client["priority"] for client in clients})),
    }


def _most(parts: Sequence[Facts], name: str) -> float | None:
    return max((part[name] for part in parts if part[name] is not None), default=None)
