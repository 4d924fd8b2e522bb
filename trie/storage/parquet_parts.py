"""The boundary of the data path: one row for each request that started, kept in crash-safe Parquet parts.

Left of it a run produces rows once; right of it every number is derived from the rows alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from trie.errors import RunDirError
from trie.storage.record import SCHEMA_VERSION, VERSION_KEY, RequestRecord, arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

PART = "part-{}{:06d}.parquet"
RANGE_PART = "part-{}{:06d}-{:06d}.parquet"
OF_WORKER = "w{:04d}-"  # before the numbers of a part whose rows are a worker's
NAME = re.compile(r"part-(w\d+-)?(\d+)(?:-(\d+))?")
MERGE_AT = 64  # parts that become one while a run goes on
JOINED_ROWS = 2**18  # that are in memory while parts are merged


def to_table(records: Iterable[RequestRecord]) -> pa.Table:
    """Rows as an Arrow table of `arrow_schema()`."""
    import pyarrow as pa

    schema = arrow_schema()
    rows = list(records)
    arrays = [_column([getattr(row, column.name) for row in rows], column.type) for column in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    """Values, None for nulls, as an Arrow array, out of its buffers: `pyarrow.array` would import pandas."""
    import numpy as np
    import pyarrow as pa

    def bits(flags: list[Any]) -> pa.Buffer:
        return pa.py_buffer(np.packbits(np.array(flags, bool), bitorder="little"))

    nulls = values.count(None)
    valid = bits([value is not None for value in values]) if nulls else None
    if pa.types.is_string(kind):
        texts = [(value or "").encode(errors="replace") for value in values]
        ends = np.fromiter(accumulate(map(len, texts), initial=0), np.int32, len(texts) + 1)
        data = [pa.py_buffer(ends), pa.py_buffer(b"".join(texts))]
    elif pa.types.is_boolean(kind):
        data = [bits(values)]
    else:
        data = [pa.py_buffer(np.array([value or 0 for value in values], kind.to_pandas_dtype()))]
    return pa.Array.from_buffers(kind, len(values), [valid, *data], nulls)


def warm_up() -> None:
    """Import what writing rows needs and write none, so that the first part of a run costs no more than the others."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(to_table([]), pa.BufferOutputStream(), compression="zstd")


class PartsWriter:
    """Writes rows as numbered Parquet parts, each complete on disk before it has its name.

    Small parts are merged into larger ones as a run goes on, so that a long run is not a folder of thousands. A part
    named for a range of numbers stands for all of them; a reader passes over those it covers, so that being killed
    between the rename and the clean-up costs nothing. Not thread-safe: one caller at a time, which may be a thread.

    Args:
        folder: of the rows, which is made.
        worker: writes its parts beside those of other workers, into a folder that is there; None: alone.

    Raises:
        RunDirError: when the folder exists already or can't be written.
    """

    def __init__(self, folder: Path, *, worker: int | None = None) -> None:
        self._folder = folder
        self._owner = "" if worker is None else OF_WORKER.format(worker)
        self._next = 0
        self._unmerged = 0  # number of the first part that is not in a merged one
        if worker is not None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=False)
        except FileExistsError:
            raise RunDirError(f"{folder}: holds another run's rows; choose a new output directory") from None
        except OSError as error:
            raise RunDirError(f"{folder}: can't make the folder for the rows: {error.strerror}") from error

    def write(self, records: list[RequestRecord]) -> None:
        """One part of these rows, on disk when this returns; nothing for an empty list.

        Raises:
            RunDirError: when it can't be written; what was written before is whole.
        """
        if records:
            self.write_table(to_table(records))

    def write_table(self, table: pa.Table) -> None:
        """One part of the rows of a table of `arrow_schema()`, as `write` does it.

        Raises:
            RunDirError: when it can't be written.
        """
        self._put([table], PART.format(self._owner, self._next))
        self._next += 1
        if self._next - self._unmerged == MERGE_AT:
            self._merge(self._unmerged)
            self._unmerged = self._next

    def close(self) -> None:
        """Merge all parts into one; the rows were safe before, and are as safe where they can't be merged."""
        if self._next > 1:
            self._merge(0)

    def _merge(self, first: int) -> None:
        """Replace the parts from number `first` on by one that stands for them.

        It takes as much disk again for a moment: where there is none, the parts stay as they are.
        """
        old = [part for part in _parts_of(self._folder, self._owner) if _numbers(part).first >= first]
        name = RANGE_PART.format(self._owner, first, self._next - 1)
        with suppress(RunDirError, OSError):
            self._put(_joined(old), name)
            for part in old:
                if part.name != name:
                    part.unlink()

    def _put(self, tables: Iterable[pa.Table], name: str) -> None:
        import pyarrow.parquet as pq

        target = self._folder / name
        aside = target.with_suffix(".tmp")
        try:
            with pq.ParquetWriter(aside, arrow_schema(), compression="zstd") as file:
                for table in tables:
                    file.write_table(table)
            with aside.open("rb+") as file:
                os.fsync(file.fileno())
            aside.replace(target)
        except OSError as error:
            discard(aside)
            reason = os.strerror(error.errno) if error.errno else error  # Arrow's own text is long and says less
            raise RunDirError(f"{target}: can't write rows: {reason}; those before are kept") from error


