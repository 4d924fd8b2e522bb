"""Workload files of these tests."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trie.config import WorkloadConfig
from trie.workload import jsonl, load

AGENTIC = "agentic_coding_8k.jsonl"
MOST_TOKENS = 20_000  # of a trace: a tiny model on a CPU reads 10,000 a second
LENGTHS = (
    "input_prompt_length",
    "assistant_response_length",
    "tool_call_output_length",
    "final_assistant_response_length",
)


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    """A workload file; the setting that names it."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"workload={path}"


def agentic(path: Path, traces: int, *, latency: float = 0.02, tokens: float = 1.0) -> str:
    """The first agentic traces that a CPU can serve, with tool latencies scaled, and lengths where `tokens` is not 1.

    The recorded ones where they are on this machine, else drawn from the stand-in's distributions.
    """
    short = (row for row in _agentic() if _tokens(row) <= MOST_TOKENS)
    rows = [row for row, _ in zip(short, range(traces), strict=False)]
    for row in rows:
        row["tool_call_latency"] = [seconds * latency for seconds in row["tool_call_latency"]]
        for key in LENGTHS:
            row[key] = _scaled(row[key], tokens)
    return write(path, rows)


def _scaled(lengths: Any, times: float) -> Any:
    """A length, or lengths, none of them below one token."""
    return [_scaled(length, times) for length in lengths] if isinstance(lengths, list) else max(1, int(lengths * times))


def _agentic() -> Iterator[dict[str, Any]]:
    folder = os.environ.get("TRIE_DATASET_CACHE")
    if folder and (recorded := Path(folder) / AGENTIC).is_file():
        with recorded.open() as file:
            yield from map(json.loads, file)
        return
    for trace in load.load(WorkloadConfig("agentic", synthetic="agentic", rows=512)).traces:
        yield jsonl.row(trace)


def _tokens(row: dict[str, Any]) -> int:
    lengths = [*row["assistant_response_length"], *row["tool_call_output_length"]]
    return row["input_prompt_length"] + sum(lengths) + row["final_assistant_response_length"]


def trace(prompt: int, answers: list[int], outputs: list[int], final: int, latency: float = 0.01) -> dict[str, Any]:
    """A row: tokens of the prompt, of each answer and tool output, and of the last answer."""
    return {
        "num_turns": len(answers),
        "input_prompt_length": prompt,
        "assistant_response_length": answers,
        "tool_call_output_length": outputs,
        "tool_call_latency": [latency] * len(outputs),
        "final_assistant_response_length": final,
    }
