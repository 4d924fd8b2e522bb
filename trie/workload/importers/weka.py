"""WEKA / InferenceX AgentX: a trace a document, with its requests, their block hashes and its sub-agents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trie.workload.importers.fields import Field, Fields
from trie.workload.importers.importer import NO_LENGTHS, Importer, Source, call_of, has
from trie.workload.importers.session import Call, Session

FIELDS = Fields(
    prompt=Field(("in",)),
    completion=Field(("out",)),
    start=Field(("t",)),  # of a sub-agent's requests: since its own start or since the trace's, by the version
    wait=Field(("think_time",)),
)
API_TIME = Field(("api_time",))
BLOCK_TOKENS = 64


def recognize(row: Mapping[str, Any]) -> str | None:
    """A trace with requests that have `in` and `out`."""
    requests = row.get("requests")
    if isinstance(requests, list) and ("block_size" in row or "models" in row):
        first = next((request for request in requests if isinstance(request, dict)), {})
        if has(first, "in", "out") or first.get("type") == "subagent":
            return "documents with requests[] that have in and out"
    return None


def sessions(source: Source) -> Iterator[Session]:
    """Each trace as it stands; its times are its own."""
    for _, trace in source.objects():
        requests = trace.get("requests")
        if not isinstance(requests, list):
            source.drop("documents without requests[]")
            continue
        yield _session(requests, int(trace.get("block_size") or BLOCK_TOKENS), source)


def _session(requests: Sequence[Any], block_tokens: int, source: Source) -> Session:
    session = Session([])
    before: Sequence[Any] = ()
    for request in requests:
        if not isinstance(request, dict):
            source.drop("requests that are no JSON objects")
        elif request.get("type") == "subagent":
            child = _session(request.get("requests") or (), block_tokens, source)
            session.subagents.append((len(session.calls) - 1, child))
        else:
            hashes = request.get("hash_ids") or ()
            call = _call(request, hashes, before, block_tokens)
            before = hashes
            if call is None:
                source.drop(NO_LENGTHS)
                continue
            session.calls.append(call)
    return session


def _call(request: Mapping[str, Any], hashes: Sequence[Any], before: Sequence[Any], block_tokens: int) -> Call | None:
    call = call_of(request, FIELDS)
    if call is None:
        return None
    api_s = API_TIME.seconds(request)
    end_s = None if call.start_s is None or api_s is None else call.start_s + api_s
    if not before or len(hashes) < call.prompt // block_tokens:  # no hashes, or not of the whole prompt
        return call._replace(end_s=end_s)
    same = common_prefix(before, hashes)
    lost = same < len(before) - 1  # whole blocks; the last one may be partial
    return call._replace(end_s=end_s, survives=same * block_tokens, compacted=lost)


def common_prefix(first: Sequence[Any], second: Sequence[Any]) -> int:
    """How many blocks two prompts have in common at their heads."""
    same = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        same += 1
    return same


WEKA = Importer(
    name="weka", title="WEKA / AgentX", recognize=recognize, sessions=sessions, fields={"requests[]": FIELDS}
)
