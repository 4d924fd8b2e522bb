"""What more processes bring: both floors and trie, in one process and in several, in one table.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --rows 1x64 2x32 2x64 --clients trie --duration 2 --turns 1     half a minute

A row is a client in so many processes of so many streams each. Every second turn goes through the rows backwards, and a
row is only compared with rows of its own turn: what else the machine does passes all of them alike. Each measurement
has a fresh server (native/sse_server.c), and all processes the normal priority. After `--minutes` nothing more begins,
and the last turn may lack rows.

CPU is that of the processes that make the requests, from the first request to the last chunk, and beside it that of
trie's coordinator in the same time. `x all` is their sum beside that of one process with as many streams in all,
`x each` beside that of one process with as many streams as each of these has. `waits` is how often a process waited for
something, for 100 chunks: a client that waits more often reads fewer chunks after each wait, and pays more for each.
TTFT errors are those of the process that was the latest, in ms, request by request against the server's log. `drained`
is the rate at which a server that writes as fast as it is read was read.

The server is one process on the same machine and takes a core of its own. With C cores, more than C - 1 processes share
theirs with it: what they lose then is the machine's, not the client's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic

from client import Measured, drive_floor, drive_trie, drive_uvloop_floor, measure
from clients import Client, Load
from harness import Failed, machine, spread, table

COLUMNS = {
    "CPU us/chunk": 1,
    "coordinator": 2,
    "x all": 2,
    "x each": 2,
    "waits": 0,
    "TTFT err p50": 2,
    "TTFT err p99": 2,
    "server late": 2,
    "drained": 0,
}
CLIENTS = {"floor": drive_floor, "uvloop": drive_uvloop_floor, "trie": drive_trie}
DRAIN_S = 3.0


@dataclass(frozen=True, order=True)
class Layout:
    """So many processes of so many streams each."""

    processes: int
    each: int

    @classmethod
    def parse(cls, text: str) -> Layout:
        processes, each = map(int, text.split("x"))
        return cls(processes, each)

    @property
    def streams(self) -> int:
        return self.processes * self.each

    def __str__(self) -> str:
        return f"{self.processes} x {self.each}"


LAYOUTS = [Layout.parse(text) for text in "1x64 2x32 2x64 1x128 2x128 1x256 1x1024 2x512".split()]
Row = tuple[str, Layout]
Figures = Mapping[str, float | None]


def once(client: str, layout: Layout, duration_s: float) -> dict[str, float | None]:
    """A run at the server's pace, of which its core is not the limit, and one without delays."""
    driven = Client(client, partial(CLIENTS[client], processes=layout.processes))
    streams = layout.streams
    paced = Load(streams, 2000, 200, ttft_ms=50.0, itl_ms=5.0 if streams <= 256 else 20.0).lasting(duration_s)
    unpaced = Load(streams, 2000, max(64_000 // streams, 100), ttft_ms=1.0, itl_ms=0.0, rounds=4, seconds=DRAIN_S)
    measured = measure(driven, paced)
    report, chunks = measured.report, measured.chunks
    p50, p99 = worst_process(measured)
    return {
        "CPU us/chunk": report.cost_s / chunks * 1e6,
        "coordinator": None if report.coordinator_cpu_s is None else report.coordinator_cpu_s / chunks * 1e6,
        "waits": report.child.waits / chunks * 100,
        "TTFT err p50": p50,
        "TTFT err p99": p99,
        "server late": measured.server_late_ms,
        "drained": measure(driven, unpaced).drained() or None,  # not one answer was read whole
    }


def worst_process(measured: Measured) -> tuple[float, float]:
    """p50 and p99 of the error of TTFT of the process whose p99 is the largest, in ms."""
    assert measured.report.requests is not None
    both = measured.report.requests.merge(measured.true(complete_only=False), on="x_request_id")
    errors = (both.ttft_ms_x - both.ttft_ms_y).groupby(both.worker_id.fillna(0)).quantile([0.5, 0.99]).unstack()
    worst = errors.loc[errors[0.99].idxmax()]
    return float(worst[0.5]), float(worst[0.99])


def turn_of(rows: Sequence[Row], number: int, duration_s: float, until: float) -> dict[Row, Figures]:
    """Each row once, with its ratios to other rows of the turn; none that would begin after `until`."""
    figures: dict[Row, dict[str, float | None]] = {}
    for place, (client, layout) in enumerate(rows if number % 2 else reversed(rows), 1):
        if (began := monotonic()) > until:
            break
        try:
            figures[client, layout] = row = once(client, layout, duration_s)
        except Failed as failure:  # which is told and does not end the benchmark
            print(failure, file=sys.stderr)
            continue
        cost = f"{row['CPU us/chunk']:.1f} us/chunk, {row['waits']:.0f} waits"
        where = f"turn {number}, {place} of {len(rows)}"
        print(f"{where}: {client}, {layout} streams: {cost} ({monotonic() - began:.0f} s)", file=sys.stderr)
    for (client, layout), own in figures.items():
        if layout.processes > 1:
            own["x all"] = ratio(own, figures.get((client, Layout(1, layout.streams))))
            own["x each"] = ratio(own, figures.get((client, Layout(1, layout.each))))
    return figures


def ratio(own: Figures, other: Figures | None) -> float | None:
    """How many times as much CPU a chunk takes, the coordinator's included."""
    return None if other is None else cost_of(own) / cost_of(other)


def cost_of(figures: Figures) -> float:
    return (figures["CPU us/chunk"] or 0.0) + (figures["coordinator"] or 0.0)


def turns(rows: Sequence[Row], options: argparse.Namespace) -> list[dict[Row, Figures]]:
    """As many as were asked for, or as fit into the time; on a busy machine the last one may be cut short."""
    until, done = monotonic() + options.minutes * 60, list[dict[Row, Figures]]()
    while len(done) < options.turns and monotonic() < until:
        done.append(turn_of(rows, len(done) + 1, options.duration, until))
    return done


def lines(rows: Sequence[Row], done: Sequence[Mapping[Row, Figures]]) -> Iterator[list[str]]:
    for row in rows:
        client, layout = row
        values = [spread([turn.get(row, {}).get(name) for turn in done], digits) for name, digits in COLUMNS.items()]
        yield [client, str(layout), f"{layout.streams:,}", *values]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Layout.parse, nargs="+", default=LAYOUTS, help="processes x streams of each")
    parser.add_argument("--clients", nargs="+", choices=CLIENTS, default=list(CLIENTS))
    parser.add_argument("--duration", type=float, default=4.0, help="seconds of each run at the server's pace")
    parser.add_argument("--turns", type=int, default=5, help="at most; medians are of so many, with half the range")
    parser.add_argument("--minutes", type=float, default=10.0, help="after which nothing more begins")
    options = parser.parse_args()
    print(machine(), flush=True)
    rows = [(client, layout) for client in options.clients for layout in options.rows]
    done = turns(rows, options)
    print(f"medians of up to {len(done)} turns, half the range beside them", "", sep="\n")
    table(["client", "processes x streams", "streams", *(f"{name:>12}" for name in COLUMNS)], lines(rows, done))


if __name__ == "__main__":
    main()
