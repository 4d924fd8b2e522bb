"""What more processes bring: both floors, trie in one process, and trie with several workers, in one table.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --streams 64 --workers 2 --duration 5 --repeats 1

Clients take turns, each against a fresh server (native/sse_server.c), all at the normal priority. CPU is that of a
chunk while requests are made, summed over the workers; `all of it` has the coordinator and the report too. TTFT errors
are those of the worker that was the latest, request by request against the server's log. `drained` is the rate at which
a server that writes as fast as it is read was read.

The server is one process on the same machine and takes a core of its own. With C cores, more than C - 1 workers share
theirs with it: what they lose then is the machine's, not trie's.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import partial

from client import OURS, Measured, Results, drive_trie, measure
from clients import Client, Load
from harness import Failed, machine, spread, table

COLUMNS = {"CPU us/chunk": 1, "all of it": 1, "TTFT err p50": 2, "TTFT err p99": 2, "server late": 2, "drained": 0}


def paced(streams: int) -> Load:
    """As in client.py: the server's core is not the limit."""
    return Load(streams, 2000, 200, ttft_ms=50.0, itl_ms=5.0 if streams <= 256 else 20.0)


def once(client: Client, streams: int, duration_s: float) -> dict[str, float | None]:
    """A short and a long run at the server's pace, and one without delays."""
    load = paced(streams)
    short, long = measure(client, load.lasting(0.5)), measure(client, load.lasting(duration_s))
    chunks = long.chunks - short.chunks
    p50, p99 = worst_worker(long)
    unpaced = Load(streams, 2000, max(64_000 // streams, 100), ttft_ms=1.0, itl_ms=0.0, rounds=4, seconds=duration_s)
    return {
        "CPU us/chunk": (long.report.cost_s - short.report.cost_s) / chunks * 1e6 if chunks > 0 else None,
        "all of it": (long.report.child.cpu_s - short.report.child.cpu_s) / chunks * 1e6 if chunks > 0 else None,
        "TTFT err p50": p50,
        "TTFT err p99": p99,
        "server late": long.server_late_ms,
        "drained": measure(client, unpaced).drained(),
    }


def worst_worker(measured: Measured) -> tuple[float, float]:
    """p50 and p99 of the error of TTFT of the worker whose p99 is the largest, in ms."""
    assert measured.report.requests is not None
    both = measured.report.requests.merge(measured.true(complete_only=False), on="x_request_id")
    errors = (both.ttft_ms_x - both.ttft_ms_y).groupby(both.worker_id.fillna(0)).quantile([0.5, 0.99]).unstack()
    worst = errors.loc[errors[0.99].idxmax()]
    return float(worst[0.5]), float(worst[0.99])


def lines(clients: list[Client], options: argparse.Namespace) -> Iterator[list[str]]:
    for streams in options.streams:
        figures: dict[str, Results] = {client.name: defaultdict(list) for client in clients}
        for turn in range(1, options.repeats + 1):
            for client in clients:
                print(f"{client.name}, {streams:,} streams, {turn} of {options.repeats} ...", file=sys.stderr)
                try:
                    measured = once(client, streams, options.duration)
                except Failed as failure:  # which is told and does not end the benchmark
                    print(failure, file=sys.stderr)
                    continue
                for name, value in measured.items():
                    figures[client.name][name].append(value)
        for client in clients:
            values = [spread(figures[client.name][name], digits) for name, digits in COLUMNS.items()]
            yield [client.name, f"{streams:,}", *values]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--duration", type=float, default=10.0, help="seconds of each long run")
    parser.add_argument("--repeats", type=int, default=3, help="medians are of so many, with half the range beside")
    options = parser.parse_args()
    tries = [Client(f"trie, {workers}", partial(drive_trie, workers=workers)) for workers in options.workers]
    print(machine(), "", sep="\n")
    head = ["client, workers", "streams", *(f"{name:>14}" for name in COLUMNS)]
    table(head, lines([OURS["floor"], OURS["uvloop"], *tries], options))


if __name__ == "__main__":
    main()
