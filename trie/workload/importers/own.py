"""The trace format itself: rows pass as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trie.workload.accounting import family
from trie.workload.importers.importer import Importer, Source, has
from trie.workload.importers.session import Session
from trie.workload.row import parse_trace


def recognize(row: Mapping[str, Any]) -> str | None:
    """A row with turns and an input prompt."""
    return "rows with num_turns and input_prompt_length" if has(row, "num_turns", "input_prompt_length") else None


def rows(source: Source) -> Iterator[dict[str, Any]]:
    """Each row as it stands.

    Raises:
        WorkloadError: for a row that is not allowed.
    """
    for index, (place, row) in enumerate(source.objects()):
        trace = parse_trace(row, where=str(place), index=index)
        members = list(family(trace))
        source.fidelity.traces += 1
        source.fidelity.subagents += len(members) - 1
        source.fidelity.turns += sum(member.num_turns for member in members)
        source.fidelity.requests += sum(member.num_turns + 1 for member in members)
        source.fidelity.compactions += sum(plan.cut is not None for member in members for plan in member.requests())
        yield dict(row)


def _no_sessions(source: Source) -> Iterator[Session]:  # noqa: ARG001 - the form of all formats
    return iter(())


TRIE = Importer(name="trie", title="trie JSONL", recognize=recognize, sessions=_no_sessions)
