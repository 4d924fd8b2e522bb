"""Rows of which a test says only what it is about."""

from __future__ import annotations

from typing import Any

from trie.storage.record import Outcome, RequestRecord


def row(session: int, turn: int, turns: int, *, outcome: Outcome = Outcome.ok, **given: Any) -> RequestRecord:
    """One row of a trace of `turns` tool turns."""
    base = {"trace_id": session, "slot": 0, "new_prompt_tokens": 10, "requested_completion_tokens": 5}
    return RequestRecord(
        session_id=session, turn=turn, num_turns=turns, is_final=turn == turns, outcome=outcome, **{**base, **given}
    )
