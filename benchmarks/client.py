"""What a client costs and how wrong its figures are: trie, two floors, and every peer that is installed.

    python benchmarks/client.py                 trie, the floors, and the peers that the environment names
    python benchmarks/client.py --clients trie floor uvloop --only streams --duration 5 --repeats 1

A floor does nothing but send, and note the time of each read: `floor` in C, `uvloop` in Python on trie's own loop.

Clients take turns, each against a fresh server that keeps its times to some microseconds and logs them (sse_server).
CPU is that of the client's whole process tree, as the difference of a long and a short run, so that starting and
importing count for nothing. Errors are what the client reports against what the server logged. Client and server share
the machine: compare the lines of one run with each other, the floor's first of all. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from clients import Client, Load, Report, Server
from harness import Child, Failed, build, machine, run, server, spread, table, together
from peers import peers

from trie.storage.parquet_parts import read_records

BODY_BYTES_A_TOKEN = 6  # of trie's prompts from its word list, near enough


# ---- the two that tell their requests apart


def drive_floor(at: Server, load: Load, folder: Path, *, processes: int = 1) -> Report:
    return _drive_floors([build("floor")], at, load, folder, processes)


def drive_uvloop_floor(at: Server, load: Load, folder: Path, *, processes: int = 1) -> Report:
    return _drive_floors([sys.executable, Path(__file__).parent / "floor_uvloop.py"], at, load, folder, processes)


def _drive_floors(program: list[str | Path], at: Server, load: Load, folder: Path, processes: int) -> Report:
    """So many of them at once, each with its part of the streams."""
    bounds = [load.streams * part // processes for part in range(processes + 1)]
    size = BODY_BYTES_A_TOKEN * load.prompt_tokens

    def drive(part: int) -> tuple[Child, pd.DataFrame]:
        own = folder / str(part)
        own.mkdir()
        settings = {"port": at.port, "connections": bounds[part + 1] - bounds[part], "first": bounds[part]}
        settings |= {"rounds": load.rounds, "body-bytes": size, "tokens": load.tokens, "log": own / "floor.csv"}
        words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        return run([*program, *words], own), pd.read_csv(own / "floor.csv").assign(worker_id=part)

    with ThreadPoolExecutor(processes) as pool:
        children, parts = zip(*pool.map(drive, range(processes)), strict=True)
    rows = pd.concat(parts)
    rows["ttft_ms"] = (rows.first_token_s - rows.sent_s) * 1e3
    rows["tpot_ms"] = (rows.end_s - rows.first_token_s) / max(load.tokens - 1, 1) * 1e3
    replay_cpu_s = sum(float(child.lines()[-1].removeprefix("cpu_s ")) for child in children)
    return replace(_by_request(together(children), rows), replay_cpu_s=replay_cpu_s)


def drive_trie(at: Server, load: Load, folder: Path, *, processes: int = 1, more: Sequence[str] = ()) -> Report:
    """The command as a user types it, until a deadline: it has no count of requests."""
    trace = {
        "num_turns": 0,
        "input_prompt_length": load.prompt_tokens,
        "assistant_response_length": [],
        "tool_call_output_length": [],
        "tool_call_latency": [],
        "final_assistant_response_length": load.tokens,
    }
    (folder / "load.jsonl").write_text(json.dumps(trace) + "\n")
    settings = [f"endpoint={at.url}", f"concurrency={load.streams}", "workload=./load.jsonl"]
    duration = f"duration={load.deadline_s:.3f}"
    quiet = ["prompts.calibrate=false", "progress=plain", "client.priority=normal"]  # which the others have too
    command = [sys.executable, "-m", "trie", *settings, duration, f"workers={processes}", *quiet, *more]
    child = run(command, folder)
    directory = folder / child.lines()[-1]
    rows = read_records(directory / "requests").to_pandas()
    manifest = json.loads((directory / "manifest.json").read_text())
    rows["x_request_id"] = [f"{manifest['seed']:x}-{row.session_id}-{row.turn}" for row in rows.itertuples()]
    rows["ttft_ms"] = (rows.first_token_s - rows.sent_s) * 1e3
    ended = rows.last_token_s.where(rows.outcome == "ok")
    rows["tpot_ms"] = (ended - rows.first_token_s) / max(load.tokens - 1, 1) * 1e3
    verdict = json.loads((directory / "summary.json").read_text())["verdict"]
    limited = not all(check["ok"] for check in verdict if check["id"].startswith("client"))
    end = manifest["end"]
    costs = {"replay_cpu_s": end["client"]["cpu_s"], "coordinator_cpu_s": end["coordinator_cpu_s"]}
    return replace(_by_request(child, rows), exact=False, was_limit=limited, **costs)


def _by_request(child: Child, rows: pd.DataFrame) -> Report:
    return Report(
        child,
        ttft_p50_ms=rows.ttft_ms.median(),
        ttft_p99_ms=rows.ttft_ms.quantile(0.99),
        tpot_p50_ms=rows.tpot_ms.median(),
        requests=rows.reindex(columns=["x_request_id", "ttft_ms", "tpot_ms", "worker_id"]),
    )


OURS = {
    "floor": Client("floor", drive_floor),
    "uvloop": Client("uvloop", drive_uvloop_floor),
    "trie": Client("trie", drive_trie),
}


# ---- one run


@dataclass(frozen=True)
class Measured:
    """A client's report beside the server's log of the same run, in which warm-up requests are left out."""

    load: Load
    report: Report
    log: pd.DataFrame

    @property
    def chunks(self) -> int:
        return int(self.log.chunks.sum())

    @property
    def server_late_ms(self) -> float:
        return float(self.log.late_us.quantile(0.99)) / 1e3

    def true(self, complete_only: bool = True) -> pd.DataFrame:
        """The server's own figures for each request."""
        log = self.log[self.log.complete == 1] if complete_only else self.log
        log = log[log.chunks > 0]
        tpot = (log.last_chunk_s - log.first_chunk_s) / (log.chunks - 1).clip(lower=1) * 1e3
        ttft = (log.first_chunk_s - log.body_read_s) * 1e3
        return pd.DataFrame({"x_request_id": log.x_request_id, "ttft_ms": ttft, "tpot_ms": tpot})

    def ttft_errors_ms(self) -> tuple[float | None, float | None]:
        """p50 and p99 of the error of TTFT: by request where the client tells them apart, else of its percentiles."""
        if self.report.requests is not None:
            both = self.report.requests.merge(self.true(complete_only=False), on="x_request_id")
            error = (both.ttft_ms_x - both.ttft_ms_y).dropna()
            return float(error.quantile(0.5)), float(error.quantile(0.99))
        true = self.true().ttft_ms
        return _less(self.report.ttft_p50_ms, true.quantile(0.5)), _less(self.report.ttft_p99_ms, true.quantile(0.99))

    def tpot_error_percent(self) -> float | None:
        """Median error of the time per output token: of each request's, or of the reported median."""
        if self.report.requests is not None:
            both = self.report.requests.merge(self.true(), on="x_request_id").dropna(subset=["tpot_ms_x", "tpot_ms_y"])
            return float(((both.tpot_ms_x / both.tpot_ms_y - 1).abs()).median() * 100)
        reported = self.report.tpot_p50_ms
        return None if reported is None else abs(reported / self.true().tpot_ms.median() - 1) * 100

    def drained(self) -> float:
        """Chunks a second that the client took from a server that is faster: a request means the one before is read."""
        asked = self.log[self.log.body_read_s > 0]
        read = asked.iloc[: len(asked) - self.load.streams]
        return float(read.chunks.sum() / (asked.body_read_s.iloc[-1] - asked.body_read_s.iloc[0]))


