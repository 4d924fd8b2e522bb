"""A run directory: what it holds, and the one way to make, open and read it.

manifest.json             what was run, where, by what; rewritten once with how it ended
requests/part-*.parquet   the rows
population.parquet        sums over each trace of the workload; runs of older versions have none
summary.json              every number; its presence says that the run is whole
report.html               the same numbers and plots, for people; may be left out
live.json                 the numbers so far of a run that goes on; gone at its end
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from trie.errors import RunDirError
from trie.storage.manifest import Manifest
from trie.storage.parquet_parts import PartsWriter, read_records
from trie.storage.stored_rows import StoredRows

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST = "manifest.json"
SUMMARY = "summary.json"
REQUESTS = "requests"
POPULATION = "population.parquet"
REPORT = "report.html"
LIVE = "live.json"
FOLDERS = ("outputs", "multirun")  # where runs and sweeps go unless they are told otherwise


@dataclass(frozen=True, slots=True)
class RunDir:
    """A run directory that exists."""

    path: Path

    @classmethod
    def create(cls, path: Path) -> tuple[Self, PartsWriter]:
        """A directory for a new run, and the writer of its rows.

        Raises:
            RunDirError: when it can't be written or holds a run already.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunDirError(f"{path}: can't make the run directory: {error.strerror}") from error
        return cls(path), PartsWriter(path / REQUESTS)

    @classmethod
    def open(cls, path: Path) -> Self:
        """A run that was written before.

        Raises:
            RunDirError: when there is no run in `path`.
        """
        if not path.is_dir():
            raise RunDirError(f"{path}: no such directory; give the directory of a run")
        if not (path / MANIFEST).is_file():
            raise RunDirError(
                f"{path}: holds no {MANIFEST}; give the directory of a run (trie ls lists those below it)"
            )
        return cls(path)

    def manifest(self) -> Manifest:
        """What was run."""
        content = self._read(MANIFEST)
        try:
            return Manifest.from_json(content)
        except (KeyError, TypeError) as error:
            raise RunDirError(f"{self.path / MANIFEST}: lacks what a run writes: {error}") from error

    def records(self) -> pa.Table:
        """All rows on disk, in the order they ended."""
        return read_records(self.path / REQUESTS)

    def stored_rows(self) -> StoredRows:
        """The same, of which each column is read when somebody asks for it."""
        return StoredRows(self.path / REQUESTS)

    def population(self) -> pa.Table | None:
        """Sums over each trace of the workload; None where the run left none.

        Raises:
            RunDirError: when they can't be read.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = self.path / POPULATION
        if not file.is_file():
            return None
        try:
            with pq.ParquetFile(file) as table:  # `read_table` would import pandas
                return table.read()
        except (OSError, pa.ArrowException) as error:
            raise RunDirError(f"{file}: not a readable Parquet file: {str(error).splitlines()[0]}") from error

    def write_population(self, table: pa.Table) -> None:
        """Write sums over each trace of the workload, whole or not at all."""
        import pyarrow.parquet as pq

        with whole(self.path / POPULATION) as aside:
            pq.write_table(table, aside, compression="zstd")

    def summary(self) -> dict[str, Any]:
        """The numbers, as written at the end of the run or by the last report."""
        return self._read(SUMMARY)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write every number, as JSON values, whole or not at all."""
        self._write(SUMMARY, summary)

    def write_manifest(self, manifest: Manifest) -> None:
        """Write what was run, whole or not at all."""
        self._write(MANIFEST, manifest.to_json())

    def _read(self, name: str) -> dict[str, Any]:
        file = self.path / name
        try:
            content = json.loads(file.read_bytes())
        except (OSError, ValueError) as error:
            raise RunDirError(f"{file}: can't be read: {error}") from error
        if not isinstance(content, dict):
            raise RunDirError(f"{file}: holds no JSON object")
        return content

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        write_json(self.path / name, content)


def write_json(target: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all.

    Raises:
        RunDirError: when it can't be written.
    """
    with whole(target) as aside, aside.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, allow_nan=False)
        file.write("\n")


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """A path to write to, which becomes `target` once all of it is on disk; two writers do not meet.

    Raises:
        RunDirError: when it can't be written.
    """
    aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        yield aside
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        aside.replace(target)
    except OSError as error:
        raise RunDirError(f"{target}: can't be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # where there can be no such file, there is none
            aside.unlink()
