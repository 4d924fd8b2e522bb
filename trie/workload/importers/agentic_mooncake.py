"""Agentic Mooncake: requests that wait for others, so that sessions start further ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trie.workload.importers import mooncake
from trie.workload.importers.fields import MS, Field
from trie.workload.importers.importer import NO_LENGTHS, Importer, Source, call_of, cumulated, has
from trie.workload.importers.session import Call, Session

FIELDS = mooncake.FIELDS
TOOL_WAIT = Field(("tool_wait_ms",), MS)
Place = tuple[str, int]  # a request by its session and its place there


def recognize(row: Mapping[str, Any]) -> str | None:
    """A request that names those it waits for."""
    if has(row, "request_id") and ("wait_for" in row or "branches" in row) and FIELDS.prompt.get(row) is not None:
        return "rows with request_id and wait_for"
    return None


def sessions(source: Source) -> Iterator[Session]:
    """The sessions that wait for none, each with those that its requests started."""
    whole = source.whole_prompts("agentic Mooncake")
    by_key: dict[str, Session] = {}
    places: dict[str, Place] = {}
    started_by: dict[str, list[str]] = {}  # a session -> requests that its first one waits for
    branched: dict[str, str] = {}  # a request -> the one that names it among its branches
    for _, row in source.objects():
        request, waits_for = str(row.get("request_id")), [str(other) for other in row.get("wait_for") or ()]
        call = _call(row, starts=not waits_for)
        if call is None:
            source.drop(NO_LENGTHS)
            continue
        branched.update({str(other): request for other in row.get("branches") or ()})
        key = _session_key(row, request, waits_for, places, by_key)
        if key not in by_key:
            by_key[key] = Session([], start_s=call.start_s)
            started_by[key] = [*([branched[request]] if request in branched else []), *waits_for]
        places[request] = (key, len(by_key[key].calls))
        by_key[key].calls.append(call)
    if not whole:
        for session in by_key.values():
            session.calls = cumulated(session.calls)
    yield from _roots(by_key, started_by, places)


def _call(row: Mapping[str, Any], *, starts: bool) -> Call | None:
    """The request; it waits for delay and tool time together once all that it waits for have ended."""
    call = call_of(row, FIELDS)
    if call is None:
        return None
    if starts:
        return call
    wait_s = (call.wait_s or 0.0) + (TOOL_WAIT.seconds(row) or 0.0)
    reset = bool(row.get("prefix_reset"))
    return call._replace(wait_s=wait_s, compacted=reset, survives=0 if reset else None)


def _session_key(
    row: Mapping[str, Any],
    request: str,
    waits_for: Sequence[str],
    places: Mapping[str, Place],
    by_key: Mapping[str, Session],
) -> str:
    """Its session_id; without one a request goes on the session whose last request it is the first to wait for."""
    if (session := row.get("session_id")) is not None:
        return f"session {session}"
    for other in waits_for:
        key, at = places.get(other, ("", 0))
        if key and at == len(by_key[key].calls) - 1:
            return key
    return f"request {request}"


def _roots(
    by_key: Mapping[str, Session], started_by: Mapping[str, Sequence[str]], places: Mapping[str, Place]
) -> Iterator[Session]:
    """Hang each session under the request that started it, and give those that hang under none."""
    children = set()
    for key, requests in started_by.items():
        parents = [places[other] for other in requests if other in places and places[other][0] != key]
        if parents:
            parent, at = parents[0]
            by_key[parent].subagents.append((at, by_key[key]))
            children.add(key)
    yield from (session for key, session in by_key.items() if key not in children)


AGENTIC_MOONCAKE = Importer(
    name="agentic-mooncake",
    title="agentic Mooncake",
    recognize=recognize,
    sessions=sessions,
    fields={"row": FIELDS},
)
