"""What an import costs: megabytes of a source per second of CPU, and the memory at its peak.

    python benchmarks/importers.py                     64 and 128 MB of each format
    python benchmarks/importers.py --megabytes 1024    nearer to the goal's 5 GB

The sources are generated: rows of the sizes that each format has, with fields that an import does not read. Two sizes
of each are imported, each by a process of its own. The peak at 5 GB is extrapolated from the two, as a line. The goals
are 50 MB/s and 500 MB.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness import machine, run, table

GOAL_MB_S, GOAL_MB, GOAL_SOURCE_MB = 50, 500, 5_000
TURNS = 20
TEXT = "words that no import looks at, as a source has them beside its counts; " * 40  # 2.8 kB


def mooncake(rng: random.Random, session: int) -> Iterator[dict[str, Any]]:
    """Some 250 bytes a request."""
    blocks = [session * 1000 + at for at in range(20)]
    yield {
        "timestamp": session * 100,
        "input_length": 20 * 512 - 7,
        "output_length": rng.randrange(20, 900),
        "hash_ids": blocks,
    }


def weka(rng: random.Random, session: int) -> Iterator[dict[str, Any]]:
    """A trace of twenty requests, each with the hashes of a growing prompt."""
    requests, prompt = [], 16_000
    for at in range(TURNS):
        out = rng.randrange(20, 900)
        hashes = list(range(prompt // 64 + 1))
        requests.append(
            {
                "t": at * 20.0,
                "type": "n",
                "in": prompt,
                "out": out,
                "hash_ids": hashes,
                "api_time": 8.0,
                "think_time": 2.0,
            }
        )
        prompt += out + rng.randrange(5, 3000)
    yield {"id": f"trace_{session}", "models": ["m"], "block_size": 64, "requests": requests}


def tracelab(rng: random.Random, session: int) -> Iterator[dict[str, Any]]:
    """Some 1.1 kB a round."""
    prompt = 16_000
    for at in range(TURNS):
        out = rng.randrange(20, 900)
        events = [{"event_type": kind, "timestamp": f"2026-01-01T00:{at:02}:{second:02}Z", "source": "log"}
                  for kind, second in (("tool_result", 1), ("assistant", 9), ("tool_call", 9))]  # fmt: skip
        yield {
            "provider": "claude", "project": "p", "session_id": f"claude:{session}", "round_index": at,
            "round_id": f"round-{at}", "model": "m", "input_tokens_total": prompt, "prefix_tokens": prompt - 100,
            "newly_append_tokens": 100, "output_tokens": out, "reasoning_output_tokens": 0, "timing_events": events,
            "tools": [{"tool_index": 0, "tool_name": "Bash", "result_chars": 231, "tool_wall_latency_ms": 860}],
            "first_input_event_type": "tool_result", "store": "s" * 300,
        }  # fmt: skip
        prompt += out + rng.randrange(5, 3000)


def otel(rng: random.Random, session: int) -> Iterator[dict[str, Any]]:
    """A document of twenty spans, as an exporter writes them."""
    spans, prompt = [], 16_000
    for at in range(TURNS):
        out = rng.randrange(20, 900)
        values = {"gen_ai.usage.input_tokens": prompt, "gen_ai.usage.output_tokens": out}
        texts = {
            "gen_ai.operation.name": "chat",
            "gen_ai.conversation.id": f"c{session}",
            "gen_ai.input.messages": TEXT,
        }
        spans.append({
            "name": "chat m", "traceId": f"{session:032x}", "spanId": f"{at:016x}",
            "startTimeUnixNano": str(at * 20 * 10**9), "endTimeUnixNano": str((at * 20 + 8) * 10**9),
            "attributes": [*({"key": key, "value": {"intValue": str(value)}} for key, value in values.items()),
                           *({"key": key, "value": {"stringValue": text}} for key, text in texts.items())],
        })  # fmt: skip
        prompt += out + rng.randrange(5, 3000)
    yield {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}


def claude_code(rng: random.Random, session: int) -> Iterator[dict[str, Any]]:
    """Some 3.3 kB a line; one file holds them all, as if all were one session."""
    prompt = 16_000
    for at in range(TURNS):
        out = rng.randrange(20, 900)
        line = {"sessionId": "s", "uuid": f"{session}-{at}", "parentUuid": None, "cwd": "/", "isSidechain": False}
        yield {**line, "type": "user", "timestamp": f"2026-01-01T00:{at:02}:01Z", "message": {"content": TEXT}}
        usage = {
            "input_tokens": 5,
            "cache_creation_input_tokens": 95,
            "cache_read_input_tokens": prompt,
            "output_tokens": out,
        }
        message = {"id": f"m{session}-{at}", "model": "m", "usage": usage, "content": [{"type": "text", "text": TEXT}]}
        request = f"r{session}-{at}"
        yield {
            **line,
            "type": "assistant",
            "timestamp": f"2026-01-01T00:{at:02}:09Z",
            "requestId": request,
            "message": message,
        }
        prompt += out + rng.randrange(5, 3000)


FORMATS: dict[str, Callable[[random.Random, int], Iterator[dict[str, Any]]]] = {
    "mooncake": mooncake,
    "weka": weka,
    "tracelab": tracelab,
    "otel": otel,
    "claude-code": claude_code,
}


def write(path: Path, make: Callable[[random.Random, int], Iterator[dict[str, Any]]], megabytes: int) -> float:
    """A source of about so many megabytes; its true size."""
    rng, session = random.Random(7), 0
    with path.open("wb") as out:
        while out.tell() < megabytes * 1e6:
            for row in make(rng, session):
                out.write(json.dumps(row).encode() + b"\n")
            session += 1
        return out.tell() / 1e6


def line(name: str, megabytes: int) -> list[str]:
    sizes, peaks, speeds = [], [], []
    for size in (megabytes // 2, megabytes):
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "source.jsonl"
            sizes.append(write(source, FORMATS[name], size))
            command = [
                sys.executable,
                "-m",
                "trie",
                "workload",
                "import",
                str(source),
                "-o",
                str(Path(folder) / "mine.jsonl"),
            ]
            child = run(command, Path(folder))
        peaks.append(child.peak_mb)
        speeds.append(sizes[-1] / child.cpu_s)
    slope = (peaks[1] - peaks[0]) / (sizes[1] - sizes[0])
    at_goal = peaks[1] + max(slope, 0.0) * (GOAL_SOURCE_MB - sizes[1])
    return [
        name,
        f"{sizes[1]:,.0f}",
        f"{speeds[1]:,.0f}",
        f"{peaks[1]:,.0f}",
        f"{1e3 * slope:+,.0f}",
        f"{at_goal:,.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=128, help="of the larger source of each format")
    parser.add_argument("--format", nargs="+", choices=FORMATS, default=list(FORMATS))
    options = parser.parse_args()
    print(machine())
    print(f"goals: {GOAL_MB_S} MB/s, {GOAL_MB} MB at {GOAL_SOURCE_MB / 1000:g} GB (extrapolated)\n")
    head = ["format", "source MB", "MB/s of CPU", "peak MB", "peak MB per GB", "peak MB at 5 GB"]
    table(head, (line(name, options.megabytes) for name in options.format))


if __name__ == "__main__":
    main()