def _less(reported: float | None, true: float) -> float | None:
    return None if reported is None else reported - float(true)


def measure(client: Client, load: Load) -> Measured:
    """Drive a client once against a fresh server."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with server(folder, ttft_ms=load.ttft_ms, itl_ms=load.itl_ms) as at:
            report = client.drive(at, load, folder)
        log = at.log()
    if report.exact:
        log = log.tail(load.requests).reset_index(drop=True)
        if len(log) < load.requests:
            raise Failed(f"{client.name}: made {len(log)} requests, was to make {load.requests}")
    return Measured(load, report, log)


# ---- the tables


def _each(cpu_s: float, count: int, scale: float) -> float | None:
    """Cost of one; None where the longer run did no more than the short one, on a machine that is too busy for it."""
    return cpu_s / count * scale if count > 0 else None


Results = dict[str, list[float | None]]


def streams(client: Client, options: argparse.Namespace, count: int) -> Callable[[], dict[str, float | None]]:
    """Cost of a chunk and errors at so many streams: a short run, which is the starting burst alone, and a long one."""
    itl_ms = 5.0 if count <= 256 else 20.0  # the server, one core as well, must not be the limit
    load = Load(count, 2000, 200, ttft_ms=50.0, itl_ms=itl_ms)

    def once() -> dict[str, float | None]:
        short, long = measure(client, load.lasting(0.5)), measure(client, load.lasting(options.duration))
        cpu_s = long.report.child.cpu_s - short.report.child.cpu_s
        cost_s = long.report.cost_s - short.report.cost_s
        (burst50, burst99), (all50, all99) = short.ttft_errors_ms(), long.ttft_errors_ms()
        return {
            "CPU us/chunk": _each(cpu_s, long.chunks - short.chunks, 1e6),
            "replay": _each(cost_s, long.chunks - short.chunks, 1e6),
            "burst p50": burst50,
            "burst p99": burst99,
            "TTFT err p50": all50,
            "TTFT err p99": all99,
            "TPOT err %": long.tpot_error_percent(),
            "server late": long.server_late_ms,
            "said limit": long.report.was_limit,
        }

    return once


def requests(client: Client, options: argparse.Namespace, tokens: int) -> Callable[[], dict[str, float | None]]:
    """Cost of a request with a prompt of so many tokens and an answer of two."""
    load = Load(64 if tokens < 10_000 else 16, tokens, 2, ttft_ms=50.0, itl_ms=5.0)

    def once() -> dict[str, float | None]:
        short, long = measure(client, load.lasting(0.5)), measure(client, load.lasting(options.duration / 2))
        cpu_s = long.report.child.cpu_s - short.report.child.cpu_s
        return {
            "CPU ms/request": _each(cpu_s, len(long.log) - len(short.log), 1e3),
            "requests": len(long.log),
            "body kB": long.log.body_bytes.mean() / 1e3,
        }

    return once


def drain(client: Client, options: argparse.Namespace, count: int) -> Callable[[], dict[str, float | None]]:
    """The highest rate: a server that writes as fast as it is read."""
    load = Load(count, 2000, 1000, ttft_ms=1.0, itl_ms=0.0, rounds=4, seconds=options.duration)

    def once() -> dict[str, float | None]:
        measured = measure(client, load)
        return {"chunks/s": measured.drained(), "said limit": measured.report.was_limit}

    return once


@dataclass(frozen=True)
class Table:
    """A table of the output: what is measured for each client at each of some sizes."""

    name: str
    title: str
    size: str
    measurement: Callable[[Client, argparse.Namespace, int], Callable[[], dict[str, float | None]]]
    columns: dict[str, int]  # and their digits
    few: frozenset[str] = frozenset()  # clients it is about; none: all


TABLES = {
    "streams": Table(
        "streams",
        "Cost of a chunk and error of TTFT (ms; `burst`: the first requests alone) and of TPOT; 2k-token prompts,"
        " 200 tokens out, TTFT 50 ms, ITL 5 ms to 256 streams and 20 ms above, so that the server is not the limit",
        "streams",
        streams,
        {
            "CPU us/chunk": 1,
            "replay": 1,
            "x uvloop": 2,
            "burst p50": 2,
            "burst p99": 2,
            "TTFT err p50": 2,
            "TTFT err p99": 2,
            "TPOT err %": 2,
            "server late": 2,
        },
    ),
    "requests": Table(
        "requests",
        "Cost of a request; 2 tokens out, TTFT 50 ms; 64 streams, 16 of the long prompts",
        "prompt",
        requests,
        {"CPU ms/request": 3, "requests": 0, "body kB": 0},
    ),
    "drain": Table(
        "drain", "Highest rate: 1,000 tokens out, no delay between chunks", "streams", drain, {"chunks/s": 0}
    ),
}
LONG_PROMPT = 100_000


def sizes(table_name: str, client: Client, options: argparse.Namespace) -> list[int]:
    if table_name == "streams":
        return list(options.streams)
    if table_name == "drain":
        return [64]
    return [2000, LONG_PROMPT] if client.name in OURS else [2000]


def lines(kind: Table, clients: list[Client], options: argparse.Namespace) -> Iterator[list[str]]:
    """A line for each client and size, each size measured by all clients in turn, `repeats` times over."""
    for size in sorted({size for client in clients for size in sizes(kind.name, client, options)}):
        mine = [client for client in clients if size in sizes(kind.name, client, options)]
        found: dict[str, Results] = {client.name: defaultdict(list) for client in mine}
        for turn in range(1, options.repeats + 1):
            for client in mine:
                print(f"{kind.name}: {client.name}, {size:,}, {turn} of {options.repeats} ...", file=sys.stderr)
                for name, value in _once(kind.measurement(client, options, size)).items():
                    found[client.name][name].append(value)
            _compare(found)
        for client in mine:
            figures = [spread(found[client.name][name], digits) for name, digits in kind.columns.items()]
            yield [client.name, f"{size:,}", *figures, _said(found[client.name].get("said limit"))]


def _compare(found: dict[str, Results]) -> None:
    """How many times the uvloop floor's CPU a chunk took in the latest turn, in which both had the same machine."""
    floor = found.get("uvloop", {}).get("replay", [None])[-1]
    for figures in found.values():
        cost = figures.get("replay", [None])[-1]
        if floor is not None and cost is not None:
            figures["x uvloop"].append(cost / floor)


