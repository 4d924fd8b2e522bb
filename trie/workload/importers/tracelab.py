"""TraceLab: a round of a coding agent a row, with the wall times of its tools."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from trie.workload.importers.call_store import CallStore
from trie.workload.importers.fields import MS, Field, Fields, instant
from trie.workload.importers.importer import NO_LENGTHS, Importer, Source, call_of, has
from trie.workload.importers.session import Call, Session

FIELDS = Fields(
    session=Field(("session_id",)),  # round_id and trace_key are not unique
    prompt=Field(("input_tokens_total",)),  # prefix_tokens and newly_append_tokens together
    completion=Field(("output_tokens",)),
    reasoning=Field(("reasoning_output_tokens",)),
    survives=Field(("prefix_tokens",)),
)
TOOL_WAIT = Field(("tool_wall_latency_ms",), MS)
ORDER = Field(("round_index",))
EMITTED, RESULT = Field(("emitted_at",)), Field(("result_at",))
BY_USER = "user_message"


def recognize(row: Mapping[str, Any]) -> str | None:
    """A round with its prefix and what it appended."""
    return "rows with round_index and newly_append_tokens" if has(row, "round_index", "newly_append_tokens") else None


def sessions(source: Source) -> Iterator[Session]:
    """By session_id, in the order of round_index."""
    store = CallStore()
    for place, row in source.objects():
        call = call_of(row, FIELDS)
        if call is None:
            source.drop(NO_LENGTHS)
            continue
        start_s, end_s = _times(row)
        by_user = row.get("first_input_event_type") == BY_USER
        order = ORDER.tokens(row)
        starts = start_s if by_user or not order else None  # else the tools of the round before were waited for
        call = call._replace(start_s=starts, end_s=end_s, wait_s=_tools_s(row, source))
        store.add(str(FIELDS.session.get(row) or place), order, call)
    for calls in store.sessions():
        yield Session(_with_waits(calls), start_s=calls[0].start_s)


def _with_waits(calls: Sequence[Call]) -> list[Call]:
    """The rounds, of which each so far held the time of its own tools: the next round waits for them.

    A round that the user began waits for the user, where the source tells how long.
    """
    waiting = [calls[0]._replace(wait_s=None)]
    for before, after in pairwise(calls):
        for_user = after.start_s is not None and before.end_s is not None
        waiting.append(after._replace(wait_s=None if for_user else before.wait_s))
    return waiting


def _times(row: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """The first and the last instant of a round."""
    events = row.get("timing_events")
    texts = [event.get("timestamp") for event in events if isinstance(event, dict)] if isinstance(events, list) else []
    instants = [moment for text in texts if text is not None and (moment := instant(str(text))) is not None]
    return (min(instants), max(instants)) if instants else (None, None)


def _tools_s(row: Mapping[str, Any], source: Source) -> float | None:
    """How long the tools of a round took, from the first call to the last result."""
    tools = [tool for tool in row.get("tools") or () if isinstance(tool, dict)]
    walls = [wall for tool in tools if (wall := TOOL_WAIT.seconds(tool)) is not None]
    if len(walls) < 2:
        return walls[0] if walls else None
    spans = [(EMITTED.seconds(tool), RESULT.seconds(tool)) for tool in tools]
    if all(start is not None and end is not None for start, end in spans):
        return max(end or 0.0 for _, end in spans) - min(start or 0.0 for start, _ in spans)
    source.assume("several tools of one round ran at the same time")
    return max(walls)


TRACELAB = Importer(
    name="tracelab", title="TraceLab JSONL", recognize=recognize, sessions=sessions, fields={"round": FIELDS}
)
