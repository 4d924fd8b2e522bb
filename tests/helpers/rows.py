"""Rows of which a test says only what it is about."""

from __future__ import annotations

from typing import Any

from trie.storage.record import Outcome, RequestRecord


def planned_row(session: int = 0, turn: int = 0, turns: int = 0, **fields: Any) -> RequestRecord:
    """A request before it is sent, of a trace with `turns` tool turns: 5 tokens are asked for, of a prompt of 10."""
    planned: dict[str, Any] = {
        "trace_id": session,
        "session_id": session,
        "slot": 0,
        "turn": turn,
        "num_turns": turns,
        "is_final": turn == turns,
        "outcome": Outcome.ok,
        "new_prompt_tokens": 10,
        "requested_completion_tokens": 5,
    }
    return RequestRecord(**{**planned, **fields})


def row(
    session: int = 0,
    turn: int = 0,
    turns: int = 0,
    *,
    sent: float = 0.0,
    ttft: float = 0.5,
    latency: float = 1.5,
    prompt: int = 100,
    completion: int = 11,
    **fields: Any,
) -> RequestRecord:
    """A request that went well: `completion` tokens, a chunk each, for a prompt without a cached token."""
    answered: dict[str, Any] = {
        "attempts": 1,
        "queued_s": sent,
        "sent_s": sent,
        "attempt_sent_s": sent,
        "first_token_s": sent + ttft,
        "last_token_s": sent + latency,
        "end_s": sent + latency,
        "new_prompt_tokens": prompt,
        "cached_prompt_tokens": 0,
        "requested_completion_tokens": completion,
        "usage_prompt_tokens": prompt,
        "usage_completion_tokens": completion,
        "usage_cached_tokens": 0,
        "max_gap_s": 0.1,
        "chunks": completion,
    }
    return planned_row(session, turn, turns, **{**answered, **fields})
