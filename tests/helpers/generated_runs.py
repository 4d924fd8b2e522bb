"""Rows of a run that nobody has the time for, as a closed loop of traces by slot would leave them."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from helpers.manifests import manifest
from trie.storage.manifest import Manifest
from trie.storage.record import RequestRecord, arrow_schema

TURNS = 20  # requests in a trace
DEFAULTS = {column.name: column.default for column in fields(RequestRecord)}


def rows(count: int, *, slots: int, duration_s: float) -> pa.Table:
    """Requests of `slots` closed loops until `duration_s`; one in 500 fails, the last of each slot are cancelled."""
    rng = np.random.default_rng(0)
    per_slot = count // slots
    count = per_slot * slots
    slot, index = np.divmod(np.arange(count), per_slot)
    turn = index % TURNS
    new = np.where(turn == 0, 4000, 600) + rng.integers(0, 500, count)
    cached = np.where(turn == 0, 0, 4000 + turn * 800)
    tokens = rng.integers(20, 400, count)
    prefill = 0.05 + new / 20_000 + cached / 1e6 + rng.gamma(2.0, 0.05, count)
    decode = tokens * rng.normal(0.012, 0.001, count)
    tool = np.where(turn == TURNS - 1, 0.0, rng.gamma(1.0, 1.5, count))
    scale = duration_s / (prefill + decode + tool).reshape(slots, per_slot).sum(axis=1).mean()
    spans = (prefill + decode + tool) * scale
    end_of_wait = spans.reshape(slots, per_slot).cumsum(axis=1).ravel()
    queued = end_of_wait - spans
    first, end = queued + prefill * scale, queued + (prefill + decode) * scale
    started = queued < duration_s
    outcome = np.where(end > duration_s, "cancelled", np.where(rng.random(count) < 0.002, "failed", "ok"))
    first = np.where(first > duration_s, np.nan, first)
    end = np.minimum(end, duration_s)
    failed = outcome == "failed"
    values: dict[str, Any] = {
        "trace_id": index // TURNS, "session_id": (index // TURNS) * slots + slot, "slot": slot, "turn": turn,
        "num_turns": np.full(count, TURNS - 1), "is_final": turn == TURNS - 1, "outcome": outcome,
        "error_kind": np.where(failed, "http_503", None), "http_status": np.where(failed, 503, np.nan),
        "error": np.where(failed, "overloaded", None),
        "attempts": np.ones(count, np.int64), "rate_limited": np.zeros(count, np.int64), "queued_s": queued,
        "sent_s": queued + 1e-4,
        "attempt_sent_s": queued + 1e-4,
        "first_token_s": first, "last_token_s": end, "end_s": end, "new_prompt_tokens": new,
        "cached_prompt_tokens": cached, "requested_completion_tokens": tokens, "usage_prompt_tokens": new + cached,
        "usage_completion_tokens": tokens, "usage_cached_tokens": (cached * 0.97).astype(np.int64), "chunks": tokens,
        "max_gap_s": decode / tokens * 3, "request_bytes": new * 6, "response_bytes": tokens * 250,
        "loop_lag_s": rng.random(count) * 1e-3, "first_token_lag_s": np.zeros(count), "later_lag_s": np.zeros(count),
    }  # fmt: skip
    columns = [_column(field, values, started) for field in arrow_schema()]
    return pa.Table.from_arrays(columns, schema=arrow_schema())


def generated_run(folder: Path, count: int, *, slots: int = 48, duration_s: float = 7200.0, **settings: Any) -> Path:
    """A run directory of such rows, as a run would leave it."""
    (folder / "requests").mkdir(parents=True)
    table = rows(count, slots=slots, duration_s=duration_s)
    pq.write_table(table, folder / "requests" / "part-000000.parquet", compression="zstd")
    (folder / "manifest.json").write_text(
        json.dumps(generated_manifest(slots=slots, duration_s=duration_s, **settings).to_json())
    )
    return folder


def generated_manifest(*, slots: int, duration_s: float, **settings: Any) -> Manifest:
    """The manifest of such a run."""
    about: dict[str, Any] = {
        "workload": {"name": "generated", "traces": 8192},
        "server": {"model": "some/model"},
        "end": {"wall_time_s": duration_s},
        "concurrency": {"value": slots},
        "duration": duration_s,
    }
    return manifest(**{**about, **settings})


def _column(field: pa.Field, values: dict[str, Any], started: Any) -> pa.Array:
    if field.name not in values:
        return pa.repeat(pa.scalar(DEFAULTS[field.name], field.type), int(started.sum()))
    return pa.array(values[field.name][started], from_pandas=True).cast(field.type)
