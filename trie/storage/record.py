"""The row of a request, the boundary of the data path: a run writes rows, every number is derived from them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 1
VERSION_KEY = b"trie.records.version"


class Outcome(StrEnum):
    """What became of a request: our own deadline or Ctrl-C is cancelled, which no failure rate includes."""

    ok = "ok"
    failed = "failed"
    cancelled = "cancelled"


@dataclass(slots=True, kw_only=True)
class RequestRecord:
    """One request. Instants are seconds since the run began, on one monotonic clock; None means not reached.

    A null usage field was not reported by the server; a zero was reported as zero.
    """

    trace_id: int  # row of the workload
    session_id: int  # nth trace started in this run
    slot: int  # which of the `concurrency` places the session had
    turn: int  # 0 for a session's first request
    num_turns: int  # of the trace: the request with turn == num_turns is the final one
    is_final: bool  # the last request of its trace
    outcome: Outcome  # ok, failed or cancelled
    error_kind: str | None = None  # closed set, see docs/records.md
    error: str | None = None  # for people; shortened, no secrets
    http_status: int | None = None  # of the last attempt that got a status line
    attempts: int = 0  # made for this row, those that found no connection included
    rate_limited: int = 0  # of them, those that were answered with 429
    queued_s: float = 0.0  # due: slot free, tool latency over, or its turn under client.max_in_flight
    sent_s: float | None = None  # first attempt: its first byte on the socket; its start where it found no connection
    attempt_sent_s: float | None = None  # last attempt: its first byte on the socket; null where it found no connection
    headers_s: float | None = None  # read of the socket that completed the response headers
    first_token_s: float | None = None  # read of the socket that brought the first chunk bearing a token
    last_token_s: float | None = None  # the same for the last one
    end_s: float | None = None  # [DONE] or the end of the body; the failure or the cancellation
    new_prompt_tokens: int = 0  # synthetic accounting: input prompt, or the tool output just appended
    cached_prompt_tokens: int = 0  # synthetic accounting: everything before it that earlier requests had so
    requested_completion_tokens: int = 0  # the length of the answer that the trace asks for
    usage_prompt_tokens: int | None = None  # as the server reports them, like the three below
    usage_completion_tokens: int | None = None  # reasoning included
    usage_cached_tokens: int | None = None  # of the prompt tokens
    usage_reasoning_tokens: int | None = None  # of the completion tokens
    hidden_tokens: int | None = None  # completion tokens that were counted and not sent
    burst_share: float | None = None  # largest part of the answer that came in one read
    finish_reason: str | None = None  # the server's own word for how the answer ended
    chunks: int = 0  # events that bore a token; not a count of tokens
    first_chunk_tokens: int | None = (
        None  # in the first of them, as the server tells; else in the first read, where it has 10 % of all
    )
    max_gap_s: float | None = None  # longest time between two reads that brought tokens
    request_bytes: int = 0  # of the request's body
    response_bytes: int = 0  # of the response's body, after any decompression
    loop_lag_s: float = 0.0  # worst lateness of the client's own event loop while the request was open
    first_token_lag_s: float = 0.0  # the same until the first token: at most so much may its instant be too late
    later_lag_s: float = 0.0  # the same from the first token, or without one from the send, to the end
    worker: str | None = None  # who served it: what endpoint.worker_header names, or the base URL of several
    parent_session_id: int | None = None  # of a sub-agent: the session that started it and waits for it
    depth: int = 0  # how many sessions it is a sub-agent of; 0 for a trace's own requests
    lost_context_tokens: int = 0  # of prompt and answer before it: those that a reset or reasoning took off its head
    lost_turns: int = 0  # of the trace before it: those that resets have taken out of the conversation
    shared_prefix_tokens: int = 0  # of a first prompt: the tokens at its head that other traces have too
    due_s: float | None = None  # of an open load's first requests: when the trace was due, whenever its slot was free
    load_step: int | None = None  # of a ramp: which of load.levels held when the request was due, from 0
    warm_up: bool = False  # due before the run began, at a negative instant: in no metric
    worker_id: int | None = None  # of the client's process that replayed it, from 0; null where there was one alone
    node: str | None = None  # the name of that process's machine

    def shift(self, seconds: float) -> None:
        """Move every instant by so much: the run began at another moment."""
        for name in INSTANTS:
            instant = getattr(self, name)
            if instant is not None:
                setattr(self, name, instant + seconds)


INSTANTS = ("queued_s", "sent_s", "attempt_sent_s", "headers_s", "first_token_s", "last_token_s", "end_s")
_ARROW = {"int": "int64", "float": "float64", "str": "string", "bool": "bool_", "Outcome": "string"}


def arrow_schema() -> pa.Schema:
    """The Parquet schema: `RequestRecord`'s fields in order, with the schema's version in the metadata."""
    import pyarrow as pa  # `import trie` must not load it

    columns = []
    for column in fields(RequestRecord):
        kind, _, optional = str(column.type).partition(" | ")
        columns.append(pa.field(column.name, getattr(pa, _ARROW[kind])(), nullable=bool(optional)))
    return pa.schema(columns, metadata={VERSION_KEY: str(SCHEMA_VERSION).encode()})
