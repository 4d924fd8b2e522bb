"""Mooncake: a request a row, with the hashes of its prompt's blocks; the newer files name its session."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trie.workload.importers.call_store import CallStore
from trie.workload.importers.fields import MS, Field, Fields
from trie.workload.importers.importer import NO_LENGTHS, Importer, Source, call_of, cumulated, has, stored
from trie.workload.importers.session import Session

FIELDS = Fields(
    session=Field(("session_id",)),
    prompt=Field(("input_length", "input_tokens")),
    completion=Field(("output_length", "output_tokens")),
    start=Field(("timestamp",), MS),
    wait=Field(("delay", "delay_ms"), MS),
)
HASHES = "hash_ids"
OPEN_SESSIONS = 100_000  # that may still go on: of more, the one that went on longest ago has ended
BY_HASH = "a session is the requests that each begin with all whole blocks of the one before"


def recognize(row: Mapping[str, Any]) -> str | None:
    """Lengths beside hashes, or beside a session of its own kind."""
    if "request_id" in row or "chat_id" in row:
        return None
    lengths = FIELDS.prompt.get(row) is not None and FIELDS.completion.get(row) is not None
    if lengths and (HASHES in row or (has(row, "session_id") and ("delay" in row or "timestamp" in row))):
        return "rows with input_length, output_length and " + (HASHES if HASHES in row else "session_id")
    return None


def sessions(source: Source) -> Iterator[Session]:
    """By session_id where rows have it, by the longest prefix of hashes where they have not."""
    named, hashed = CallStore(), CallStore()
    prefixes = Prefixes()
    for _, row in source.objects():
        call = call_of(row, FIELDS)
        if call is None:
            source.drop(NO_LENGTHS)
        elif (session := row.get("session_id")) is not None:
            named.add(str(session), None, call)
        else:
            hashed.add_numbered(prefixes.session(row.get(HASHES) or ()), None, call)
    if len(named):
        whole = source.whole_prompts("Mooncake with session_id")
        for session in stored(named):
            session.calls = session.calls if whole else cumulated(session.calls)
            yield session
    for session in stored(hashed):
        if len(session.calls) > 1:
            source.assume(BY_HASH)
        yield session


class Prefixes:
    """Which session a prompt goes on: the one whose last prompt's whole blocks are the longest beginning of it.

    A block's hash covers all before it, so the last whole block of a prompt stands for all of them.
    """

    def __init__(self) -> None:
        self._ends: OrderedDict[int, int] = OrderedDict()  # last whole block of a session's last prompt -> session
        self._count = 0

    def session(self, hashes: Sequence[int]) -> int:
        """The session of a prompt with these blocks, of which the last may be partial."""
        ends = self._ends
        if ends.keys().isdisjoint(hashes):
            session = self._count
            self._count += 1
        else:
            session = ends.pop(next(block for block in reversed(hashes) if block in ends))
        if len(hashes) > 1:
            ends[hashes[-2]] = session
            if len(ends) > OPEN_SESSIONS:
                ends.popitem(last=False)
        return session


MOONCAKE = Importer(
    name="mooncake", title="Mooncake JSONL", recognize=recognize, sessions=sessions, fields={"row": FIELDS}
)
