"""Lines of AIPerf's profile_export.jsonl (keys as of AIPerf 0.13), one for each request of a run.

A metric that was not measured is absent from a line's `metrics`, as there; a failed or cancelled request has none.
Times of day rest on the run's one wall-clock anchor, so they are off by its start-up; durations are exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trie.metrics.evaluate_run import EvaluatedRun

WORKER, PHASE = "trie", "profiling"


def export(run: EvaluatedRun) -> Iterator[dict[str, Any]]:
    """One JSON object for each request, in the order in which they ended."""
    manifest, settings = run.manifest, run.manifest.settings
    anchor_ns = round(manifest.started.unix_s * 1e9)
    run_id = f"{manifest.seed:x}"
    for row in run.measured.sort_by([("end_s", "ascending")]).to_pylist():
        ok = row["outcome"] == "ok"
        line = {
            "metadata": _metadata(row, run_id, anchor_ns),
            "metrics": dict(_metrics(row, stream=settings.stream, api=settings.endpoint.api)) if ok else {},
        }
        yield line if ok else {**line, "error": _error(row)}


def _metadata(row: Mapping[str, Any], run_id: str, anchor_ns: int) -> dict[str, Any]:
    def instant(seconds: float | None) -> int | None:
        return None if seconds is None else anchor_ns + round(seconds * 1e9)

    session = f"{run_id}-{row['session_id']}"
    cancelled = row["outcome"] == "cancelled"
    sent = row["queued_s"] if row["sent_s"] is None else row["sent_s"]
    metadata = {
        "session_num": row["session_id"],
        "x_request_id": f"{session}-{row['turn']}",
        "x_correlation_id": session,
        "conversation_id": str(row["trace_id"]),
        "turn_index": row["turn"],
        "credit_issued_ns": instant(row["queued_s"]),
        "request_start_ns": instant(sent),
        "request_ack_ns": instant(row["headers_s"]),
        "request_end_ns": instant(sent if row["end_s"] is None else row["end_s"]),
        "worker_id": WORKER,
        "record_processor_id": WORKER,
        "benchmark_phase": PHASE,
        "was_cancelled": cancelled,
        "cancellation_time_ns": instant(row["end_s"]) if cancelled else None,
        "root_correlation_id": session,
    }
    return {key: value for key, value in metadata.items() if value is not None}


def _metrics(row: Mapping[str, Any], *, stream: bool, api: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The metrics that follow from a row, in their units."""
    prompt, reported = row["usage_prompt_tokens"], row["usage_completion_tokens"]
    inputs = row["new_prompt_tokens"] + row["cached_prompt_tokens"] if prompt is None else prompt
    outputs = row["requested_completion_tokens"] if reported is None else reported
    latency = row["end_s"] - row["sent_s"]
    ttft = row["first_token_s"] - row["sent_s"] if stream and row["first_token_s"] is not None else None
    asked = row["requested_completion_tokens"]
    metrics: dict[str, tuple[float | None, str]] = {
        "request_latency": (1e3 * latency, "ms"),
        "input_sequence_length": (inputs, "tokens"),
        "output_sequence_length": (outputs, "tokens"),
        "output_token_count": (outputs if api == "completions" else None, "tokens"),  # chat: without reasoning
        "usage_prompt_tokens": (prompt, "tokens"),
        "usage_completion_tokens": (reported, "tokens"),
        "usage_total_tokens": (None if prompt is None or reported is None else prompt + reported, "tokens"),
        "usage_prompt_cache_read_tokens": (row["usage_cached_tokens"], "tokens"),
        "osl_mismatch_diff_pct": (100.0 * (outputs - asked) / asked if asked else None, "%"),
        "e2e_output_token_throughput": (outputs / latency if latency > 0 else None, "tokens/sec/user"),
        **_streamed(row, ttft, latency, inputs, outputs),
    }
    yield from ((key, {"value": value, "unit": unit}) for key, (value, unit) in metrics.items() if value is not None)


def _streamed(
    row: Mapping[str, Any], ttft: float | None, latency: float, inputs: int, outputs: int
) -> dict[str, tuple[float | None, str]]:
    """What only a stream shows; the time between tokens only where they came in several chunks."""
    if ttft is None:
        return {}
    decode = latency - ttft
    gap = decode / (outputs - 1) if outputs > 1 and row["chunks"] > 1 else None
    return {
        "time_to_first_token": (1e3 * ttft, "ms"),
        "decode_duration": (1e3 * decode, "ms"),
        "inter_token_latency": (None if gap is None else 1e3 * gap, "ms"),
        "output_token_throughput_per_user": (1 / gap if gap else None, "tokens/sec/user"),
        "prefill_throughput_per_user": (inputs / ttft if ttft > 0 else None, "tokens/sec/user"),
    }


def _error(row: Mapping[str, Any]) -> dict[str, Any]:
    status = row["http_status"]
    code = None if status is None or 200 <= status < 300 else status  # an error under a good status has no code
    error = {"code": code, "type": row["error_kind"] or row["outcome"], "message": row["error"] or ""}
    error["message"] = error["message"] or str(error["type"])
    return {key: value for key, value in error.items() if value is not None}
