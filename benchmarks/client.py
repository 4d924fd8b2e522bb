"""What the client itself costs and adds: CPU per chunk and per request, its rate, and its own lateness.

    python benchmarks/client.py                                     against the embedded endpoint without delays
    python benchmarks/client.py --url http://127.0.0.1:8123/v1 --ttft-ms 50
                                                                    against a server that answers after exactly 50 ms

Every session starts at once, so the first column of TTFT errors is that of a burst. Client and server share the
machine: compare figures of one run, and runs of one machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trie.records import read_records

TRACE = {
    "num_turns": 0,
    "input_prompt_length": 2000,
    "assistant_response_length": [],
    "tool_call_output_length": [],
    "tool_call_latency": [],
    "final_assistant_response_length": 200,
}


@contextmanager
def server(url: str | None) -> Iterator[str]:
    """The server at `url`, or the embedded endpoint without delays in a process of its own."""
    if url is not None:
        yield url
        return
    command = [sys.executable, "-m", "trie", "sim", "--port", "0", "profile=null"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[2]
        process.terminate()


def measure(url: str, concurrency: int, duration_s: float, folder: Path) -> Path:
    (folder / "load.jsonl").write_text(json.dumps(TRACE) + "\n")
    settings = [f"endpoint={url}", f"concurrency={concurrency}", f"duration={duration_s}", "workload=./load.jsonl"]
    command = [sys.executable, "-m", "trie", *settings, "prompts.calibrate=false", "progress=none"]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return Path(done.stdout.strip().splitlines()[-1])


def row(run: Path, ttft_s: float | None) -> str:
    rows = read_records(run / "requests").to_pandas()
    end = json.loads((run / "manifest.json").read_text())["end"]
    summary = json.loads((run / "summary.json").read_text())
    chunks, cpu_s = int(rows.chunks.sum()), end["client"]["cpu_s"]
    client_ok = all(check["ok"] for check in summary["verdict"] if check["check"].startswith("client"))
    added = (rows.first_token_s - rows.sent_s - (ttft_s or 0.0)) * 1e3
    burst = added[rows.session_id < rows.slot.max() + 1]
    errors = [f"{value:9.2f}" if ttft_s is not None else f"{'-':>9}" for value in
              (burst.median(), added.median(), added.quantile(0.99))]  # fmt: skip
    return (
        f"{rows.slot.max() + 1:>8} {chunks / end['wall_time_s']:>10,.0f} {cpu_s / chunks * 1e6:>9.1f} "
        f"{cpu_s / len(rows) * 1e3:>9.2f} {cpu_s / end['wall_time_s']:>8.0%} "
        f"{end['client']['loop_lag_p99_s'] * 1e3:>9.2f} {' '.join(errors)}  {'yes' if client_ok else 'NO'}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="base URL of a server up to and including /v1")
    parser.add_argument("--ttft-ms", type=float, help="what its time to first token is known to be")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--duration", type=float, default=10.0, help="seconds of each run")
    options = parser.parse_args()
    ttft_s = None if options.ttft_ms is None else options.ttft_ms / 1e3
    print(f"{'':>8} {'':>10} {'CPU us':>9} {'CPU ms':>9} {'':>8} {'lag p99':>9} {'TTFT error, ms':^29}  client")
    print(f"{'streams':>8} {'chunks/s':>10} {'a chunk':>9} {'a request':>9} {'of core':>8} {'ms':>9} "
          f"{'burst p50':>9} {'p50':>9} {'p99':>9}  in time")  # fmt: skip
    with server(options.url) as url:
        for concurrency in options.concurrency:
            with tempfile.TemporaryDirectory() as folder:
                print(row(measure(url, concurrency, options.duration, Path(folder)), ttft_s), flush=True)


if __name__ == "__main__":
    main()
