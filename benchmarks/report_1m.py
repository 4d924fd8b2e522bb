"""How long the numbers of a large run take: time and memory of `summarize` on 100,000 and on 1,000,000 rows.

    python benchmarks/report_1m.py [ROWS ...]

Each size runs in a process of its own, imports included; the rows are made beforehand, outside the figures, and read
from a Parquet file, so that the peak memory holds the table and what is derived from it, not the generator.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZES = (100_000, 1_000_000)
MEAN_REQUESTS = 21  # of an agentic trace
CONCURRENCY = 64


def table(size: int):
    """`size` rows of plausible traces, in the order in which requests end; some failed, some cancelled at the end."""
    import numpy as np  # noqa: PLC0415 - not in the measured process
    import pyarrow as pa  # noqa: PLC0415

    from trie.records import arrow_schema  # noqa: PLC0415

    rng = np.random.default_rng(0)
    lengths = rng.geometric(1 / MEAN_REQUESTS, size // MEAN_REQUESTS * 2)
    lengths = lengths[: int(np.searchsorted(np.cumsum(lengths), size)) + 1]
    session = np.repeat(np.arange(len(lengths)), lengths)[:size]
    starts = np.flatnonzero(np.diff(session, prepend=-1))
    turn = np.arange(size) - starts[session]
    num_turns = lengths[session] - 1
    new = rng.integers(1, 2000, size)
    completion = rng.integers(1, 500, size)
    context = np.cumsum(new + completion)
    before = context - new - completion
    cached = before - before[starts][session]
    wait, delay = rng.exponential(1.0, size), rng.exponential(0.0005, size)
    ttft, decode = rng.exponential(0.3, size), completion * 0.01
    wait[starts] = 0.0
    took = wait + delay + ttft + decode
    clock = np.cumsum(took)
    slot = session % CONCURRENCY
    end = clock - (clock - took)[starts][session] + (clock - took)[starts][session] / CONCURRENCY
    queued = end - took + wait
    outcome = np.full(size, "ok", dtype=object)
    outcome[rng.random(size) < 0.001] = "failed"
    columns = {
        "trace_id": session % 8192,
        "session_id": session,
        "slot": slot,
        "turn": turn,
        "num_turns": num_turns,
        "is_final": turn == num_turns,
        "outcome": outcome,
        "error_kind": np.where(outcome == "failed", "http_status", None),
        "error": np.where(outcome == "failed", "HTTP 500: out of luck", None),
        "http_status": np.where(outcome == "failed", 500, 200),
        "attempts": np.ones(size, np.int64),
        "queued_s": queued,
        "sent_s": queued + delay,
        "attempt_sent_s": queued + delay,
        "headers_s": queued + delay + ttft / 2,
        "first_token_s": queued + delay + ttft,
        "last_token_s": end,
        "end_s": end,
        "new_prompt_tokens": new,
        "cached_prompt_tokens": cached,
        "requested_completion_tokens": completion,
        "usage_prompt_tokens": new + cached,
        "usage_completion_tokens": completion,
        "usage_cached_tokens": cached // 16 * 16,
        "finish_reason": np.full(size, "length", dtype=object),
        "chunks": completion,
        "max_gap_s": rng.exponential(0.02, size),
        "request_bytes": (new + cached) * 6,
        "response_bytes": completion * 200,
        "loop_lag_s": rng.exponential(0.0003, size),
    }
    schema = arrow_schema()
    order = np.argsort(end, kind="stable")
    arrays = [pa.array(columns[name][order], type=schema.field(name).type) for name in schema.names]
    return pa.Table.from_arrays(arrays, schema=schema)


def manifest(wall_time_s: float) -> dict:
    """The manifest of a run that ended in order."""
    client = {"cpu_s": 1.0, "loop_lag_p50_s": 1e-4, "loop_lag_p99_s": 2e-3, "loop_lag_max_s": 0.1, "samples": 100_000}
    return {
        "config": {"concurrency": {"value": CONCURRENCY}, "duration": wall_time_s, "num_gpus": 4, "stream": True},
        "workload": {"synthetic": False, "mean_turns": MEAN_REQUESTS - 1.0},
        "end": {"reason": "deadline", "wall_time_s": wall_time_s, "client": client},
    }


def measure(path: Path) -> None:
    """In a fresh process: read, summarize, and print what it took as JSON."""
    began = time.perf_counter()
    import pyarrow.compute as pc  # noqa: PLC0415 - the import is part of what is measured
    import pyarrow.parquet as pq  # noqa: PLC0415

    from trie.metrics.summary import summarize  # noqa: PLC0415

    imported = time.perf_counter()
    rows = pq.read_table(path)
    read = time.perf_counter()
    summary = summarize(rows, manifest(pc.max(rows["end_s"]).as_py()))
    done = time.perf_counter()
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {
                "rows": rows.num_rows,
                "traces": sum(summary.traces.values()),
                "import_s": round(imported - began, 2),
                "read_s": round(read - imported, 2),
                "summarize_s": round(done - read, 2),
                "peak_mib": round(peak_mib),
            }
        )
    )


def main() -> None:
    if len(sys.argv) == 3 and sys.argv[1] == "--measure":
        measure(Path(sys.argv[2]))
        return
    import pyarrow.parquet as pq  # noqa: PLC0415 - not in the measured process

    for size in [int(given) for given in sys.argv[1:]] or SIZES:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.parquet"
            pq.write_table(table(size), path)
            subprocess.run([sys.executable, __file__, "--measure", str(path)], check=True)


if __name__ == "__main__":
    main()
