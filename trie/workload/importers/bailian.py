"""Qwen-Bailian: a request a row, which names the one that it goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trie.workload.importers.call_store import CallStore
from trie.workload.importers.fields import Field, Fields
from trie.workload.importers.importer import NO_LENGTHS, Importer, Source, call_of, has, stored
from trie.workload.importers.session import Session

FIELDS = Fields(
    prompt=Field(("input_length",)),
    completion=Field(("output_length",)),
    start=Field(("timestamp",)),
)
ROOT = -1
BRANCHES = "requests that branch off a conversation which another one goes on begin a trace of their own"


def recognize(row: Mapping[str, Any]) -> str | None:
    """A request with its parent."""
    return "rows with chat_id and parent_chat_id" if has(row, "chat_id", "parent_chat_id") else None


def sessions(source: Source) -> Iterator[Session]:
    """From each root along parent_chat_id."""
    store = CallStore()
    last_of: dict[int, int] = {}  # chat_id of a session's last request -> session
    count = 0
    for _, row in source.objects():
        call = call_of(row, FIELDS)
        if call is None:
            source.drop(NO_LENGTHS)
            continue
        parent = row.get("parent_chat_id", ROOT)
        session = last_of.pop(parent, None) if parent != ROOT else None
        if session is None:
            if parent != ROOT:
                source.assume(BRANCHES)
            session, count = count, count + 1
        last_of[row.get("chat_id", count)] = session
        store.add_numbered(session, None, call)
    yield from stored(store)


BAILIAN = Importer(
    name="bailian", title="Qwen-Bailian JSONL", recognize=recognize, sessions=sessions, fields={"row": FIELDS}
)
