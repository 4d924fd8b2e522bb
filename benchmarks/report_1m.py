"""How long a report of many rows takes, pandas and pyarrow imports included: `python benchmarks/report_1m.py [ROWS]`.

Writes synthetic rows as Parquet, then reads and summarises them in a fresh process, whose time and peak memory are
printed. Limits: 1,000,000 rows in 5 s and 1.5 GB, 100,000 rows in 1.5 s. Give it an idle machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TURNS = 20
SLOTS = 32
MANIFEST: dict[str, Any] = {
    "config": {"stream": True, "concurrency": {"value": SLOTS}, "num_gpus": 4, "duration": 3600.0},
    "workload": {"name": "benchmark", "synthetic": True},
    "prompts": {"offset_tokens": 0},
    "end": None,
}

MEASURE = """
import json, resource, sys, time
begin = time.perf_counter()
from pathlib import Path
import pandas
from trie.metrics.summary import summarize
from trie.records import read_records
imported = time.perf_counter()
rows = read_records(Path(sys.argv[1]))
read = time.perf_counter()
summarize(rows, json.loads(sys.argv[2]))
done = time.perf_counter()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
print(f"{rows.num_rows:,} rows: {done - begin:.2f} s "
      f"(imports {imported - begin:.2f}, reading {read - imported:.2f}, metrics {done - read:.2f}), peak {peak:.2f} GB")
"""


def write(folder: Path, count: int) -> None:
    """Rows of sessions of 20 requests, ordered by their ends, one request in a thousand failed."""
    import numpy as np  # noqa: PLC0415 - the process that measures imports for itself
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    from trie.records import arrow_schema  # noqa: PLC0415

    rng = np.random.default_rng(0)
    session, turn = np.divmod(np.arange(count), TURNS)
    sent = (session % SLOTS) * 0.1 + (session // SLOTS) * 60.0 + turn * 3.0
    first = sent + rng.uniform(0.05, 0.2, count)
    end = first + rng.uniform(0.5, 1.0, count)
    new, completion = rng.integers(50, 500, count), rng.integers(2, 100, count)
    before = np.cumsum(new + completion) - (new + completion)
    context = before - before[session * TURNS]
    failed = rng.random(count) < 0.001
    values: dict[str, Any] = {
        "trace_id": session % 8192,
        "session_id": session,
        "slot": session % SLOTS,
        "turn": turn,
        "num_turns": np.full(count, TURNS - 1),
        "is_final": turn == TURNS - 1,
        "outcome": np.where(failed, "failed", "ok"),
        "error_kind": np.where(failed, "http_status", None),
        "attempts": np.ones(count, int),
        **dict.fromkeys(("queued_s", "sent_s", "attempt_sent_s"), sent),
        **dict.fromkeys(("headers_s", "first_token_s"), first),
        **dict.fromkeys(("last_token_s", "end_s"), end),
        "new_prompt_tokens": new,
        "cached_prompt_tokens": context,
        "usage_prompt_tokens": new + context,
        "usage_cached_tokens": context // 16 * 16,
        **dict.fromkeys(("requested_completion_tokens", "usage_completion_tokens", "chunks"), completion),
        "max_gap_s": np.full(count, 0.02),
        "loop_lag_s": np.zeros(count),
    }
    schema = arrow_schema()
    empty = {"request_bytes": 0, "response_bytes": 0}
    columns = [
        pa.array(values.get(column.name, np.full(count, empty.get(column.name))), type=column.type, from_pandas=True)
        for column in schema
    ]
    folder.mkdir()
    table = pa.Table.from_arrays(columns, schema=schema).take(pa.array(np.argsort(end)))
    pq.write_table(table, folder / "part-000000.parquet", compression="zstd")


def main() -> None:
    """Measure once for each count of rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", type=int, default=[100_000, 1_000_000])
    for count in parser.parse_args().rows:
        with tempfile.TemporaryDirectory() as folder:
            requests = Path(folder) / "requests"
            write(requests, count)
            command = [sys.executable, "-c", MEASURE, str(requests), json.dumps(MANIFEST)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
