"""What the requests of a workload add up to: those of sub-agents among them, and prefixes that traces share.

A trace alone can't tell whether its shared prefix is new: that depends on whether a request before it had it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator

from trie.workload.trace import PlannedRequest, Trace


class SentPrefixes:
    """The shared prefixes that were sent so far, each with the longest part of it; `server` keeps caches apart."""

    def __init__(self) -> None:
        self._longest: dict[tuple[Hashable, Hashable], int] = {}

    def send(self, trace: Trace, plan: PlannedRequest, server: Hashable = None) -> PlannedRequest:
        """A request as it is sent now: what was sent before of its shared prefix counts as cached."""
        if not plan.shared_tokens:
            return plan
        key = server, trace.shared_prefix_id
        before = self._longest.get(key, 0)
        self._longest[key] = max(before, plan.shared_tokens)
        cached = min(before, plan.shared_tokens)
        return plan._replace(new_prompt_tokens=plan.prompt_tokens - cached, cached_prompt_tokens=cached)


def family(trace: Trace) -> Iterator[Trace]:
    """A trace, its sub-agents, and theirs."""
    yield trace
    for child in trace.subagents:
        yield from family(child.trace)


def most_in_flight(trace: Trace) -> int:
    """Requests of a trace that may be in flight at once: its own, or those of sub-agents that work side by side."""
    by_turn = Counter[int]()
    for child in trace.subagents:
        by_turn[child.after_turn] += most_in_flight(child.trace)
    return max(by_turn.values(), default=1)


def every_request(traces: Iterable[Trace]) -> Iterator[PlannedRequest]:
    """Each request of the traces and of their sub-agents, as if the traces were replayed one after the other."""
    sent = SentPrefixes()
    for trace in traces:
        for member in family(trace):
            for plan in member.requests():
                yield sent.send(member, plan)
