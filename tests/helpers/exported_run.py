"""Four requests of a run, and the keys that other tools' files have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from helpers.manifests import manifest
from helpers.rows import row
from trie.metrics.evaluate_run import EvaluatedRun
from trie.storage.parquet_parts import to_table
from trie.storage.record import Outcome, RequestRecord
from trie.storage.run_dir import RunDir

# As `vllm bench serve --save-result` of vLLM 0.33 writes them, in its order.
VLLM_SUMMARY = (
    "date endpoint_type backend label model_id tokenizer_id num_prompts request_rate burstiness max_concurrency "
    "duration completed failed total_input_tokens total_output_tokens request_throughput request_goodput "
    "output_throughput total_token_throughput latencies queue_times max_output_tokens_per_s max_concurrent_requests "
    "rtfx mean_ttft_ms median_ttft_ms std_ttft_ms p99_ttft_ms mean_tpot_ms median_tpot_ms std_tpot_ms p99_tpot_ms "
    "mean_itl_ms median_itl_ms std_itl_ms p99_itl_ms"
).split()
# What its --percentile-metrics and --metric-percentiles can add.
VLLM_MORE = {
    *(f"p{p}_{name}_ms" for p in (50, 90, 95) for name in ("ttft", "tpot", "itl", "e2el")),
    *(f"{statistic}_e2el_ms" for statistic in ("mean", "median", "std", "p99")),
}
VLLM_DETAILED = {"input_lens", "output_lens", "ttfts", "itls", "start_times", "generated_texts", "errors"}

# As AIPerf 0.13 writes them for a streamed completion, without what its transport alone knows.
AIPERF_METRICS = {
    "request_latency": "ms",
    "input_sequence_length": "tokens",
    "output_sequence_length": "tokens",
    "output_token_count": "tokens",
    "usage_prompt_tokens": "tokens",
    "usage_completion_tokens": "tokens",
    "usage_total_tokens": "tokens",
    "usage_prompt_cache_read_tokens": "tokens",
    "osl_mismatch_diff_pct": "%",
    "e2e_output_token_throughput": "tokens/sec/user",
    "time_to_first_token": "ms",
    "decode_duration": "ms",
    "inter_token_latency": "ms",
    "output_token_throughput_per_user": "tokens/sec/user",
    "prefill_throughput_per_user": "tokens/sec/user",
}
AIPERF_METADATA = {
    "session_num",
    "x_request_id",
    "x_correlation_id",
    "conversation_id",
    "turn_index",
    "credit_issued_ns",
    "request_start_ns",
    "request_ack_ns",
    "request_end_ns",
    "worker_id",
    "record_processor_id",
    "benchmark_phase",
    "was_cancelled",
    "root_correlation_id",
}


def request(session: int, sent: float, **fields: Any) -> RequestRecord:
    """Sent 10 ms after it was due; headers after 50 ms, first token after 100 ms, 5 tokens in 5 chunks by 500 ms."""
    ordinary = {
        "queued_s": sent - 0.01,
        "headers_s": sent + 0.05,
        "http_status": 200,
        "usage_cached_tokens": 4,
        "max_gap_s": None,
    }
    return row(session, sent=sent, ttft=0.1, latency=0.5, prompt=10, completion=5, **{**ordinary, **fields})


NOT_REACHED = dict.fromkeys(
    ("headers_s", "first_token_s", "last_token_s", "usage_prompt_tokens", "usage_completion_tokens")
)
ROWS = [
    request(0, 1.0),
    request(1, 1.2, first_token_s=1.4, last_token_s=1.8, end_s=1.8, usage_prompt_tokens=30),
    request(2, 3.0, outcome=Outcome.failed, error_kind="http_status", error="boom", http_status=500, **NOT_REACHED),
    request(3, 9.8, outcome=Outcome.cancelled, error_kind="deadline", end_s=10.0, **NOT_REACHED),
]


def exported_run(rows: Sequence[RequestRecord] = ROWS, *, wall_time_s: float = 10.0, **settings: Any) -> EvaluatedRun:
    """A run of these rows."""
    about = manifest(end={"wall_time_s": wall_time_s}, prompt_seed=0xABC, **settings)
    return EvaluatedRun(RunDir(Path()), about, to_table(list(rows)))
