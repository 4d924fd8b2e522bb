"""What every benchmark needs: native programs built, servers started and ended, children run and their cost read."""

from __future__ import annotations

import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

NATIVE = Path(__file__).parent / "native"
TOKENIZER = "TRIE_BENCH_TOKENIZER"  # a folder with tokenizer.json, for what needs one
SAMPLE_S = 0.05  # between looks at a child's memory


class Failed(Exception):  # noqa: N818 - what happened, in the words of a benchmark
    """A program under test ended badly; its own last words."""


def build(name: str) -> Path:
    """The native program of this name, compiled unless that has been done with the same source."""
    source = NATIVE / f"{name}.c"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    program = Path(tempfile.gettempdir()) / f"trie-benchmarks-{os.getuid()}" / f"{name}-{digest}"
    if not program.exists():
        compiler = shutil.which(os.environ.get("CC", "cc"))
        if compiler is None:
            sys.exit(f"benchmarks need a C compiler for native/{source.name}: install gcc or clang, or name one in CC")
        program.parent.mkdir(mode=0o700, exist_ok=True)
        aside = program.with_suffix(f".{os.getpid()}")
        subprocess.run([compiler, "-O2", "-o", aside, source], check=True)
        aside.replace(program)
    return program


@dataclass(frozen=True)
class Server:
    """A running sse_server; what it logged can be read once it has ended."""

    url: str
    port: int
    log_path: Path

    def log(self) -> pd.DataFrame:
        """A row per completion, ordered by when its body was read; see native/sse_server.c for the columns."""
        return pd.read_csv(self.log_path).sort_values("body_read_s", ignore_index=True)


@contextmanager
def server(folder: Path, *, ttft_ms: float, itl_ms: float) -> Iterator[Server]:
    """A fresh precise server on a port of its own, ended on leaving; its log is complete then."""
    log_path = folder / "server.csv"
    settings = ["--ttft-ms", f"{ttft_ms:g}", "--itl-ms", f"{itl_ms:g}", "--log", str(log_path)]
    with subprocess.Popen([build("sse_server"), *settings], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        try:
            yield Server(url, int(url.rsplit(":", 1)[1].split("/")[0]), log_path)
        finally:
            process.terminate()


@dataclass(frozen=True)
class Child:
    """What a finished process cost, its own children included."""

    code: int
    stdout: str
    wall_s: float
    cpu_s: float
    peak_mb: float  # of the largest process
    memory: list[tuple[float, float]]  # seconds since the start and MB resident, of the process itself
    waits: int = 0  # times that it waited for something: of an event loop, once for each batch of reads

    def lines(self) -> list[str]:
        return self.stdout.strip().splitlines()


def run(
    command: Iterable[str | Path],
    folder: Path,
    *,
    env: Mapping[str, str] | None = None,
    watch: bool = False,
) -> Child:
    """Run a command in a folder to its end. Its stdout is kept, its stderr goes to a file there.

    Raises:
        Failed: with its exit code and the end of what it said.
    """
    words = [str(word) for word in command]
    errors = folder / "stderr.txt"
    with errors.open("w") as stderr, (folder / "stdout.txt").open("w+") as stdout:
        start = time.perf_counter()
        process = subprocess.Popen(
            words, cwd=folder, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
        )
        memory: list[tuple[float, float]] = []
        watcher = threading.Thread(target=_watch, args=(process.pid, start, memory), daemon=True)
        if watch:
            watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall_s = time.perf_counter() - start
        stdout.seek(0)
        said = stdout.read()
    cpu_s = usage.ru_utime + usage.ru_stime
    child = Child(process.returncode, said, wall_s, cpu_s, usage.ru_maxrss / 1024, memory, usage.ru_nvcsw)
    if child.code:
        raise Failed(f"{' '.join(words[:4])} ...: exit code {child.code}\n{said[-2000:]}{errors.read_text()[-2000:]}")
    return child


def together(children: Sequence[Child]) -> Child:
    """Several that ran at once, as one: their costs, and the longest and largest of them."""
    return replace(
        children[0],
        wall_s=max(child.wall_s for child in children),
        cpu_s=sum(child.cpu_s for child in children),
        peak_mb=max(child.peak_mb for child in children),
        waits=sum(child.waits for child in children),
    )


def _watch(pid: int, start: float, memory: list[tuple[float, float]]) -> None:
    page_mb = os.sysconf("SC_PAGE_SIZE") / 2**20
    while True:
        try:
            resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return
        if resident == 0:
            return
        memory.append((time.perf_counter() - start, resident * page_mb))
        time.sleep(SAMPLE_S)


def spread(values: Iterable[float | None], digits: int = 1) -> str:
    """Median and half the range of repeated measurements: `14.2 ±0.8`; `-` for what was not measured."""
    found = [value for value in values if value is not None]
    if not found:
        return "-"
    half = f" ±{(max(found) - min(found)) / 2:,.{digits}f}" if len(found) > 1 else ""
    return f"{statistics.median(found):,.{digits}f}{half}"


def machine() -> str:
    """What the figures were measured on, in one line."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "unknown CPU",
    )
    cores = len(os.sched_getaffinity(0))
    date = time.strftime("%Y-%m-%d %H:%M")
    return (
        f"{date}, {model}, {cores} cores, Python {sys.version.split()[0]}, load {os.getloadavg()[0]:.1f} at the start"
    )


def table(head: list[str], rows: Iterable[list[str]]) -> None:
    """Print rows as they come, under a head, as a Markdown table with columns of the head's widths."""
    widths = [max(len(name), 6) for name in head]

    def line(cells: list[str]) -> str:
        padded = (f"{cell:<{width}}" if not place else f"{cell:>{width}}"
                  for place, (cell, width) in enumerate(zip(cells, widths, strict=True)))  # fmt: skip
        return f"| {' | '.join(padded)} |"

    print(line(head))
    print(line(["-" * width if not place else "-" * (width - 1) + ":" for place, width in enumerate(widths)]))
    for cells in rows:
        print(line(cells), flush=True)
