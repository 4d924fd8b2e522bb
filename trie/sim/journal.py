"""The endpoint's own account of each request, the truth to compare a client's figures with."""

from __future__ import annotations

import csv
from pathlib import Path
from types import TracebackType
from typing import Self

from trie.errors import ConfigError

COLUMNS = ("request_id", "arrived_s", "first_chunk_s", "last_chunk_s", "chunks")


class Journal:
    """A CSV file with a line for each streamed answer; instants are `perf_counter` seconds of this machine.

    On Linux that clock is the same in all processes, so a client there can be held against it instant by instant.
    `path` None keeps none.

    Raises:
        ConfigError: on entering, when the file can't be made.
    """

    def __init__(self, path: str | None) -> None:
        self._path = path

    def __enter__(self) -> Self:
        if self._path is None:
            return self
        try:
            self._file = Path(self._path).open("w", newline="", encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"sim.log={self._path}: can't be written: {error.strerror}") from error
        self._lines = csv.writer(self._file)
        self._lines.writerow(COLUMNS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._path is not None:
            self._file.close()

    def note(self, request_id: str, arrived_s: float, first_s: float, last_s: float, chunks: int) -> None:
        """Write down one answer that was sent whole."""
        if self._path is not None:
            self._lines.writerow((request_id, f"{arrived_s:.9f}", f"{first_s:.9f}", f"{last_s:.9f}", chunks))