def _once(measurement: Callable[[], dict[str, float | None]]) -> dict[str, float | None]:
    """A measurement; none when the client failed, which is told and does not end the benchmark."""
    try:
        return measurement()
    except Failed as failure:
        print(failure, file=sys.stderr)
        return {}


def _said(limits: list[float | None] | None) -> str:
    told = [limit for limit in limits or () if limit is not None]
    return f"{sum(map(bool, told))} of {len(told)}" if told else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known, notes = peers()
    clients = {**OURS, **{peer.name: peer for peer in known}}
    parser.add_argument("--clients", nargs="+", choices=clients, default=list(clients), help="default: all there are")
    parser.add_argument("--only", nargs="+", choices=TABLES, default=list(TABLES), help="tables; default: all")
    parser.add_argument("--streams", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--duration", type=float, default=10.0, help="seconds of each long run")
    parser.add_argument(
        "--repeats", type=int, default=3, help="medians are of so many, with half the range beside them"
    )
    options = parser.parse_args()
    print(machine(), *notes, sep="\n")
    for kind in (TABLES[name] for name in options.only):
        print(f"\n{kind.title}\n")
        head = ["client       ", kind.size, *(f"{name:>14}" for name in kind.columns), "said it was the limit"]
        table(head, lines(kind, [clients[name] for name in options.clients], options))


if __name__ == "__main__":
    main()
