"""Dynamo's request trace: an event a row, with or without the agent that it belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trie.errors import WorkloadError
from trie.workload.importers.call_store import CallStore
from trie.workload.importers.fields import MS, Field, Fields
from trie.workload.importers.importer import NO_LENGTHS, Importer, Source, call_of, stored
from trie.workload.importers.mooncake import BY_HASH, Prefixes
from trie.workload.importers.session import Session

FIELDS = Fields(
    session=Field(("agent_context.trajectory_id", "agent_context.session_id")),
    prompt=Field(("request.replay.input_length", "request.input_tokens")),
    completion=Field(("request.output_tokens",)),
    start=Field(("request.request_received_ms",), MS),
    end=Field(("event_time_unix_ms",), MS),
    survives=Field(("request.cached_tokens",)),
)
HASHES = Field(("request.replay.input_sequence_hashes",))
SCHEMA, END = "dynamo.request.trace", "request_end"


def recognize(row: Mapping[str, Any]) -> str | None:
    """The schema names itself."""
    return "rows whose schema is dynamo.request.trace" if str(row.get("schema")).startswith(SCHEMA) else None


def sessions(source: Source) -> Iterator[Session]:
    """By trajectory where rows have an agent_context, by hashes where none has one.

    Raises:
        WorkloadError: when only some rows have one: the others' sessions would be torn apart.
    """
    store, prefixes = CallStore(), Prefixes()
    with_agents = None
    for place, row in source.objects():
        if row.get("event_type") != END:
            source.drop("events that end no request")
            continue
        key = FIELDS.session.get(row)
        if with_agents is not None and with_agents != (key is not None):
            raise WorkloadError(f"{place}: rows with and without agent_context in one file; import them apart")
        with_agents = key is not None
        call = call_of(row, FIELDS)
        if call is None:
            source.drop(NO_LENGTHS)
        elif with_agents:
            store.add(str(key), call.start_s, call)
        else:
            store.add_numbered(prefixes.session(HASHES.get(row) or ()), call.start_s, call)
    if with_agents is False:
        source.assume(BY_HASH)
    yield from stored(store)


DYNAMO = Importer(
    name="dynamo", title="Dynamo request trace", recognize=recognize, sessions=sessions, fields={"row": FIELDS}
)
