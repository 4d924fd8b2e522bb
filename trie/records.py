"""The hinge of the data path: one row for each request that started, kept in crash-safe Parquet parts.

Left of it a run produces rows once; right of it every number is derived from the rows alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trie.errors import RunDirError

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 1
VERSION_KEY = b"trie.records.version"
PART = "part-{:06d}.parquet"


class Outcome(StrEnum):
    """What became of a request: our own deadline or Ctrl-C is cancelled, which no failure rate includes."""

    ok = "ok"
    failed = "failed"
    cancelled = "cancelled"


@dataclass(slots=True, kw_only=True)
class RequestRecord:
    """One request. Instants are seconds since the run began, on one monotonic clock; None means not reached.

    A null usage field was not reported by the server; a zero was reported as zero.
    """

    trace_id: int  # row of the workload
    session_id: int  # nth trace started in this run
    slot: int  # which of the `concurrency` places the session had
    turn: int  # 0 for a session's first request
    num_turns: int  # of the trace: the request with turn == num_turns is the final one
    is_final: bool
    outcome: Outcome
    error_kind: str | None = None  # closed set, see docs/records.md
    error: str | None = None  # for people; shortened, no secrets
    http_status: int | None = None  # of the last attempt that got a status line
    attempts: int = 0  # requests written to the wire for this row
    queued_s: float = 0.0  # due: slot free, or tool latency over
    sent_s: float | None = None  # first byte of the first attempt handed to the socket
    attempt_sent_s: float | None = None  # the same of the last attempt; equal to sent_s without retries
    headers_s: float | None = None  # read of the socket that completed the response headers
    first_token_s: float | None = None  # read of the socket that brought the first chunk bearing a token
    last_token_s: float | None = None  # the same for the last one
    end_s: float | None = None  # end of the response, of the failure or of the cancellation
    new_prompt_tokens: int = 0  # synthetic accounting: input prompt, or the tool output just appended
    cached_prompt_tokens: int = 0  # synthetic accounting: everything before it
    requested_completion_tokens: int = 0
    usage_prompt_tokens: int | None = None
    usage_completion_tokens: int | None = None
    usage_cached_tokens: int | None = None
    finish_reason: str | None = None
    chunks: int = 0  # events that bore a token; not a count of tokens
    max_gap_s: float | None = None  # longest time between two reads that brought tokens
    request_bytes: int = 0  # of the request's body
    response_bytes: int = 0  # of the response's body, after any decompression
    loop_lag_s: float = 0.0  # worst lateness of the client's own event loop while the request was open


_ARROW = {"int": "int64", "float": "float64", "str": "string", "bool": "bool_", "Outcome": "string"}


def arrow_schema() -> pa.Schema:
    """The Parquet schema: `RequestRecord`'s fields in order, with the schema's version in the metadata."""
    import pyarrow as pa  # noqa: PLC0415 - `import trie` must not load it

    columns = []
    for column in fields(RequestRecord):
        kind, _, optional = str(column.type).partition(" | ")
        columns.append(pa.field(column.name, getattr(pa, _ARROW[kind])(), nullable=bool(optional)))
    return pa.schema(columns, metadata={VERSION_KEY: str(SCHEMA_VERSION).encode()})


def to_table(records: Iterable[RequestRecord]) -> pa.Table:
    """Rows as an Arrow table of `arrow_schema()`."""
    import pyarrow as pa  # noqa: PLC0415

    schema = arrow_schema()
    rows = list(records)
    columns = [[getattr(row, name) for row in rows] for name in schema.names]
    arrays = [pa.array(column, type=kind.type) for column, kind in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


class RecordWriter:
    """Writes rows as numbered Parquet parts, each complete on disk before it has its name.

    Not thread-safe: one caller at a time, which may be a worker thread.

    Raises:
        RunDirError: when the folder can't be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._next = 0
        try:
            folder.mkdir(parents=True, exist_ok=False)
        except OSError as error:
            raise RunDirError(f"{folder}: can't make the folder for the rows: {error.strerror}") from error

    def write(self, records: list[RequestRecord]) -> None:
        """One part of these rows, on disk when this returns; nothing for an empty list."""
        import pyarrow.parquet as pq  # noqa: PLC0415

        if not records:
            return
        target = self._folder / PART.format(self._next)
        aside = target.with_suffix(".tmp")
        try:
            pq.write_table(to_table(records), aside, compression="zstd")
            with aside.open("rb+") as file:
                os.fsync(file.fileno())
            aside.replace(target)
        except OSError as error:
            aside.unlink(missing_ok=True)
            raise RunDirError(f"{target}: can't write rows: {error.strerror or error}") from error
        self._next += 1


def parts(folder: Path) -> Iterator[Path]:
    """The complete parts of a requests folder, in the order they were written."""
    yield from sorted(folder.glob("part-*.parquet"))


def read_records(folder: Path) -> pa.Table:
    """All rows of a requests folder as one table of `arrow_schema()`; no rows is a table of length 0.

    Raises:
        RunDirError: for a missing folder, a part that is no Parquet file, or rows of another schema version.
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    if not folder.is_dir():
        raise RunDirError(f"{folder}: no such folder; a run directory holds its rows in requests/")
    tables: list[Any] = []
    for part in parts(folder):
        try:
            table = pq.read_table(part, partitioning=None)
        except (OSError, pa.ArrowException) as error:
            raise RunDirError(f"{part}: not a readable Parquet file: {str(error).splitlines()[0]}") from error
        version = (table.schema.metadata or {}).get(VERSION_KEY, b"none").decode()
        if version != str(SCHEMA_VERSION):
            raise RunDirError(f"{part}: rows of schema version {version}, this trie reads {SCHEMA_VERSION}")
        tables.append(table)
    return pa.concat_tables(tables) if tables else arrow_schema().empty_table()
