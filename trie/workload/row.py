"""A row of the trace format: what each field may hold, and the trace that it becomes (docs/traces.md)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from trie.errors import WorkloadError
from trie.workload.formats import format_of
from trie.workload.trace import Subagent, Trace

FIELDS = (
    "num_turns",
    "input_prompt_length",
    "assistant_response_length",
    "tool_call_output_length",
    "tool_call_latency",
    "final_assistant_response_length",
)
MAX_TOKENS = 100_000_000  # a length above this is a mistake, not a prompt
MAX_LATENCY_S = 7 * 24 * 3600.0
MAX_DEPTH = 32  # of sub-agents of sub-agents


def parse_trace(row: Mapping[str, Any], *, where: str, index: int = 0, depth: int = 0) -> Trace:
    """A trace out of one decoded row of the JSONL format; `depth` counts the traces that it is a sub-agent of.

    Raises:
        WorkloadError: naming `where`, the field, what was found and what is allowed.
    """
    if not isinstance(row, Mapping):
        raise WorkloadError(f"{where}: found {_short(row)}, a row must be a JSON object")
    if sum(field in row for field in FIELDS) <= 1:
        raise WorkloadError(f"{where}: {foreign(format_of(row), ', '.join(map(str, row)))}")
    turns = _count(row, "num_turns", where, least=0)
    trace = Trace(
        input_prompt_length=_count(row, "input_prompt_length", where, least=1),
        assistant_response_length=_counts(row, "assistant_response_length", where, turns, least=1),
        tool_call_output_length=_counts(row, "tool_call_output_length", where, turns, least=0),
        tool_call_latency=_latencies(row, "tool_call_latency", where, turns),
        final_assistant_response_length=_count(row, "final_assistant_response_length", where, least=1),
        row=index,
    )
    optional = {field: read for field, read in _OPTIONAL.items() if row.get(field) is not None}
    labels: dict[str, Any] = {field: value for field in ("name", "source") if isinstance(value := row.get(field), str)}
    if not optional and not labels:
        return trace
    values = {key: value for read in optional.values() for key, value in read(row, trace, where, depth).items()}
    return replace(trace, **values, **labels)


def _shared_prefix(row: Mapping[str, Any], trace: Trace, where: str, _: int) -> dict[str, Any]:
    name, most = _get(row, "shared_prefix_id", where), trace.input_prompt_length
    if isinstance(name, bool) or not isinstance(name, str | int):
        raise WorkloadError(f"{where}: shared_prefix_id: found {_short(name)}, must be a text or a whole number")
    length = _get(row, "shared_prefix_length", where)
    if not _whole(length, 0) or length > most:
        allowed = f"a whole number from 0 to input_prompt_length={most}"
        raise WorkloadError(f"{where}: shared_prefix_length: found {_short(length)}, must be {allowed}")
    return {"shared_prefix_id": name, "shared_prefix_length": int(length)}


def _reasoning(row: Mapping[str, Any], trace: Trace, where: str, _: int) -> dict[str, Any]:
    """Reasoning is a part of its answer."""
    lengths = _counts(row, "reasoning_length", where, trace.num_turns + 1, least=0, counted="num_turns+1")
    answers = (*trace.assistant_response_length, trace.final_assistant_response_length)
    for i, (reasoning, answer) in enumerate(zip(lengths, answers, strict=True)):
        if reasoning > answer:
            raise WorkloadError(f"{where}: reasoning_length[{i}]: found {reasoning}, its answer has {answer} tokens")
    return {"reasoning_length": lengths if any(lengths) else ()}


def _context_reset(row: Mapping[str, Any], trace: Trace, where: str, _: int) -> dict[str, Any]:
    """A prompt has at least one token, of what survives or of what is new."""
    values = _list(row, "context_reset", where, trace.num_turns + 1, counted="num_turns+1")
    texts = (trace.input_prompt_length, *trace.tool_call_output_length)
    for i, (value, text) in enumerate(zip(values, texts, strict=True)):
        if value is not None and not _whole(value, 0 if text else 1):
            allowed = f"null or {_allowed(0 if text else 1)}"
            raise WorkloadError(f"{where}: context_reset[{i}]: found {_short(value)}, must be {allowed}")
    return {"context_reset": tuple(None if value is None else int(value) for value in values)}


def _subagents(row: Mapping[str, Any], trace: Trace, where: str, depth: int) -> dict[str, Any]:
    """Each after a turn of its own trace, which then waits for it."""
    children = row["subagents"]
    if not isinstance(children, list):
        raise WorkloadError(f"{where}: subagents: found {_short(children)}, must be a list")
    if children and depth == MAX_DEPTH:
        raise WorkloadError(f"{where}: subagents: {MAX_DEPTH} traces within each other are the most")
    subagents = []
    for i, child in enumerate(children):
        place = f"{where}: subagents[{i}]"
        after = child.get("after_turn") if isinstance(child, Mapping) else None
        if not _whole(after, 0) or int(after) >= trace.num_turns:  # type: ignore[arg-type]
            allowed = f"an object with after_turn from 0 to {trace.num_turns - 1}" if trace.num_turns else "absent"
            raise WorkloadError(f"{place}: found {_short(child)}, must be {allowed} (num_turns={trace.num_turns})")
        inner = parse_trace(child.get("trace"), where=f"{place}.trace", index=trace.row, depth=depth + 1)
        subagents.append(Subagent(int(after), inner))  # type: ignore[arg-type]
    return {"subagents": tuple(subagents)}


def _start_offset(row: Mapping[str, Any], _: Trace, where: str, __: int) -> dict[str, Any]:
    return {"start_offset_s": _seconds(row["start_offset_s"], "start_offset_s", where, math.inf)}


def _weight(row: Mapping[str, Any], _: Trace, __: str, ___: int) -> dict[str, Any]:
    value = row["weight"]
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return {"weight": float(value)} if number else {}


_OPTIONAL: dict[str, Callable[[Mapping[str, Any], Trace, str, int], dict[str, Any]]] = {
    "shared_prefix_id": _shared_prefix,
    "shared_prefix_length": _shared_prefix,
    "reasoning_length": _reasoning,
    "context_reset": _context_reset,
    "subagents": _subagents,
    "start_offset_s": _start_offset,
    "weight": _weight,
}


def foreign(name: str | None, fields: str) -> str:
    """What is wrong with a row that is none of ours, whose format may be known."""
    what = f"looks like {name}" if name is not None else f"has the fields {_short(fields)[1:-1] or 'of no trace'}"
    return f"{what}; convert it: a row must have {', '.join(FIELDS)} (docs/traces.md)"


def _short(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _get(row: Mapping[str, Any], field: str, where: str) -> Any:
    if field not in row:
        raise WorkloadError(f"{where}: {field} is missing")
    return row[field]


def _allowed(least: int) -> str:
    return f"a whole number from {least} to {MAX_TOKENS}"


def _whole(value: Any, least: int) -> bool:
    """Whether a value is a whole number that is allowed; 1.0 is one, as pandas writes 1 into a column with gaps."""
    number = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return number and not isinstance(value, bool) and least <= value <= MAX_TOKENS


def _count(row: Mapping[str, Any], field: str, where: str, *, least: int) -> int:
    value = _get(row, field, where)
    if not _whole(value, least):
        raise WorkloadError(f"{where}: {field}: found {_short(value)}, must be {_allowed(least)}")
    return int(value)


def _list(row: Mapping[str, Any], field: str, where: str, length: int, *, counted: str = "num_turns") -> list[Any]:
    values = _get(row, field, where)
    if not isinstance(values, list):
        raise WorkloadError(f"{where}: {field}: found {_short(values)}, must be a list of length {counted}={length}")
    if len(values) != length:
        raise WorkloadError(f"{where}: {field}: found {len(values)} entries, must be {counted}={length}")
    return values


def _counts(
    row: Mapping[str, Any], field: str, where: str, length: int, *, least: int, counted: str = "num_turns"
) -> tuple[int, ...]:
    values = _list(row, field, where, length, counted=counted)
    for i, value in enumerate(values):
        if not _whole(value, least):
            raise WorkloadError(f"{where}: {field}[{i}]: found {_short(value)}, must be {_allowed(least)}")
    return tuple(map(int, values))


def _latencies(row: Mapping[str, Any], field: str, where: str, length: int) -> tuple[float, ...]:
    values = _list(row, field, where, length)
    return tuple(_seconds(value, f"{field}[{i}]", where, MAX_LATENCY_S) for i, value in enumerate(values))


def _seconds(value: Any, field: str, where: str, most: float) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not 0 <= value <= most:
        allowed = f"seconds from 0 to {most:.0f}" if most < math.inf else "seconds from 0 on"
        raise WorkloadError(f"{where}: {field}: found {_short(value)}, must be {allowed}")
    return float(value)
