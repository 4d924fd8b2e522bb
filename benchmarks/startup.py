"""How soon trie is there: the CPU of `--cfg job` and of Tab, and the time until a server has the first request.

    python benchmarks/startup.py
    TRIE_BENCH_TOKENIZER=/data/tokenizers/deepseek python benchmarks/startup.py      with a tokenizer as well

Medians of some repeats with half their range, after one that is not counted (it fills the file cache).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from harness import TOKENIZER, Child, machine, run, server, spread, table

TRIE = (sys.executable, "-m", "trie")
GOAL_CPU_S = 0.6


def command(*words: str, line: str | None = None) -> Callable[[Path], tuple[float, float]]:
    """CPU and wall seconds of a command; with `line`, as the shell calls it for that line when Tab is pressed."""
    env = {} if line is None else {"COMP_LINE": line, "COMP_POINT": str(len(line))}

    def once(folder: Path) -> tuple[float, float]:
        child = run([*TRIE, *words], folder, env=env)
        if not child.stdout:
            sys.exit(f"{' '.join(words)}: printed nothing")
        return child.cpu_s, child.wall_s

    return once


def first_request(*settings: str) -> Callable[[Path], tuple[float, float]]:
    """CPU seconds of a whole short run, and wall seconds from its start until the first measured request was read.

    Calibration's small requests come before and are part of the time.
    """

    def once(folder: Path) -> tuple[float, float]:
        with server(folder, ttft_ms=1, itl_ms=1) as at:
            began = time.perf_counter()
            words = [f"endpoint={at.url}", "workload=sample", "concurrency=1", "duration=0.5", "progress=none"]
            child: Child = run([*TRIE, *words, *settings], folder)
        log = at.log()
        return child.cpu_s, float(log[log.x_request_id.notna()].body_read_s.iloc[0]) - began

    return once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    tokenizer = os.environ.get(TOKENIZER)
    claims: list[tuple[str, str, Callable[[Path], tuple[float, float]]]] = [
        ("trie --cfg job", f"CPU {GOAL_CPU_S} s", command("--cfg", "job")),
        ("Tab: trie workl", f"CPU {GOAL_CPU_S} s", command("-sc", "query=bash", line="trie workl")),
        ("Tab: trie workload=", f"CPU {GOAL_CPU_S} s", command("-sc", "query=bash", line="trie workload=")),
        ("first request, word list", "wall 1.0 s", first_request("tokenizer_model=words")),
    ]
    if tokenizer:
        claims.append(("first request, tokenizer", "wall 3.0 s", first_request(f"tokenizer_model={tokenizer}")))
    print(machine())
    if not tokenizer:
        print(f"without a tokenizer: {TOKENIZER} names no folder")
    print()
    table([f"{'what':<24}", "goal      ", "CPU s        ", "wall s       "], (
        [name, goal, *measured(once, options.repeats)] for name, goal, once in claims
    ))  # fmt: skip


def measured(once: Callable[[Path], tuple[float, float]], repeats: int) -> list[str]:
    found = []
    for turn in range(repeats + 1):
        with tempfile.TemporaryDirectory() as folder:
            one = once(Path(folder))
        if turn:
            found.append(one)
    return [spread(values, 2) for values in zip(*found, strict=True)]


if __name__ == "__main__":
    main()
