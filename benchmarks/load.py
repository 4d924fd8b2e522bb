"""A long or a wide run, watched: memory, open files and CPU once a second, and every row against the server's log.

    python benchmarks/load.py --concurrency 2000 --duration 600 --itl-ms 200
    python benchmarks/load.py --concurrency 200 --duration 3600 --itl-ms 50       an hour's soak

The server (benchmarks/server.py) is a process of its own and writes down each answer that it finished. The figures are
printed as JSON; `lost` and `unknown` must be 0. Exits with 1 when a row is lost, or when the run ends badly.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from trie.storage.run_dir import RunDir

TRACES = 500
SAMPLE_S = 1.0


def workload() -> str:
    """Traces of 2 to 8 turns, of lengths all different, so that sessions do not march in step."""
    draw = random.Random(0)
    rows = []
    for _ in range(TRACES):
        turns = draw.randint(2, 8)
        row = {
            "num_turns": turns,
            "input_prompt_length": draw.randint(100, 800),
            "assistant_response_length": [draw.randint(10, 150) for _ in range(turns)],
            "tool_call_output_length": [draw.randint(20, 300) for _ in range(turns)],
            "tool_call_latency": [round(draw.uniform(0.0, 2.0), 3) for _ in range(turns)],
            "final_assistant_response_length": draw.randint(10, 200),
        }
        rows.append(json.dumps(row) + "\n")
    return "".join(rows)


@contextmanager
def server(itl_ms: float, log: Path) -> Iterator[str]:
    command = [sys.executable, str(Path(__file__).with_name("server.py")), "--itl-ms", str(itl_ms), "--log", str(log)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        process.stdin.close()
        process.wait(10)


def sample(pid: int) -> tuple[float, float, int, int]:
    """Seconds, MiB resident, open files and threads of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    values = dict(line.split(":", 1) for line in status.splitlines())
    resident_mib = int(values["VmRSS"].split()[0]) / 1024
    files = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return time.perf_counter(), resident_mib, files, int(values["Threads"])


def watched(command: list[str], folder: Path) -> tuple[int, list[tuple[float, float, int, int]]]:
    """Run a command to its end; its exit code, and a sample a second."""
    samples = []
    with (
        (folder / "output.txt").open("w") as output,
        subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT) as process,
    ):
        while process.poll() is None:
            try:
                samples.append(sample(process.pid))
            except (OSError, KeyError):  # gone in between
                break
            time.sleep(SAMPLE_S)
    return process.returncode, samples


def memory(samples: list[tuple[float, float, int, int]], warm_up_s: float, duration_s: float) -> dict[str, Any]:
    """Resident memory from the end of the warm-up to the deadline, with the slope of a straight line through it."""
    began = samples[0][0]
    measured = [one for one in samples if warm_up_s <= one[0] - began <= duration_s]
    at, mib, files, threads = np.array(measured).T
    tenth = max(len(mib) // 10, 1)
    return {
        "first_tenth_mib": round(float(np.median(mib[:tenth])), 1),
        "last_tenth_mib": round(float(np.median(mib[-tenth:])), 1),
        "max_mib": round(float(mib.max()), 1),
        "with_report_mib": round(max(one[1] for one in samples), 1),
        "slope_mib_per_hour": round(float(np.polyfit(at, mib, 1)[0]) * 3600, 2),
        "open_files_max": int(files.max()),
        "threads_max": int(threads.max()),
    }


def held_against(log: Path, run: RunDir) -> dict[str, int]:
    """The rows of a run against what the server finished: every answer has one row, with all of its tokens."""
    prefix = f"{run.manifest()['seed']:x}"
    answered = {}
    for line in log.read_text().splitlines():
        name, tokens, _ = line.split(",")
        if name.startswith(prefix + "-"):
            answered[name] = int(tokens)
    rows = run.records().to_pandas()
    rows["name"] = [f"{prefix}-{session}-{turn}" for session, turn in zip(rows.session_id, rows.turn, strict=True)]
    done = rows[rows.outcome == "ok"].set_index("name").usage_completion_tokens.fillna(-1).astype(int)
    ok = done.to_dict()
    return {
        "answers": len(answered),
        "rows": len(rows),
        "rows_ok": len(ok),
        "twice": int(rows.name.duplicated().sum()),
        "lost": len(answered.keys() - set(rows.name)),  # answered, and no row
        "unknown": sum(answered.get(name) != tokens for name, tokens in ok.items()),  # a row, and no such answer
    }


def measure(options: argparse.Namespace, folder: Path) -> tuple[int, dict[str, Any]]:
    (folder / "load.jsonl").write_text(workload())
    log = folder / "answers.csv"
    with server(options.itl_ms, log) as url:
        settings = [f"endpoint={url}", f"concurrency={options.concurrency}", f"duration={options.duration}"]
        settings += ["workload=./load.jsonl", "tokenizer_model=words", "hydra.run.dir=run"]
        code, samples = watched([sys.executable, "-m", "trie", *settings], folder)
    if code != 0:
        sys.exit(f"the run ended with {code}; {folder}/output.txt")
    run = RunDir.open(folder / "run")
    summary, end = run.summary(), run.manifest()["end"]
    rows = held_against(log, run)
    chunks = run.records().column("chunks").to_numpy().sum()
    figures = {
        "concurrency": options.concurrency,
        "wall_time_s": round(end["wall_time_s"], 1),
        "valid": summary["valid"],
        "requests": summary["requests"],
        "chunks_per_s": round(float(chunks) / end["wall_time_s"]),
        "client_cpu": round(end["client"]["cpu_s"] / end["wall_time_s"], 3),
        "loop_lag_p99_ms": round(end["client"]["loop_lag_p99_s"] * 1e3, 2),
        "rows": rows,
        "memory": memory(samples, options.warm_up, options.duration),
    }
    return int(rows["lost"] + rows["unknown"] + rows["twice"] > 0), figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--concurrency", type=int, default=200)
    parser.add_argument("--duration", type=float, default=60.0, help="seconds of the run")
    parser.add_argument("--itl-ms", type=float, default=50.0, help="of the server, from one token to the next")
    parser.add_argument("--warm-up", type=float, default=30.0, help="seconds that memory is not looked at")
    parser.add_argument("--keep", type=Path, help="folder that keeps the run, the log and the output")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        code, figures = measure(options, folder)
    print(json.dumps(figures, indent=1))
    sys.exit(code)


if __name__ == "__main__":
    main()
