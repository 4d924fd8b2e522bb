"""What Ray costs: workers that are actors of a cluster on this machine, beside as many processes.

    python benchmarks/ray_workers.py                 64 and 256 streams in two workers, five turns
    python benchmarks/ray_workers.py --streams 64 --turns 1 --duration 3

Each turn measures both placements, in alternating order, each against a fresh server (native/sse_server.c), at the
server's pace. CPU is that of a chunk, from the first request to the last chunk, in us: `workers` of the processes that
make the requests, `coordinator` of the process that was started, `actors` of those that pass messages on, and `ray` of
all that Ray has beside them (raylet, GCS, agents), by /proc every half second. `x processes` is the sum of all four
beside that of processes in the same turn. TTFT errors are those of the worker that was the latest, in ms, request by
request against the server's log.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic

import numpy as np
from client import drive_trie, measure
from clients import Client, Load
from harness import Failed, machine, spread, table
from scaling import worst_process

RAY = ("cluster=ray", "cluster.address=local")
PLACEMENTS = {"processes": (), "ray": RAY}
COLUMNS = {
    "workers": 1,
    "coordinator": 2,
    "actors": 2,
    "ray": 2,
    "x processes": 2,
    "TTFT err p50": 2,
    "TTFT err p99": 2,
    "server late": 2,
}
COSTS = ("workers", "coordinator", "actors", "ray")
SAMPLE_S = 0.5
TICKS = os.sysconf("SC_CLK_TCK")
Samples = list[tuple[float, dict[str, float]]]  # monotonic time, CPU seconds by kind


@contextmanager
def sampled() -> Iterator[Samples]:
    """CPU time of Ray's processes below this one, while the block lasts."""
    samples: Samples = []
    over = threading.Event()

    def sample() -> None:
        seen: dict[int, tuple[str, float]] = {}
        while not over.wait(SAMPLE_S):
            seen |= dict(_of_ray(os.getpid()))
            sums = {kind: sum(cpu for name, cpu in seen.values() if name == kind) for kind in ("actors", "ray")}
            samples.append((monotonic(), sums))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


def _of_ray(root: int) -> Iterator[tuple[int, tuple[str, float]]]:
    """Processes below one: kind and CPU seconds of each that is Ray's."""
    for task in _listed(Path(f"/proc/{root}/task")):
        for child in _read(task / "children").split():
            pid, command = int(child), _read(Path(f"/proc/{child}/cmdline"))
            kind = "actors" if command.startswith("ray::RemoteWorker") else "ray" if "/ray/" in command else None
            numbers = _read(Path(f"/proc/{child}/stat")).rpartition(")")[2].split()
            if kind and numbers:
                yield pid, (kind, (int(numbers[11]) + int(numbers[12])) / TICKS)
            yield from _of_ray(pid)


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def between(samples: Samples, kind: str, began: float, ended: float) -> float:
    at, cpu = [instant for instant, _ in samples], [sums[kind] for _, sums in samples]
    return float(np.interp(ended, at, cpu) - np.interp(began, at, cpu))


def once(placement: str, streams: int, options: argparse.Namespace) -> dict[str, float | None]:
    load = Load(streams, 2000, 200, ttft_ms=50.0, itl_ms=5.0).lasting(options.duration)
    driven = Client(placement, partial(drive_trie, processes=options.workers, more=PLACEMENTS[placement]))
    with sampled() as samples:
        measured = measure(driven, load)
    report, chunks = measured.report, measured.chunks
    began, ended = measured.log.body_read_s.min(), measured.log.last_chunk_s.max()  # monotonic
    p50, p99 = worst_process(measured)
    costs: dict[str, float | None] = {"workers": report.cost_s, "coordinator": report.coordinator_cpu_s}
    if placement == "ray":
        costs |= {kind: between(samples, kind, began, ended) for kind in ("actors", "ray")}
    figures = {name: None if cpu_s is None else cpu_s / chunks * 1e6 for name, cpu_s in costs.items()}
    return figures | {"TTFT err p50": p50, "TTFT err p99": p99, "server late": measured.server_late_ms}


def turn_of(number: int, streams: int, options: argparse.Namespace) -> Mapping[str, dict[str, float | None]]:
    figures: dict[str, dict[str, float | None]] = {}
    for placement in list(PLACEMENTS)[:: 1 if number % 2 else -1]:
        began = monotonic()
        try:
            figures[placement] = once(placement, streams, options)
        except Failed as failure:  # which is told and does not end the benchmark
            print(failure, file=sys.stderr)
            continue
        print(f"turn {number}: {placement}, {streams} streams ({monotonic() - began:.0f} s)", file=sys.stderr)
    if len(figures) == len(PLACEMENTS):
        figures["ray"]["x processes"] = _cost(figures["ray"]) / _cost(figures["processes"])
    return figures


def _cost(figures: Mapping[str, float | None]) -> float:
    return sum(figures.get(name) or 0.0 for name in COSTS)


def lines(options: argparse.Namespace) -> Iterator[list[str]]:
    for streams in options.streams:
        turns = [turn_of(number, streams, options) for number in range(1, options.turns + 1)]
        for placement in PLACEMENTS:
            values = [
                spread([turn.get(placement, {}).get(name) for turn in turns], digits)
                for name, digits in COLUMNS.items()
            ]
            yield [placement, f"{options.workers} x {streams // options.workers}", *values]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, nargs="+", default=[64, 256], help="in all")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--duration", type=float, default=6.0, help="seconds of each run")
    parser.add_argument("--turns", type=int, default=5, help="medians are of so many, with half the range beside them")
    options = parser.parse_args()
    print(machine(), "", sep="\n", flush=True)
    table(["placement", "workers x streams", *(f"{name:>12}" for name in COLUMNS)], lines(options))


if __name__ == "__main__":
    main()
