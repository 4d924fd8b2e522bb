"""How long `trie report` takes and what memory it needs, on generated rows.

python benchmarks/report.py 100000 1000000
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trie.config import RunConfig, WorkloadConfig
from trie.metrics.certainty.population import Population, features
from trie.preflight.new_manifest import plain
from trie.storage.record import arrow_schema
from trie.storage.run_dir import RunDir

TRACES = 8192  # of the workload
TURNS = 20  # requests in a trace: the mean of the recorded agentic traces


def rows(count: int) -> pa.Table:
    """Rows of traces of 20 requests each, with plausible instants and usage."""
    rng = np.random.default_rng(0)
    index = np.arange(count)
    turn = index % TURNS
    sent = index * 0.01 + rng.random(count)
    first = sent + rng.gamma(2.0, 0.1, count)
    end = first + rng.gamma(2.0, 1.0, count)
    new, cached = rng.integers(1, 2000, count), turn * 1200
    values = {
        "trace_id": index // TURNS % TRACES,
        "session_id": index // TURNS,
        "slot": index // TURNS % 48,
        "turn": turn,
        "num_turns": np.full(count, TURNS - 1),
        "is_final": turn == TURNS - 1,
        "outcome": np.where(rng.random(count) < 0.999, "ok", "failed"),
        "attempts": np.ones(count, np.int64),
        "queued_s": sent,
        "sent_s": sent,
        "attempt_sent_s": sent,
        "headers_s": first,
        "first_token_s": first,
        "last_token_s": end,
        "end_s": end,
        "new_prompt_tokens": new,
        "cached_prompt_tokens": cached,
        "requested_completion_tokens": np.full(count, 200),
        "usage_prompt_tokens": new + cached,
        "usage_completion_tokens": np.full(count, 200),
        "usage_cached_tokens": cached,
        "chunks": np.full(count, 200),
        "request_bytes": new * 6,
        "response_bytes": np.full(count, 50_000),
        "loop_lag_s": rng.random(count) * 0.001,
    }
    schema = arrow_schema()
    columns = [
        pa.array(values[field.name], type=field.type) if field.name in values else _none(field, count)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _none(field: pa.Field, count: int) -> pa.Array:
    nulls = pa.nulls(count, field.type)
    return nulls if field.nullable else nulls.fill_null(pa.scalar(0).cast(field.type))


def population() -> Population:
    """Sums over traces like these."""
    rng = np.random.default_rng(1)
    new = rng.integers(1, 2000, (TRACES, TURNS))
    context = np.tile(np.arange(TURNS) * 1200, (TRACES, 1))
    turn = np.tile(np.arange(TURNS), (TRACES, 1))
    requests = features(*(values.ravel().astype(float) for values in (np.full_like(new, 200), new, context, turn)))
    of_traces = requests.reshape(TRACES, TURNS, -1)
    wait_s = rng.random(TRACES) * 20
    return Population(np.arange(TRACES), wait_s, of_traces.sum(1), of_traces[:, 0], of_traces[:, -1])


def run_directory(folder: Path, count: int) -> None:
    (folder / "requests").mkdir()
    pq.write_table(rows(count), folder / "requests" / "part-000000.parquet", compression="zstd")
    client = {"cpu_s": 1.0, "loop_lag_p50_s": 0.0, "loop_lag_p99_s": 0.001, "loop_lag_max_s": 0.01, "samples": 1}
    manifest = {
        "config": plain(RunConfig(workload=WorkloadConfig(path="w.jsonl"))),
        "workload": {"name": "generated", "source": "generated", "traces": 8192, "synthetic": False},
        "server": {"base_url": "http://h/v1", "embedded": False, "model": "m"},
        "prompts": {"name": "none", "finding": "none"},
        "seed": 0,
        "started": {"unix_s": 0.0},
        "end": {"reason": "deadline", "wall_time_s": count * 0.01, "client": client},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    RunDir(folder).write_population(population().table())


def main() -> None:
    print(f"{'rows':>10} {'wall s':>8} {'CPU s':>8} {'peak MB':>8}")
    for count in map(int, sys.argv[1:] or ("100000", "1000000")):
        with tempfile.TemporaryDirectory() as folder:
            run_directory(Path(folder), count)
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            command = [sys.executable, "-m", "trie", "report", folder]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"{count:>10,} {wall:>8.2f} {cpu:>8.2f} {after.ru_maxrss / 1024:>8.0f}")


if __name__ == "__main__":
    main()
