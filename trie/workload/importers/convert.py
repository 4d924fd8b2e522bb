"""From a source to rows of the trace format."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Iterator
from itertools import islice, repeat
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
START_BYTES = 8  # of one that is packed
AT_ONCE = 4096  # rows


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
        while some := list(islice(rows, AT_ONCE)):
            starts_s = array("d", (row.pop(START, nan) for row in some))
            first = min(first, *(start_s for start_s in starts_s if not isnan(start_s)), inf)
            starts.write(starts_s)
            bodies.write(b"".join(orjson.dumps(row) + b"\n" for row in some))
        bodies.seek(0)
        starts.seek(0)
        while lines := list(islice(bodies, AT_ONCE)):
            starts_s = array("d", starts.read(START_BYTES * len(lines)))
            out.write(b"".join(map(_with_start, lines, starts_s, repeat(first))))


def _with_start(line: bytes, start_s: float, first: float) -> bytes:
    """A row with its start since the first one, where its source has one."""
    if isnan(start_s):
        return line
    return b'%s,"%s":%s}\n' % (line[:-2], START.encode(), repr(round(start_s - first, 3)).encode())


def _why(fidelity: Fidelity) -> str:
    dropped = ", ".join(f"{count} {reason}" for reason, count in fidelity.dropped.most_common(3))
    return f"{fidelity.rows} rows read as {fidelity.format}, dropped: {dropped or 'none'}"
