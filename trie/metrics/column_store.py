"""Where the columns of a run are: in memory, or of a run of very many rows in files that are read a block at a time.

Theory of operation. A column is read from the rows when somebody asks for it, put in the order of sessions and turns,
and kept. A run of more rows than a block keeps it in a temporary file without a name, in as few bytes as hold it
exactly, so that memory does not grow with the number of columns. A column whose values are all the same takes no room
at all. Several threads may ask at once.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import tempfile
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trie.errors import RunDirError
from trie.metrics.in_threads import MadeOnce

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Codes = NDArray[np.int32]

BLOCK_ROWS = 2**20  # that are held in memory at a time
PARTS = 4  # of so many rows, in which a run of more of them is worked on: memory is for what comes of them
TURNS = 2**21  # more than any trace has
INTEGERS = (np.int8, np.int16, np.int32)  # beside the widest one
CHUNK = 2**16  # values that are looked at in one go: they stay in the processor's cache
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # of mallopt(3)


class Source(Protocol):
    """Rows in any order: a table, or those on disk."""

    @property
    def num_rows(self) -> int: ...

    def column(self, name: str) -> pa.ChunkedArray: ...


@dataclass(frozen=True, slots=True)
class _File:
    """A column on disk."""

    file: IO[bytes]
    dtype: np.dtype[Any]
    count: int

    def read(self, begin: int, end: int) -> NDArray[Any]:
        """Some of the values, out of the system's own memory of the file; nobody can change them."""
        if begin == end:
            return np.empty(0, self.dtype)
        first, last = begin * self.dtype.itemsize, end * self.dtype.itemsize
        page = first - first % mmap.ALLOCATIONGRANULARITY
        mapped = mmap.mmap(self.file.fileno(), last - page, access=mmap.ACCESS_READ, offset=page)
        return np.frombuffer(mapped, self.dtype, end - begin, first - page)

    def all(self) -> NDArray[Any]:
        return self.read(0, self.count)


class ColumnStore:
    """The columns of rows in the order of sessions and turns; requests of a warm-up are left out unless asked for.

    Args:
        source: the rows.
        block_rows: how many may be held in memory at a time.
        warm_up: keep the requests of a warm-up.
    """

    def __init__(self, source: Source, *, block_rows: int, warm_up: bool = False) -> None:
        self.source, self.block_rows = source, block_rows
        self._kept, self._files = MadeOnce(), ExitStack()
        weakref.finalize(self, self._files.close)
        left_out = np.zeros(0, np.bool_) if warm_up else numbers(source.column("warm_up")) > 0
        kept = np.flatnonzero(~left_out) if left_out.any() else None
        self.order = self._ordered(kept)
        self.count = source.num_rows if self.order is None else len(self.order)
        if not self.whole:
            _keep_freed_memory()

    @property
    def whole(self) -> bool:
        """Whether all rows are worked on at once."""
        return self.count <= self.block_rows

    def floats(self, name: str, begin: int, end: int) -> Floats:
        """A part of a column, nulls as NaN."""

        def make() -> NDArray[Any] | _File:
            column = self.source.column(name)
            return self._stored(name, self._in_order(numbers(column) if self.whole else _narrow(column)))

        return self._part(self._kept.get(name, make), begin, end).astype(np.float64, copy=False)

    def codes(self, name: str, begin: int, end: int) -> tuple[Codes, list[str]]:
        """A part of a column of texts as indices into its different ones, -1 for null; these in order of appearance."""

        def make() -> tuple[NDArray[Any] | _File, list[str]]:
            codes, texts = _coded(self.source.column(name))
            codes, texts = _by_appearance(self._in_order(codes), texts)
            return self._stored(name, codes), texts

        codes, texts = self._kept.get(f"codes of {name}", make)
        return self._part(codes, begin, end).astype(np.int32, copy=False), texts

    def derived(self, name: str, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Values that were worked out of the columns before, or now."""
        kept = self._kept.get(f"derived {name}", lambda: make() if self.whole else self._filed(name, make()))
        return kept.all() if isinstance(kept, _File) else kept

    def rows(self, places: NDArray[np.intp]) -> NDArray[np.intp]:
        """Where rows stand in the source."""
        return places if self.order is None else self.order[places].astype(np.intp)

    def _ordered(self, kept: NDArray[np.intp] | None) -> NDArray[np.integer[Any]] | None:
        """The places of the rows in the source, in order; None where they are in it already."""
        session, turn = (numbers(self.source.column(name)) for name in ("session_id", "turn"))
        if kept is not None:
            session, turn = session[kept], turn[kept]
        key = session.astype(np.int64) * TURNS + turn.astype(np.int64)
        del session, turn
        if kept is None and bool((key[1:] >= key[:-1]).all()):
            return None
        order = np.argsort(key, kind="stable")
        order = order if kept is None else kept[order]
        return order if len(key) <= self.block_rows else order.astype(np.int32 if len(key) < 2**31 else np.int64)

    def _in_order(self, values: NDArray[Any]) -> NDArray[Any]:
        return values if self.order is None else values[self.order]

    def _stored(self, name: str, values: NDArray[Any]) -> NDArray[Any] | _File:
        """A column as it is kept."""
        if len(values) and _all_same(values):
            return values[:1].copy()
        if self.whole:
            return values.astype(np.float64, copy=False) if values.dtype.kind != "i" else values
        return self._filed(name, values)

    def _filed(self, name: str, values: NDArray[Any]) -> _File:
        """A column in a file that is gone when nobody has it open, however the process ends."""
        try:
            file = self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - closed with the columns
            values.tofile(file)
        except OSError as error:
            where = f"{tempfile.gettempdir()}: can't keep the column {name}: {error.strerror}"
            raise RunDirError(f"{where}; rows of so many requests take a temporary folder (TMPDIR)") from error
        return _File(file, values.dtype, len(values))

    def _part(self, kept: NDArray[Any] | _File, begin: int, end: int) -> NDArray[Any]:
        if isinstance(kept, _File):
            return kept.read(begin, end)
        return kept[begin:end] if len(kept) == self.count else np.broadcast_to(kept, end - begin)


def _keep_freed_memory() -> None:
    """Let arrays of blocks take memory that others gave back: the system's pages cost as much as the work on them."""
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, 100_000_000)
        library.mallopt(M_TRIM_THRESHOLD, 1_000_000_000)
        library.mallopt(M_ARENA_MAX, 1)  # for all threads


