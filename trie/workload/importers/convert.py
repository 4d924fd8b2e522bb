"""From a source to rows of the trace format."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from math import inf, isnan, nan
from pathlib import Path
from typing import IO, Any

import orjson

from trie.errors import WorkloadError
from trie.workload.importers import own
from trie.workload.importers.fidelity import Fidelity
from trie.workload.importers.formats import detect, named
from trie.workload.importers.importer import Importer, Source, Tokens
from trie.workload.importers.session import Options, Rows

AUTO = "auto"
START = "start_offset_s"
START_PACKED = struct.Struct("d")


def convert(
    path: Path, out: IO[bytes], *, format_name: str = AUTO, options: Options, tokens: Tokens | None = None
) -> Fidelity:
    """Write the traces of a file or a folder as JSON lines, and say what became of them.

    Args:
        path: a file or a folder.
        out: where the rows go.
        format_name: of the source; `auto` looks at its first documents.
        options: what the source can't tell.
        tokens: counts the tokens of texts, for sources that hold texts alone.

    Raises:
        WorkloadError: for a source that can't be read, is of no known format or holds no trace.
    """
    if format_name == AUTO:
        importer, reason = detect(path)
        fidelity = Fidelity(importer.name, f"told by {reason}")
    else:
        importer, fidelity = named(format_name), Fidelity(format_name, "given")
    rows = _rows(importer, Source(path, options, fidelity, tokens))
    if importer is own.TRIE:
        for row in rows:
            out.write(orjson.dumps(row) + b"\n")
    else:
        _write_from_zero(rows, out)
    if not fidelity.traces:
        raise WorkloadError(f"{path}: holds no trace that can be replayed; {_why(fidelity)}")
    return fidelity


def _rows(importer: Importer, source: Source) -> Iterator[dict[str, Any]]:
    if importer is own.TRIE:
        yield from own.rows(source)
        return
    maker = Rows(source.options, source.fidelity)
    for session in importer.sessions(source):
        if (row := maker.row(session)) is not None:
            yield row


def _write_from_zero(rows: Iterator[dict[str, Any]], out: IO[bytes]) -> None:
    """The rows with their starts since the first one, which is known once all are made."""
    first = inf
    with tempfile.TemporaryFile() as bodies, tempfile.TemporaryFile() as starts:
        for row in rows:
            start_s = row.pop(START, None)
            if start_s is not None:
                first = min(first, start_s)
            bodies.write(orjson.dumps(row) + b"\n")
            starts.write(START_PACKED.pack(nan if start_s is None else start_s))
        bodies.seek(0)
        starts.seek(0)
        for line in bodies:
            (start_s,) = START_PACKED.unpack(starts.read(START_PACKED.size))
            if isnan(start_s):
                out.write(line)
            else:
                out.write(b'%s,"%s":%s}\n' % (line[:-2], START.encode(), repr(round(start_s - first, 3)).encode()))


def _why(fidelity: Fidelity) -> str:
    dropped = ", ".join(f"{count} {reason}" for reason, count in fidelity.dropped.most_common(3))
    return f"{fidelity.rows} rows read as {fidelity.format}, dropped: {dropped or 'none'}"
