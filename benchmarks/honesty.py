"""Does the verdict notice a client that was late? Runs under disturbances, held against the server's own log.

    python benchmarks/honesty.py                          all cases, about ten minutes
    python benchmarks/honesty.py --cases quiet stop-0.3   some of them

A precise server (native/sse_server.c) logs when it wrote each first chunk, on the clock that the client has as well:
from the client's send to that moment is the true TTFT, however long the server took to read the request.
The client under test is `python -m trie`, kept from its core in many ways. A run is *dishonest* when its verdict is
VALID and its TTFT p50 or p99 is off by more than 10 %. Exits with 1 when there is such a run, or when an undisturbed
run is INVALID.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from harness import Server, machine, server, table

LIMIT = 0.10  # of the true value, above which a VALID run is dishonest
CHECKS = "client"  # how the ids of the checks begin that judge the client
Disturbance = Callable[[int], "Iterator[None]"]


@dataclass(frozen=True)
class Case:
    """A load and what is done to the client meanwhile."""

    name: str
    disturb: Callable[[int, threading.Event], None] | None = None  # with the client's pid, until the event is set
    streams: int = 32
    ttft_ms: float = 50.0
    itl_ms: float = 5.0
    tokens: int = 100
    one_core: bool = False  # the client shares core 0 with nobody; the server has the others
    honest: bool = False  # whether the run has to be VALID


def stopping(stopped_s: float, period_s: float) -> Callable[[int, threading.Event], None]:
    """Suspend the client for a part of each period, as a laptop's lid, a debugger or a hypervisor does."""

    def disturb(pid: int, ended: threading.Event) -> None:
        while not ended.wait(period_s - stopped_s):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
            time.sleep(stopped_s)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    return disturb


def burning(processes: int) -> Callable[[int, threading.Event], None]:
    """Keep the cores busy with processes of the client's own priority."""

    def disturb(_: int, ended: threading.Event) -> None:
        burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
        try:
            ended.wait()
        finally:
            for burner in burners:
                burner.kill()
                burner.wait()

    return disturb


CASES = (
    Case("quiet", honest=True),
    Case("quiet-200", streams=200, itl_ms=20.0, honest=True),
    Case("quiet-slow", streams=16, ttft_ms=500.0, itl_ms=20.0, tokens=30, honest=True),
    Case("burners-2", burning(2)),
    Case("burners-6", burning(6)),
    Case("stop-0.3", stopping(0.3, 3.0)),
    Case("stop-0.05", stopping(0.05, 0.5)),
    Case("stop-0.9", stopping(0.9, 3.9)),
    Case("stop-half", stopping(0.8, 1.6), ttft_ms=500.0, itl_ms=20.0, tokens=30),
    Case("quota-30", stopping(0.07, 0.1)),
    Case("quota-60", stopping(0.04, 0.1)),
    Case("fast-60", streams=60, itl_ms=1.0, tokens=400),
    Case("core-500", streams=500, itl_ms=20.0, one_core=True),
    Case("core-500-burner", burning(2), streams=500, itl_ms=20.0, one_core=True),
)


@contextmanager
def disturbed(case: Case, pid: int) -> Iterator[None]:
    """The disturbance, from one second after the client's start on: its preparations are not what is tested."""
    ended = threading.Event()
    if case.disturb is None:
        yield
        return
    thread = threading.Thread(target=case.disturb, args=(pid, ended))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def workload(tokens: int) -> str:
    """Traces of one request, of answers of 0.6 to 1.4 times so many tokens, so that streams do not march in step."""
    trace = {"num_turns": 0, "input_prompt_length": 200, "assistant_response_length": [], "tool_call_output_length": []}
    lengths = (round(tokens * (0.6 + 0.8 * (step * 17 % 41) / 40)) for step in range(41))
    rows = (trace | {"tool_call_latency": [], "final_assistant_response_length": length} for length in lengths)
    return "".join(json.dumps(row) + "\n" for row in rows)


def begun(folder: Path, process: subprocess.Popen[str]) -> None:
    """Wait until the run's clock has started: until there is a folder for its rows."""
    while process.poll() is None and not (folder / "run" / "requests").is_dir():
        time.sleep(0.02)


