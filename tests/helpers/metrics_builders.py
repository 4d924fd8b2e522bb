"""Rows and manifests for tests: everything that a test does not name is ordinary."""

from __future__ import annotations

from typing import Any

from trie.storage.record import Outcome, RequestRecord


def row(session: int = 0, turn: int = 0, *, turns: int = 0, sent: float = 0.0, **other: Any) -> RequestRecord:
    """A request that went well: first token after 0.5 s, end after 1.5 s, 11 tokens for a prompt of 100."""
    values: dict[str, Any] = {
        "trace_id": session,
        "session_id": session,
        "slot": 0,
        "turn": turn,
        "num_turns": turns,
        "is_final": turn == turns,
        "outcome": Outcome.ok,
        "attempts": 1,
        "queued_s": sent,
        "sent_s": sent,
        "attempt_sent_s": sent,
        "first_token_s": sent + 0.5,
        "last_token_s": sent + 1.5,
        "end_s": sent + 1.5,
        "new_prompt_tokens": 100,
        "cached_prompt_tokens": 0,
        "requested_completion_tokens": 11,
        "usage_prompt_tokens": 100,
        "usage_completion_tokens": 11,
        "usage_cached_tokens": 0,
        "max_gap_s": 0.1,
        "chunks": 11,
    }
    return RequestRecord(**{**values, **other})


def manifest(*, end: dict[str, Any] | None = None, **config: Any) -> dict[str, Any]:
    """A run that ended at its deadline after 100 s, unless `end` says otherwise."""
    client = {"cpu_s": 10.0, "loop_lag_p50_s": 0.0, "loop_lag_p99_s": 0.001, "loop_lag_max_s": 0.002, "samples": 9}
    ordinary = {"reason": "deadline", "wall_time_s": 100.0, "client": client}
    settings = {
        "stream": True,
        "concurrency": {"value": 2},
        "num_gpus": None,
        "duration": 100.0,
        "endpoint": {"api": "completions"},
        "limits": {"failure_rate": 0.05, "prompt_drift": 0.05, "completion_drift": 0.01, "loop_lag_s": 0.02},
    }
    return {
        "config": {**settings, **config},
        "workload": {"name": "mine", "synthetic": False, "traces": 3, "source": "mine.jsonl", "mean_turns": 1.0},
        "prompts": {"name": "words", "offset_tokens": 0, "finding": "lengths proven"},
        "seed": 7,
        "server": {"base_url": "http://host/v1", "embedded": False, "model": "m"},
        "end": ordinary if end is None else end or None,
    }


KILLED: dict[str, Any] = {}  # as `end`: the run has none
