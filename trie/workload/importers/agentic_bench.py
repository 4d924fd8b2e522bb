"""agentic-bench sessions: a session a document, with the counts of each of its turns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trie.workload.importers.fields import MS, Field, Fields
from trie.workload.importers.importer import NO_LENGTHS, Importer, Source, call_of, has
from trie.workload.importers.session import Session

FIELDS = Fields(
    prompt=Field(("input_tokens",)),
    completion=Field(("output_tokens",)),
    survives=Field(("cached_tokens",)),
    wait=Field(("pre_gap_ms",), MS),
)


def recognize(row: Mapping[str, Any]) -> str | None:
    """Turns with gaps before them."""
    turns = row.get("turns")
    if isinstance(turns, list) and turns and isinstance(turns[0], dict) and has(turns[0], "input_tokens", "pre_gap_ms"):
        return "documents with turns[] that have input_tokens and pre_gap_ms"
    return None


def sessions(source: Source) -> Iterator[Session]:
    """A session a document."""
    for _, row in source.objects():
        calls = []
        for turn in row.get("turns") or ():
            call = call_of(turn, FIELDS) if isinstance(turn, dict) else None
            if call is None:
                source.drop(NO_LENGTHS)
            else:
                calls.append(call)
        yield Session(calls)


AGENTIC_BENCH = Importer(
    name="agentic-bench",
    title="agentic-bench sessions",
    recognize=recognize,
    sessions=sessions,
    fields={"turns[]": FIELDS},
)