def replay(case: Case, at: Server, folder: Path, duration_s: float, settings: list[str]) -> Path:
    """Run the client to its end; the run's directory."""
    (folder / "load.jsonl").write_text(workload(case.tokens))
    command = [
        sys.executable,
        "-m",
        "trie",
        f"endpoint={at.url}",
        f"concurrency={case.streams}",
        "workload=./load.jsonl",
    ]
    command += [
        f"duration={duration_s:g}",
        "prompts.calibrate=false",
        "progress=none",
        "html=false",
        "hydra.run.dir=run",
    ]
    if case.one_core:
        command = ["taskset", "-c", "0", *command]
    with (
        (folder / "output.txt").open("w") as output,
        subprocess.Popen([*command, *settings], cwd=folder, stdout=output, stderr=output, text=True) as process,
    ):
        begun(folder, process)
        with disturbed(case, process.pid):
            process.wait()
    if not (folder / "run" / "summary.json").exists():
        sys.exit(f"{case.name}: no report\n{(folder / 'output.txt').read_text()[-2000:]}")
    return folder / "run"


@dataclass(frozen=True)
class Outcome:
    """TTFT as reported and as logged, in ms, and the verdict."""

    reported: tuple[float, float]  # p50, p99
    true: tuple[float, float]
    requests: int
    valid: bool
    failed: list[str]

    @property
    def errors(self) -> tuple[float, float]:
        p50, p99 = (said / true - 1 for said, true in zip(self.reported, self.true, strict=True))
        return p50, p99

    @property
    def dishonest(self) -> bool:
        return self.valid and max(map(abs, self.errors)) > LIMIT


def outcome(run: Path, log: pd.DataFrame) -> Outcome:
    """What the report says beside what the server logged of the same requests: those with a first token in the rows."""
    rows = pd.read_parquet(run / "requests")
    manifest = json.loads((run / "manifest.json").read_text())
    rows["x_request_id"] = [f"{manifest['seed']:x}-{row.session_id}-{row.turn}" for row in rows.itertuples()]
    both = rows[rows.outcome == "ok"].merge(log[log.chunks > 0], on="x_request_id")
    reported = (both.first_token_s - both.sent_s) * 1e3
    sent = manifest["end"]["began_monotonic_s"] + both.sent_s  # on the clock of the server's log
    true = (both.first_chunk_s - sent) * 1e3
    summary = json.loads((run / "summary.json").read_text())
    failed = [check["id"] for check in summary["verdict"] if not check["ok"] and check["id"].startswith(CHECKS)]
    p50, p99 = (float(reported.quantile(q)) for q in (0.5, 0.99))
    true50, true99 = (float(true.quantile(q)) for q in (0.5, 0.99))
    return Outcome((p50, p99), (true50, true99), len(both), bool(summary["valid"]), failed)


def measure(case: Case, duration_s: float, settings: list[str]) -> Outcome:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with server(folder, ttft_ms=case.ttft_ms, itl_ms=case.itl_ms) as at:
            run = replay(case, at, folder, duration_s, settings)
        return outcome(run, at.log())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [case.name for case in CASES]
    parser.add_argument("--cases", nargs="+", choices=names, default=names)
    parser.add_argument("--duration", type=float, default=20.0, help="seconds of each run")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--settings", nargs="*", default=[], help="more settings of the run, as KEY=VALUE")
    options = parser.parse_args()
    print(machine(), end="\n\n")
    wrong: list[str] = []

    def lines() -> Iterator[list[str]]:
        for case in (case for case in CASES if case.name in options.cases):
            for _ in range(options.repeats):
                found = measure(case, options.duration, options.settings)
                p50, p99 = found.errors
                word = "VALID" if found.valid else "INVALID"
                if found.dishonest or (case.honest and not found.valid and max(map(abs, found.errors)) <= LIMIT / 2):
                    wrong.append(case.name)
                    word += " (wrong)"
                yield [
                    case.name,
                    f"{found.requests:,}",
                    f"{found.reported[0]:.1f} / {found.true[0]:.1f}",
                    f"{p50:+.1%}",
                    f"{found.reported[1]:.1f} / {found.true[1]:.1f}",
                    f"{p99:+.1%}",
                    word,
                    ", ".join(found.failed) or "-",
                ]

    table(
        [
            "case           ",
            "requests",
            "p50, client / server ms",
            "error",
            "p99, client / server ms",
            "error",
            "verdict",
            "what the verdict says of the client",
        ],
        lines(),
    )
    if wrong:
        sys.exit(f"wrong verdicts: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