def _narrow(column: pa.ChunkedArray) -> NDArray[Any]:
    """Numbers of a column as `numbers` has them, in fewer bytes where these hold every value exactly."""
    values = np.empty(len(column), _narrowest(column))
    at = 0
    for chunk in column.chunks:
        values[at : at + len(chunk)] = _chunk(chunk)
        at += len(chunk)
    return values


def _narrowest(column: pa.ChunkedArray) -> type[np.number[Any]]:
    """The type of the fewest bytes that holds all values exactly."""
    import pyarrow as pa

    parts = map(_chunk, column.chunks)
    if column.null_count or pa.types.is_floating(column.type):
        pieces = (part[begin : begin + CHUNK] for part in parts for begin in range(0, len(part), CHUNK))
        exact = all(np.array_equal(piece.astype(np.float32), piece, equal_nan=True) for piece in pieces)
        return np.float32 if exact else np.float64
    bounds = [(part.min(initial=0), part.max(initial=0)) for part in parts]
    least, most = min((low for low, _ in bounds), default=0), max((high for _, high in bounds), default=0)
    fitting = (kind for kind in INTEGERS if np.iinfo(kind).min <= least and most <= np.iinfo(kind).max)
    return next(fitting, np.int64)


def _all_same(values: NDArray[Any]) -> bool:
    """Whether a column has one value alone, which may be NaN; looked at in parts, as most columns differ early."""
    parts = (values[begin : begin + CHUNK] for begin in range(0, len(values), CHUNK))
    return all(bool((np.isnan(values[:1]) & np.isnan(part) | (part == values[0])).all()) for part in parts)


def numbers(column: pa.ChunkedArray) -> NDArray[Any]:
    """Numbers of a column without nulls in their own type, else as float64 with NaN; `to_numpy` would import pandas."""
    parts = [_chunk(chunk) for chunk in column.chunks]
    if not parts:
        return np.empty(0)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _chunk(chunk: pa.Array) -> NDArray[Any]:
    import pyarrow as pa

    if chunk.null_count == len(chunk):
        return np.full(len(chunk), np.nan)
    if pa.types.is_boolean(chunk.type):
        chunk = chunk.cast(pa.uint8())
    bits, data = chunk.buffers()
    every = slice(chunk.offset, chunk.offset + len(chunk))
    values: NDArray[Any] = np.frombuffer(data, chunk.type.to_pandas_dtype())[every]
    if chunk.null_count:
        values = values.astype(np.float64)
        there = np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little")[every]
        values[there == 0] = np.nan
    return values


def _coded(column: pa.ChunkedArray) -> tuple[Codes, list[str]]:
    """Indices into the different texts of a column, -1 for null."""
    import pyarrow as pa

    coded = column.unify_dictionaries() if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    parts = [numbers(pa.chunked_array([chunk.indices])) for chunk in coded.chunks]
    texts = coded.chunks[0].dictionary.to_pylist() if coded.num_chunks else []
    codes = np.concatenate(parts) if parts else np.empty(0)
    kind = np.int8 if len(texts) < np.iinfo(np.int8).max else np.int32
    return np.nan_to_num(codes, nan=-1.0).astype(kind), texts


def _by_appearance(codes: Codes, texts: list[str]) -> tuple[Codes, list[str]]:
    """The same indices and texts, numbered in the order in which they first appear."""
    first = np.full(len(texts) + 1, len(codes))  # the last is null's
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    order = [int(code) for code in np.argsort(first[:-1], kind="stable") if first[code] < len(codes)]
    renumbered = np.full(len(texts) + 1, -1, codes.dtype)
    renumbered[order] = np.arange(len(order), dtype=codes.dtype)
    return renumbered[codes], [texts[code] for code in order]