def discard(aside: Path) -> None:
    """Remove what was left half-written, where it can be removed: the disk may be read-only or gone."""
    with suppress(OSError):
        aside.unlink(missing_ok=True)


def parts(folder: Path) -> list[Path]:
    """The complete parts of a requests folder that stand for its rows, by worker, in the order they were written."""
    numbered = [(_numbers(part), part) for part in folder.glob("part-*.parquet")]
    kept: list[Path] = []
    owner, covered = "", -1
    for numbers, part in sorted(numbered, key=lambda item: (item[0].owner, item[0].first, -item[0].last)):
        if numbers.owner != owner:
            owner, covered = numbers.owner, -1
        if numbers.last > covered:
            kept.append(part)
            covered = numbers.last
    return kept


def _parts_of(folder: Path, owner: str) -> list[Path]:
    return [part for part in parts(folder) if _numbers(part).owner == owner]


class _Numbers(NamedTuple):
    """Which parts a file stands for."""

    owner: str
    first: int
    last: int


def _numbers(part: Path) -> _Numbers:
    """Those in a file's name; a foreign name is its owner's mistake.

    Raises:
        RunDirError: for a name that no writer gives.
    """
    name = NAME.fullmatch(part.stem)
    if name is None:
        raise RunDirError(f"{part}: not the name of a part; move it out of the folder")
    owner, first, last = name.groups()
    return _Numbers(owner or "", int(first), int(last or first))


def _concat(tables: list[pa.Table]) -> pa.Table:
    """One table out of many of `arrow_schema()`; of none, an empty one."""
    import pyarrow as pa

    return pa.concat_tables(tables).combine_chunks() if tables else arrow_schema().empty_table()


def _read_part(part: Path) -> pa.Table:
    import pyarrow.parquet as pq

    with readable(part), pq.ParquetFile(part) as file:
        table = file.read()
    version_checked(part, table.schema)
    return completed(table, arrow_schema())


@contextmanager
def readable(part: Path) -> Iterator[None]:
    """Reads a part.

    Raises:
        RunDirError: when that is no Parquet file, or a broken one.
    """
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise RunDirError(f"{part}: not a readable Parquet file: {str(error).splitlines()[0]}") from error


def version_checked(part: Path, schema: pa.Schema) -> None:
    """Let the rows of a part pass that this trie can read.

    Raises:
        RunDirError: for rows of another schema version.
    """
    version = (schema.metadata or {}).get(VERSION_KEY, b"none").decode()
    if version != str(SCHEMA_VERSION):
        raise RunDirError(f"{part}: rows of schema version {version}, this trie reads {SCHEMA_VERSION}")


def completed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A table with the columns that were added since it was written: null, or zero (false) where it has no nulls."""
    import pyarrow as pa

    if table.schema.names == schema.names:
        return table
    for column in (column for column in schema if column.name not in table.schema.names):
        values = pa.nulls(len(table), column.type)
        values = values if column.nullable else values.fill_null(pa.scalar(0).cast(column.type))
        table = table.append_column(column, values)
    return table.select(schema.names)


def _joined(parts: list[Path]) -> Iterator[pa.Table]:
    """The rows of parts in larger tables, one at a time: those of a long run don't fit into memory together."""
    tables: list[pa.Table] = []
    for part in parts:
        tables.append(_read_part(part))
        if sum(len(table) for table in tables) >= JOINED_ROWS:
            yield _concat(tables)
            tables = []
    if tables:
        yield _concat(tables)


def read_records(folder: Path) -> pa.Table:
    """All rows of a requests folder as one table of `arrow_schema()`; no rows is a table of length 0.

    Raises:
        RunDirError: for a missing folder, a part that is no Parquet file, or rows of another schema version.
    """
    if not folder.is_dir():
        raise RunDirError(f"{folder}: no such folder; a run directory holds its rows in requests/")
    return _concat([_read_part(part) for part in parts(folder)])
