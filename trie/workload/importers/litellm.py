"""LiteLLM's logs: a request a row, with its session or its trace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trie.workload.importers.fields import Field, Fields
from trie.workload.importers.importer import Importer, Source, by_session, has
from trie.workload.importers.session import Session

FIELDS = Fields(
    session=Field(("litellm_session_id", "session_id", "trace_id", "litellm_trace_id")),
    prompt=Field(("prompt_tokens",)),  # cached tokens included
    completion=Field(("completion_tokens",)),
    reasoning=Field(
        (
            "completion_tokens_details.reasoning_tokens",
            "metadata.usage_object.completion_tokens_details.reasoning_tokens",
        )
    ),
    survives=Field(
        ("prompt_tokens_details.cached_tokens", "metadata.usage_object.prompt_tokens_details.cached_tokens")
    ),
    start=Field(("startTime",)),
    end=Field(("endTime",)),
)


def recognize(row: Mapping[str, Any]) -> str | None:
    """Counts beside the times of a request."""
    if has(row, "prompt_tokens", "completion_tokens", "startTime"):
        return "rows with prompt_tokens, completion_tokens and startTime"
    return None


def sessions(source: Source) -> Iterator[Session]:
    """By litellm_session_id, else by trace_id."""
    yield from by_session(source, FIELDS)


LITELLM = Importer(name="litellm", title="LiteLLM logs", recognize=recognize, sessions=sessions, fields={"row": FIELDS})
