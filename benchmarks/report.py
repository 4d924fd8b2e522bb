"""How long `trie report` takes and what memory it needs, on generated rows.

    python benchmarks/report.py 100000 1000000
    python benchmarks/report.py --rows 20000000
    python benchmarks/report.py --rows 20000000 --keep /tmp/run      generate into a folder, and leave it there

The rows are those of a closed loop of traces whose lengths the run knows, as one of many agents would leave them.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from harness import machine

from trie.config import RunConfig, WorkloadConfig
from trie.metrics.certainty.population import Population, features
from trie.metrics.columns import Floats
from trie.preflight.new_manifest import plain
from trie.storage.record import arrow_schema
from trie.storage.run_dir import RunDir

TRACES = 8192  # of the workload
TURNS = 20  # requests in a trace: the mean of the recorded agentic traces
PART_ROWS = 1_000_000  # that are generated at a time
PER_SLOT = 4000  # requests that a slot has, of a run of very many
FIRST_TOKEN_S, PER_NEW_S, PER_CONTEXT_S, PER_TOKEN_S = 0.15, 1 / 20_000, 1e-6, 0.012  # what a request takes, on average
CUT = 0.98  # of the time of the last part, at which the run ends


@dataclass(frozen=True)
class Lengths:
    """Of every request of the workload; a row for each trace."""

    new: Floats
    completion: Floats
    context: Floats
    wait_s: Floats  # behind it

    @classmethod
    def drawn(cls) -> Lengths:
        rng = np.random.default_rng(1)
        new = rng.integers(100, 1500, (TRACES, TURNS)).astype(float)
        new[:, 0] += 4000
        completion = rng.integers(20, 400, (TRACES, TURNS)).astype(float)
        context = np.cumsum(new + completion, axis=1) - new - completion
        wait_s = rng.gamma(1.0, 1.5, (TRACES, TURNS))
        wait_s[:, -1] = 0.0
        return cls(new, completion, context, wait_s)

    @property
    def request_s(self) -> Floats:
        """What each takes with the wait behind it, on average."""
        prefill = FIRST_TOKEN_S + PER_NEW_S * self.new + PER_CONTEXT_S * self.context
        return prefill + PER_TOKEN_S * self.completion + self.wait_s

    def population(self) -> Population:
        """The sums over each trace."""
        turn = np.tile(np.arange(TURNS), (TRACES, 1))
        lengths = (self.completion, self.new, self.context, turn)
        requests = features(*(values.ravel().astype(float) for values in lengths)).reshape(TRACES, TURNS, -1)
        return Population(np.arange(TRACES), self.wait_s.sum(1), requests.sum(1), requests[:, 0], requests[:, -1])


def tables(count: int) -> Iterator[tuple[pa.Table, float]]:
    """The rows of a run in the order of their ends, so many at a time, and when the run ended by then."""
    lengths, slots = Lengths.drawn(), max(48, count // PER_SLOT)
    traces = -(-count // (slots * TURNS))  # of each slot
    at_once = max(PART_ROWS // (slots * TURNS), 1)
    since = 0.0
    for first in range(0, traces, at_once):
        those = range(first, min(first + at_once, traces))
        table, until = _part(lengths, slots, those, since, last=those.stop == traces)
        yield table, until
        since = until


def _part(lengths: Lengths, slots: int, numbers: range, since: float, *, last: bool) -> tuple[pa.Table, float]:
    """So many whole traces of each slot, which begin and end together."""
    rng = np.random.default_rng(numbers.start)
    per_slot = len(numbers) * TURNS
    count, length = slots * per_slot, per_slot * lengths.request_s.mean()
    slot, index = np.divmod(np.arange(count), per_slot)
    number, turn = np.divmod(index, TURNS)
    session = (numbers.start + number) * slots + slot
    trace = session % TRACES
    new, completion, context = (of[trace, turn] for of in (lengths.new, lengths.completion, lengths.context))
    prefill = PER_NEW_S * new + PER_CONTEXT_S * context + rng.gamma(2.0, FIRST_TOKEN_S / 2, count)
    decode = completion * np.abs(rng.normal(PER_TOKEN_S, PER_TOKEN_S / 12, count))
    spans = prefill + decode + lengths.wait_s[trace, turn]
    scale = length / spans.reshape(slots, -1).sum(1)[slot]
    queued = since + (spans * scale).reshape(slots, -1).cumsum(1).ravel() - spans * scale
    first, end = queued + prefill * scale, queued + (prefill + decode) * scale
    until = since + length * (CUT if last else 1.0)
    failed = rng.random(count) < 0.001
    cancelled = end > until
    gap = decode / completion * 3
    values = {
        "trace_id": trace, "session_id": session, "slot": slot, "turn": turn,
        "num_turns": np.full(count, TURNS - 1), "is_final": turn == TURNS - 1,
        "outcome": np.where(cancelled, "cancelled", np.where(failed, "failed", "ok")),
        "error_kind": np.where(failed & ~cancelled, "http_503", None), "attempts": np.ones(count, np.int64),
        "queued_s": queued, "sent_s": queued + 2e-4, "attempt_sent_s": queued + 2e-4, "headers_s": first - 1e-4,
        "first_token_s": np.where(first > until, np.nan, first), "last_token_s": np.minimum(end, until) - 1e-4,
        "end_s": np.minimum(end, until), "new_prompt_tokens": new, "cached_prompt_tokens": context,
        "requested_completion_tokens": completion, "usage_prompt_tokens": new + context,
        "usage_completion_tokens": completion, "usage_cached_tokens": np.floor(context * 0.97 / 16) * 16,
        "finish_reason": np.where(cancelled, None, "length"), "burst_share": rng.random(count) * 0.1,
        "chunks": completion, "first_chunk_tokens": np.ones(count), "max_gap_s": gap, "request_bytes": new * 6,
        "response_bytes": completion * 250, "loop_lag_s": rng.random(count) * 1e-3,
        "first_token_lag_s": rng.random(count) * 5e-4, "later_lag_s": rng.random(count) * 1e-3,
    }  # fmt: skip
    order = np.argsort(values["end_s"], kind="stable")
    order = order[queued[order] < until]
    schema = arrow_schema()
    columns = [
        pa.array(values[field.name][order], from_pandas=True).cast(field.type)
        if field.name in values
        else _none(field, len(order))
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema), until


def _none(field: pa.Field, count: int) -> pa.Array:
    nulls = pa.nulls(count, field.type)
    return nulls if field.nullable else nulls.fill_null(pa.scalar(0).cast(field.type))


def run_directory(folder: Path, count: int) -> None:
    """A run of at least so many rows, less what its end cut off."""
    (folder / "requests").mkdir(parents=True)
    with pq.ParquetWriter(folder / "requests" / "part-000000.parquet", arrow_schema(), compression="zstd") as file:
        for table, until in tables(count):
            file.write_table(table)
            wall_time_s = until
    client = {"cpu_s": 1.0, "loop_lag_p50_s": 0.0, "loop_lag_p99_s": 0.001, "loop_lag_max_s": 0.01, "samples": 1}
    config = plain(RunConfig(workload=WorkloadConfig(path="w.jsonl")))
    concurrency = {**config["concurrency"], "value": max(48, count // PER_SLOT)}
    manifest = {
        "config": {**config, "concurrency": concurrency, "duration": wall_time_s},
        "workload": {"name": "generated", "source": "generated", "traces": TRACES, "synthetic": False},
        "server": {"base_url": "http://h/v1", "embedded": False, "model": "m"},
        "prompts": {"name": "none", "finding": "none"},
        "seed": 0,
        "started": {"unix_s": 0.0},
        "end": {"reason": "deadline", "wall_time_s": wall_time_s, "client": client},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    RunDir(folder).write_population(Lengths.drawn().population().table())


def measure(folder: Path) -> str:
    """The report of a run: a line of figures."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", "trie", "report", folder], check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    rows = pq.read_metadata(folder / "requests" / "part-000000.parquet").num_rows
    return f"{rows:>12,} {wall:>8.2f} {user + system:>8.2f} {after.ru_maxrss / 1024:>8.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", type=int, nargs="*", metavar="ROWS", help="rows of each run (100000 1000000)")
    parser.add_argument("--rows", type=int, help="of one run alone")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where the run is, or is generated and stays")
    options = parser.parse_args()
    counts = [options.rows] if options.rows else options.counts or [100_000, 1_000_000]
    print(machine())
    print(f"{'rows':>12} {'wall s':>8} {'CPU s':>8} {'peak MB':>8}")
    for count in counts:
        with tempfile.TemporaryDirectory() as name:
            folder = options.keep or Path(name) / "run"
            if not folder.exists():
                run_directory(folder, count)
            print(measure(folder), flush=True)


if __name__ == "__main__":
    main()
