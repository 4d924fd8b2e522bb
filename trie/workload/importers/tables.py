"""CSV files of single requests: Azure's LLM traces and BurstGPT, as baselines of one turn."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping

from trie.errors import WorkloadError
from trie.workload.importers import source as files
from trie.workload.importers.call_store import CallStore
from trie.workload.importers.fields import Field, Fields
from trie.workload.importers.importer import NO_LENGTHS, Importer, Source, call_of, cumulated, has, stored
from trie.workload.importers.session import Session

AZURE_FIELDS = Fields(
    prompt=Field(("ContextTokens",)), completion=Field(("GeneratedTokens",)), start=Field(("TIMESTAMP",))
)
BURSTGPT_FIELDS = Fields(
    session=Field(("Session ID",)),
    prompt=Field(("Request tokens",)),
    completion=Field(("Response tokens",)),
    start=Field(("Timestamp",)),
)
ELAPSED = Field(("Elapsed time",))


def rows(source: Source) -> Iterator[Mapping[str, str]]:
    """The rows of all files by the names in their first line.

    Raises:
        WorkloadError: for a file that is no CSV in UTF-8.
    """
    for file in files.files(source.path):
        try:
            for row in csv.DictReader(line.decode("utf-8-sig") for _, line in files.lines(file)):
                source.fidelity.rows += 1
                yield row
        except (csv.Error, UnicodeDecodeError) as error:
            raise WorkloadError(f"{file}: not CSV in UTF-8: {error}") from None


def recognize_azure(row: Mapping[str, object]) -> str | None:
    """Its three columns."""
    return "CSV with ContextTokens and GeneratedTokens" if has(row, "ContextTokens", "GeneratedTokens") else None


def azure(source: Source) -> Iterator[Session]:
    """Each row is a trace of one request."""
    for row in rows(source):
        call = call_of(row, AZURE_FIELDS)
        if call is None:
            source.drop(NO_LENGTHS)
        else:
            yield Session([call], start_s=call.start_s)


def recognize_burstgpt(row: Mapping[str, object]) -> str | None:
    """Its columns; an older file has neither sessions nor times of answers."""
    return "CSV with Request tokens and Response tokens" if has(row, "Request tokens", "Response tokens") else None


def burstgpt(source: Source) -> Iterator[Session]:
    """Each row is a trace of one request, unless the user says what the lengths of a session's rows count."""
    grouped = source.options.input_length is not None
    store = CallStore()
    for number, row in enumerate(rows(source)):
        call = call_of(row, BURSTGPT_FIELDS)
        if call is None:
            source.drop(NO_LENGTHS)
            continue
        elapsed_s = ELAPSED.seconds(row)
        if call.start_s is not None and elapsed_s is not None:
            call = call._replace(end_s=call.start_s + elapsed_s)
        session = BURSTGPT_FIELDS.session.get(row) if grouped else None
        store.add(f"session {session}" if session else number, call.start_s, call)
    for session_ in stored(store):
        if source.options.input_length == "new":
            session_.calls = cumulated(session_.calls)
        yield session_


AZURE = Importer(
    name="azure", title="Azure LLM CSV", recognize=recognize_azure, sessions=azure, fields={"row": AZURE_FIELDS}
)
BURSTGPT = Importer(
    name="burstgpt",
    title="BurstGPT CSV",
    recognize=recognize_burstgpt,
    sessions=burstgpt,
    fields={"row": BURSTGPT_FIELDS},
)
