"""A trace: the lengths and waits of one agent's work, and the requests that replaying it makes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from trie.errors import WorkloadError
from trie.workload.formats import format_of

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


class PlannedRequest(NamedTuple):
    """What one request of a trace will ask, by the trace's own accounting."""

    turn: int  # 0 for the first request
    is_final: bool
    wait_s: float  # tool latency between the end of the last response and this request
    new_prompt_tokens: int  # input prompt, or the tool output just appended
    cached_prompt_tokens: int  # everything before it: earlier prompts and completions
    completion_tokens: int  # asked for, exactly


@dataclass(frozen=True, slots=True)
class Trace:
    """One row of a workload; lengths are tokens, latencies are seconds."""

    input_prompt_length: int
    assistant_response_length: tuple[int, ...]
    tool_call_output_length: tuple[int, ...]
    tool_call_latency: tuple[float, ...]
    final_assistant_response_length: int
    row: int = 0  # place in the workload, from 0

    @property
    def num_turns(self) -> int:
        return len(self.assistant_response_length)

    def requests(self) -> Iterator[PlannedRequest]:
        """The trace's num_turns + 1 requests, in order."""
        completions = (*self.assistant_response_length, self.final_assistant_response_length)
        new = (self.input_prompt_length, *self.tool_call_output_length)
        waits = (0.0, *self.tool_call_latency)
        context = 0
        for turn, (wait_s, fresh, completion) in enumerate(zip(waits, new, completions, strict=True)):
            yield PlannedRequest(turn, turn == self.num_turns, wait_s, fresh, context, completion)
            context += fresh + completion

    @property
    def context_tokens(self) -> int:
        """Prompt and completion of the final request together: what the server's context window must hold."""
        tools, answers = sum(self.tool_call_output_length), sum(self.assistant_response_length)
        return self.input_prompt_length + tools + answers + self.final_assistant_response_length


@dataclass(frozen=True, slots=True)
class Workload:
    """Traces with the facts that a report states about them."""

    name: str
    traces: Sequence[Trace]
    source: str  # where they came from, for people: a path, a hub file, "synthetic stand-in"
    sha256: str  # of the file's bytes, or of the JSON lines that a stand-in would be written as
    synthetic: bool = False  # drawn from distributions: never to be taken for the recorded traces
    imported: Mapping[str, Any] | None = None  # the report of the import that made its file
    skipped: int = 0  # traces left out, since the model's context can't hold them


def parse_trace(row: Mapping[str, Any], *, where: str, index: int = 0) -> Trace:
    """A trace out of one decoded row of the JSONL format.

    Raises:
        WorkloadError: naming `where`, the field, what was found and what is allowed.
    """
    if not isinstance(row, Mapping):
        raise WorkloadError(f"{where}: found {_short(row)}, a row must be a JSON object")
    if sum(field in row for field in FIELDS) <= 1:
        raise WorkloadError(f"{where}: {foreign(format_of(row), ', '.join(map(str, row)))}")
    turns = _count(row, "num_turns", where, least=0)
    return Trace(
        input_prompt_length=_count(row, "input_prompt_length", where, least=1),
        assistant_response_length=_counts(row, "assistant_response_length", where, turns, least=1),
        tool_call_output_length=_counts(row, "tool_call_output_length", where, turns, least=0),
        tool_call_latency=_latencies(row, "tool_call_latency", where, turns),
        final_assistant_response_length=_count(row, "final_assistant_response_length", where, least=1),
        row=index,
    )


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


def _list(row: Mapping[str, Any], field: str, where: str, length: int) -> list[Any]:
    values = _get(row, field, where)
    if not isinstance(values, list):
        raise WorkloadError(f"{where}: {field}: found {_short(values)}, must be a list of length num_turns={length}")
    if len(values) != length:
        raise WorkloadError(f"{where}: {field}: found {len(values)} entries, must be num_turns={length}")
    return values


def _counts(row: Mapping[str, Any], field: str, where: str, length: int, *, least: int) -> tuple[int, ...]:
    values = _list(row, field, where, length)
    for i, value in enumerate(values):
        if not _whole(value, least):
            raise WorkloadError(f"{where}: {field}[{i}]: found {_short(value)}, must be {_allowed(least)}")
    return tuple(map(int, values))


def _latencies(row: Mapping[str, Any], field: str, where: str, length: int) -> tuple[float, ...]:
    values = _list(row, field, where, length)
    for i, value in enumerate(values):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not 0 <= value <= MAX_LATENCY_S:
            allowed = f"seconds from 0 to {MAX_LATENCY_S:.0f}"
            raise WorkloadError(f"{where}: {field}[{i}]: found {_short(value)}, must be {allowed}")
    return tuple(float(value) for value in values)
