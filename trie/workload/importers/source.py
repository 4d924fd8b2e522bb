"""The files of a source: packed or not, lines or JSON documents, never more than a piece of them in memory."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import orjson

from trie.errors import WorkloadError

BOM = b"\xef\xbb\xbf"
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
PIECE = 1 << 20  # bytes read at a time
LONGEST = 1 << 29  # bytes of a line or of a JSON document: more does not fit the memory
ENDINGS = (".jsonl", ".json", ".ndjson", ".csv", ".traj")
PACKED = ("", ".gz", ".zst")
NAMES = tuple(ending + packed for ending in ENDINGS for packed in PACKED)


class Place(NamedTuple):
    """Where a document stands."""

    file: Path
    number: int  # of the line, or of the document in a file that is not JSON lines

    def __str__(self) -> str:
        return f"{self.file}:{self.number}"


class Document(NamedTuple):
    """A JSON document with its place."""

    place: Place
    content: Any


def files(path: Path) -> list[Path]:
    """The file itself, or all files of a folder whose endings are those of a format, in the order of their names.

    Raises:
        WorkloadError: when there is none.
    """
    if path.is_dir():
        inside = sorted(file for file in path.rglob("*") if file.name.endswith(NAMES) and file.is_file())
        if not inside:
            raise WorkloadError(f"{path}: no file in this folder ends in {', '.join(ENDINGS)} (or that with .gz, .zst)")
        return inside
    if not path.exists():
        raise WorkloadError(f"{path}: no such file")
    return [path]


def lines(file: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their numbers, from 1; blank ones are passed over.

    Raises:
        WorkloadError: for a file that can't be read or unpacked.
    """
    try:
        with _opened(file) as content:
            number = 0
            while line := content.readline(LONGEST):
                number += 1
                if len(line) == LONGEST:
                    raise WorkloadError(f"{file}:{number}: longer than {LONGEST >> 20} MiB, must be one object a line")
                if number == 1:
                    line = line.removeprefix(BOM)
                if line.strip():
                    yield number, line
    except (OSError, EOFError) as error:
        raise WorkloadError(f"{file}: can't be read: {getattr(error, 'strerror', None) or error}") from error


def documents(file: Path) -> Iterator[Document]:
    """The JSON values of a file: one a line, the members of one array, or objects over several lines.

    A line that is no JSON gives None.

    Raises:
        WorkloadError: for a file whose first line is none, and that is none as a whole.
    """
    rows = lines(file)
    for number, line in rows:
        try:
            content = orjson.loads(line)
        except orjson.JSONDecodeError:
            if number == 1 and line.lstrip()[:1] in (b"{", b"["):
                yield from _documents_over_lines(file)
                return
            content = None
        if isinstance(content, list):
            yield from (Document(Place(file, at), member) for at, member in enumerate(content, 1))
        else:
            yield Document(Place(file, number), content)


def _documents_over_lines(file: Path) -> Iterator[Document]:
    """The members of an array, or objects one after the other, in whatever lines they stand."""
    decoder, held, number, wanted = json.JSONDecoder(), "", 0, 0
    for piece in _texts(file):
        held += piece
        if len(held) < wanted:
            continue  # a document is tried again when as much as it has already has come anew
        at = 0
        while (at := _next_value(held, at)) < len(held):
            try:
                content, end = decoder.raw_decode(held, at)
            except json.JSONDecodeError:
                break
            number += 1
            yield Document(Place(file, number), content)
            at = end
        held = held[at:]
        wanted = 2 * len(held)
        if len(held) > LONGEST:
            raise WorkloadError(f"{file}: document {number + 1} is longer than {LONGEST >> 20} MiB, or no JSON")
    yield from _rest(file, held, number, decoder)


def _rest(file: Path, held: str, number: int, decoder: json.JSONDecoder) -> Iterator[Document]:
    """The documents that the last piece ends."""
    at = 0
    while (at := _next_value(held, at)) < len(held):
        if held[at] == "]":
            at += 1
            continue
        try:
            content, at = decoder.raw_decode(held, at)
        except json.JSONDecodeError as error:
            raise WorkloadError(f"{file}: document {number + 1} is not JSON: {error.msg}") from None
        number += 1
        yield Document(Place(file, number), content)


def _next_value(text: str, at: int) -> int:
    """Where the next document begins: behind the array's own brackets, commas and space."""
    while at < len(text) and text[at] in " \t\r\n,[":
        at += 1
    return at


def _texts(file: Path) -> Iterator[str]:
    with _opened(file) as content:
        text = io.TextIOWrapper(content, encoding="utf-8-sig", errors="replace")
        while piece := text.read(PIECE):
            yield piece


def is_packed(file: Path) -> bool:
    """Whether a file has to be unpacked.

    Raises:
        WorkloadError: for a file that can't be read.
    """
    try:
        return _magic(file).startswith((GZIP, ZSTD))
    except OSError as error:
        raise WorkloadError(f"{file}: can't be read: {error.strerror}") from error


def _magic(file: Path) -> bytes:
    """The first bytes: they tell what packed a file, whatever its name."""
    with file.open("rb") as opened:
        return opened.read(4)


def _opened(file: Path) -> IO[bytes]:
    """The unpacked bytes of a file."""
    magic = _magic(file)
    if magic.startswith(GZIP):
        return io.BufferedReader(gzip.open(file), PIECE)
    if magic.startswith(ZSTD):
        import pyarrow as pa  # a tenth of a second, only for such files

        stream = pa.CompressedInputStream(pa.OSFile(str(file)), "zstd")
        return io.BufferedReader(cast("io.RawIOBase", stream), PIECE)
    return file.open("rb", PIECE)
