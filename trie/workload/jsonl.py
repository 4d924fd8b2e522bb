"""The JSONL format: bytes of a file to traces, and traces to the lines they would be written as."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from trie.errors import WorkloadError
from trie.workload.formats import format_of, format_of_text
from trie.workload.row import FIELDS, foreign, parse_trace
from trie.workload.trace import Trace

BOM = b"\xef\xbb\xbf"
FOREIGN = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK": "zip",
    b"PAR1": "Parquet",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


def parse(content: bytes, *, where: str) -> list[Trace]:
    """The traces of a JSONL file, blank lines passed over; `Trace.row` counts from 0.

    Raises:
        WorkloadError: `where:line`, the field, what was found and what is allowed.
    """
    for magic, kind in FOREIGN.items():
        if content.startswith(magic):
            raise WorkloadError(f"{where}: found {kind} data, must be JSON lines in UTF-8 (unpack or convert it)")
    traces = [
        parse_trace(found, where=place, index=index) for index, (place, found) in enumerate(_rows(content, where))
    ]
    if not traces:
        raise WorkloadError(f"{where}: holds no trace, must be one JSON object a line")
    return traces


def _rows(content: bytes, where: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(content.removeprefix(BOM).splitlines(), 1):
        if not line.strip():
            continue
        place = f"{where}:{number}"
        try:
            found = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            if number == 1 and (name := _format_of_whole(content, line)) is not None:
                raise WorkloadError(f"{where}: {foreign(name, '')}") from None
            hint = "; a JSON array is not JSON lines" if number == 1 and line.lstrip().startswith(b"[") else ""
            raise WorkloadError(f"{place}: not a JSON object: {error}{hint}") from None
        yield place, found


def _format_of_whole(content: bytes, first_line: bytes) -> str | None:
    """The format of a file that is no JSON lines: CSV by its header, or one JSON value over many lines."""
    try:
        value = orjson.loads(content.removeprefix(BOM))
    except orjson.JSONDecodeError:
        return format_of_text(first_line.decode("utf-8", "replace"))
    first = value[0] if isinstance(value, list) and value else value
    return format_of(first) if isinstance(first, dict) else None


def dump(traces: Iterable[Trace]) -> bytes:
    """The traces as JSON lines."""
    return b"".join(orjson.dumps(row(trace)) + b"\n" for trace in traces)


def row(trace: Trace) -> dict[str, Any]:
    """A trace in the format's own form: a plain dictionary with lists, without the fields that say nothing."""
    values = ((name, getattr(trace, name)) for name in FIELDS)
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values}
    return plain | {name: value for name, value in _optional(trace) if value not in (None, [])}


def _optional(trace: Trace) -> Iterator[tuple[str, Any]]:
    if trace.shared_prefix_id is not None:
        yield "shared_prefix_id", trace.shared_prefix_id
        yield "shared_prefix_length", trace.shared_prefix_length
    yield "reasoning_length", list(trace.reasoning_length)
    yield "context_reset", list(trace.context_reset)
    yield "subagents", [{"after_turn": child.after_turn, "trace": row(child.trace)} for child in trace.subagents]
    for name in ("start_offset_s", "name", "source", "weight"):
        yield name, getattr(trace, name)
