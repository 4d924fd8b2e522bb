"""A run directory: what it holds, and the one way to make, open and read it.

manifest.json             what was run, where, by what; rewritten once with how it ended
requests/part-*.parquet   the rows
summary.json              every number, written last: its presence says that the run is whole
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from trie.errors import RunDirError
from trie.records import RecordWriter, discard, read_records

if TYPE_CHECKING:
    import pyarrow as pa

    from trie.metrics.summary import Summary

MANIFEST = "manifest.json"
SUMMARY = "summary.json"
REQUESTS = "requests"


@dataclass(frozen=True, slots=True)
class RunDir:
    """A run directory that exists."""

    path: Path

    @classmethod
    def create(cls, path: Path) -> tuple[Self, RecordWriter]:
        """A directory for a new run, and the writer of its rows.

        Raises:
            RunDirError: when it can't be written or holds a run already.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunDirError(f"{path}: can't make the run directory: {error.strerror}") from error
        return cls(path), RecordWriter(path / REQUESTS)

    @classmethod
    def open(cls, path: Path) -> Self:
        """A run that was written before.

        Raises:
            RunDirError: when there is no run in `path`.
        """
        if not path.is_dir():
            raise RunDirError(f"{path}: no such directory; give the directory of a run")
        if not (path / MANIFEST).is_file():
            raise RunDirError(f"{path}: holds no {MANIFEST}; give the directory of a run")
        return cls(path)

    def manifest(self) -> dict[str, Any]:
        """What was run, as plain JSON values."""
        return self._read(MANIFEST)

    def records(self) -> pa.Table:
        """All rows on disk, in the order they ended."""
        return read_records(self.path / REQUESTS)

    def summary(self) -> dict[str, Any]:
        """The numbers, as written at the end of the run or by the last report."""
        return self._read(SUMMARY)

    def summarize(self) -> Summary:
        """Every number again, from the files alone; the summary is written before it is returned."""
        summary = self.compute()
        self.write_summary(summary)
        return summary

    def compute(self) -> Summary:
        """Every number again, from the files alone; nothing is written."""
        from trie.metrics.summary import summarize  # noqa: PLC0415 - numpy and pyarrow, not for those who only write

        return summarize(self.records(), self.manifest())

    def write_summary(self, summary: Summary) -> None:
        """Write every number, whole or not at all."""
        self._write(SUMMARY, summary.to_json())

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Write what was run, whole or not at all."""
        self._write(MANIFEST, manifest)

    def _read(self, name: str) -> dict[str, Any]:
        file = self.path / name
        try:
            found = json.loads(file.read_bytes())
        except (OSError, ValueError) as error:
            raise RunDirError(f"{file}: can't be read: {error}") from error
        if not isinstance(found, dict):
            raise RunDirError(f"{file}: holds no JSON object")
        return found

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        target = self.path / name
        aside = target.with_suffix(".tmp")
        try:
            with aside.open("w", encoding="utf-8") as file:
                json.dump(content, file, indent=1, allow_nan=False)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            aside.replace(target)
        except OSError as error:
            discard(aside)
            raise RunDirError(f"{target}: can't be written: {error.strerror}") from error
