"""OpenTelemetry spans of the GenAI conventions: OTLP/JSON, or flattened rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trie.workload.importers.call_store import CallStore
from trie.workload.importers.fields import Field, Fields, instant
from trie.workload.importers.importer import NO_LENGTHS, Importer, Source, stored
from trie.workload.importers.session import Call, Session

NS = 1e-9
FIELDS = Fields(  # attributes of a span; the later names of each are those of older conventions
    session=Field(("gen_ai.conversation.id",)),
    prompt=Field(("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")),  # cached tokens included
    completion=Field(("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")),
    reasoning=Field(("gen_ai.usage.reasoning.output_tokens",)),
    survives=Field(("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens")),
)
START = Field(("startTimeUnixNano", "start_time_unix_nano"), NS)
END = Field(("endTimeUnixNano", "end_time_unix_nano"), NS)
START_DATE, END_DATE = Field(("start_time", "startTime")), Field(("end_time", "endTime"))
TRACE = Field(("traceId", "trace_id", "context.trace_id"))
OPERATION, COMPACTED = "gen_ai.operation.name", "gen_ai.conversation.compacted"
CALLS = frozenset({"chat", "text_completion", "generate_content"})
BY_TRACE = "a root trace without a conversation id is a session"


def recognize(row: Mapping[str, Any]) -> str | None:
    """OTLP, or spans with attributes of the conventions."""
    if "resourceSpans" in row:
        return "documents with resourceSpans[]"
    for span in _spans(row):
        if any(name.startswith("gen_ai.") for name in _attributes(span)):
            return "spans with gen_ai. attributes"
    return None


def sessions(source: Source) -> Iterator[Session]:
    """By conversation id, else by root trace, in the order of the starts."""
    store = CallStore()
    for _, document in source.objects():
        for span in _spans(document):
            attributes = _attributes(span)
            if not _is_call(attributes):
                continue
            call = _call(span, attributes)
            if call is None:
                source.drop(NO_LENGTHS)
                continue
            key = FIELDS.session.get(attributes)
            if key is None:
                source.assume(BY_TRACE)
                key = TRACE.get(span) or TRACE.get(document)
            store.add(str(key), call.start_s, call)
    yield from stored(store)


def _is_call(attributes: Mapping[str, Any]) -> bool:
    """A request to a model; older spans have no operation, but they have counts."""
    operation = attributes.get(OPERATION)
    return operation in CALLS if operation is not None else FIELDS.prompt.get(attributes) is not None


def _call(span: Mapping[str, Any], attributes: Mapping[str, Any]) -> Call | None:
    prompt, completion = FIELDS.prompt.tokens(attributes), FIELDS.completion.tokens(attributes)
    if prompt is None or completion is None:
        return None
    return Call(
        prompt,
        completion,
        FIELDS.reasoning.tokens(attributes) or 0,
        _instant(span, START, START_DATE),
        _instant(span, END, END_DATE),
        survives=FIELDS.survives.tokens(attributes),
        compacted=attributes.get(COMPACTED) in (True, "true"),
    )


def _instant(span: Mapping[str, Any], nanoseconds: Field, date: Field) -> float | None:
    value = nanoseconds.get(span)
    if value is not None:
        return instant(str(value), NS)
    return date.seconds(span)


def _spans(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The spans of an OTLP document, of a row with spans[], or the row itself."""
    if "resourceSpans" in document:
        for resource in _list(document.get("resourceSpans")):
            for scope in _list(resource.get("scopeSpans") or resource.get("instrumentationLibrarySpans")):
                yield from _list(scope.get("spans"))
    elif isinstance(document.get("spans"), list):
        yield from _list(document["spans"])
    elif "attributes" in document:
        yield document


def _list(value: Any) -> Sequence[Mapping[str, Any]]:
    return [member for member in value if isinstance(member, dict)] if isinstance(value, list) else []


def _attributes(span: Mapping[str, Any]) -> Mapping[str, Any]:
    """Plain values by name, out of OTLP's pairs or an object."""
    attributes = span.get("attributes")
    if isinstance(attributes, dict):
        return attributes
    pairs = {}
    for pair in _list(attributes):
        value = pair.get("value")
        if isinstance(value, dict):
            value = next(
                (value[kind] for kind in ("stringValue", "intValue", "doubleValue", "boolValue") if kind in value), None
            )
        pairs[str(pair.get("key"))] = value
    return pairs


OTEL = Importer(
    name="otel",
    title="OpenTelemetry GenAI spans",
    recognize=recognize,
    sessions=sessions,
    fields={"attributes": FIELDS},
)
