"""The JSONL format: bytes of a file to traces, and traces to the lines they would be written as."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from trie.errors import WorkloadError
from trie.workload.trace import Trace, parse_trace

FIELDS = (
    "num_turns",
    "input_prompt_length",
    "assistant_response_length",
    "tool_call_output_length",
    "tool_call_latency",
    "final_assistant_response_length",
)
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
            hint = "; a JSON array is not JSON lines" if number == 1 and line.lstrip().startswith(b"[") else ""
            raise WorkloadError(f"{place}: not a JSON object: {error}{hint}") from None
        yield place, found


def dump(traces: Iterable[Trace]) -> bytes:
    """The traces as JSON lines."""
    return b"".join(orjson.dumps(row(trace)) + b"\n" for trace in traces)


def row(trace: Trace) -> dict[str, Any]:
    """A trace in the format's own form: a plain dictionary with lists."""
    values = ((name, getattr(trace, name)) for name in FIELDS)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values}
