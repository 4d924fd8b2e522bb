"""The rows of a finished run, of which a column is read when somebody asks for it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from trie.errors import RunDirError
from trie.storage.parquet_parts import MERGE_AT, completed, parts, readable, version_checked
from trie.storage.record import arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

AT_ONCE_ROWS = 2_000_000  # that are read as a whole where they lie in many parts, as those of a killed run do


class StoredRows:
    """The rows of a requests folder, in the order on disk, that in which requests ended.

    Raises:
        RunDirError: for a missing folder, a part that is no Parquet file, or rows of another schema version.
    """

    def __init__(self, folder: Path) -> None:
        import pyarrow.parquet as pq

        if not folder.is_dir():
            raise RunDirError(f"{folder}: no such folder; a run directory holds its rows in requests/")
        self._parts = []
        for part in parts(folder):
            with readable(part):
                metadata = pq.read_metadata(part)
                version_checked(part, metadata.schema.to_arrow_schema())
            self._parts.append((part, metadata))
        self.num_rows: int = sum(metadata.num_rows for _, metadata in self._parts)

    def column(self, name: str) -> pa.ChunkedArray:
        """One column of all rows; a text is a dictionary.

        Raises:
            RunDirError: when it can't be read.
        """
        if len(self._parts) > MERGE_AT and self.num_rows < AT_ONCE_ROWS:
            return self._whole.column(name)
        return self._columns([name]).column(0)

    @cached_property
    def _whole(self) -> pa.Table:
        return self._columns(arrow_schema().names)

    def _columns(self, names: list[str]) -> pa.Table:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema, text = arrow_schema(), pa.dictionary(pa.int32(), pa.string())
        texts = [column.name for column in schema if column.type == pa.string()]
        fields = [schema.field(name) for name in names]
        wanted = pa.schema([field.with_type(text) if field.name in texts else field for field in fields])
        tables = []
        for part, metadata in self._parts:
            there = [name for name in names if name in metadata.schema.names]
            coded = [name for name in there if name in texts]
            with readable(part), pq.ParquetFile(part, metadata=metadata, read_dictionary=coded) as file:
                tables.append(completed(file.read(columns=there), wanted))
        return pa.concat_tables(tables) if tables else wanted.empty_table()
