"""The sessions that replaying one trace makes: its own, and one for each of its sub-agents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from trie.workload.trace import Trace

SUBAGENT_IDS = 1_000_000_000  # session n's first sub-agent is session 1_000_000_000 + n, the second 2_000_000_000 + n


@dataclass(frozen=True, slots=True)
class TreeSession:
    """One session, and those of its sub-agents."""

    trace: Trace
    session_id: int
    parent_session_id: int | None = None
    depth: int = 0  # 0 for the trace itself
    subagents: tuple[tuple[int, TreeSession], ...] = ()  # each with the turn behind which it starts

    def after(self, turn: int) -> list[TreeSession]:
        """The sub-agents that start when the answer of a turn has ended."""
        return [session for after_turn, session in self.subagents if after_turn == turn]


def session_tree(trace: Trace, session_id: int) -> TreeSession:
    """The sessions of the trace that starts as number `session_id` of a run; the same numbers in every run."""
    return _tree(trace, session_id, None, 0, count(session_id + SUBAGENT_IDS, SUBAGENT_IDS))


def _tree(trace: Trace, session_id: int, parent: int | None, depth: int, ids: Iterator[int]) -> TreeSession:
    subagents = tuple(
        (child.after_turn, _tree(child.trace, next(ids), session_id, depth + 1, ids)) for child in trace.subagents
    )
    return TreeSession(trace, session_id, parent, depth, subagents)
