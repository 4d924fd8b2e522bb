"""Other clients for the same engine, each in an environment of its own: the reference, and vLLM's own benchmark."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine_setup import model, vllm
from engine_setup.environment import environment
from engine_setup.model import TinyModel
from engine_setup.server import Server

REFERENCE = "tokenspeed-trie==0.1.1.post20260523"
TIMEOUT_S = 240.0
COLUMNS = ("latency_s", "ttft_s", "ttfat_s", "decode_tps", "cache_hit_rate_pct", "eligible_cache_hit_rate_pct")
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "OPENAI_API_KEY": "none",
    "COLUMNS": "200",  # tables that are read must not be cut
    "NO_COLOR": "1",
}


@dataclass(frozen=True)
class Table:
    """The table of traces that the reference and we print in one form: columns by row, such as p50."""

    rows: dict[str, dict[str, float]]  # by COLUMNS
    throughput: dict[str, float]  # overall, by label

    @classmethod
    def of(cls, printed: str) -> Table:
        """Read what a run printed."""
        rows, throughput = {}, {}
        for line in printed.splitlines():
            cells = [cell.strip() for cell in re.split("[│┃|]", line) if cell.strip()]
            if len(cells) == 7 and cells[0] in {"mean", "p50", "p90"}:
                rows[cells[0]] = dict(zip(COLUMNS, map(_number, cells[1:]), strict=True))
            elif len(cells) > 2 and cells[0].endswith("tok/s"):
                throughput[cells[0]] = _number(cells[1])
        return cls(rows, throughput)


def _number(cell: str) -> float:
    return float(cell.replace(",", ""))


def reference() -> Path:
    """tokenspeed-trie's command.

    Raises:
        SetupError: when pip can't install it.
    """
    return environment("tokenspeed-trie", [REFERENCE]) / "bin" / "trie"


def run_reference(command: Path, server: Server, folder: Path, *settings: str) -> Table:
    """Its figures of a run with these settings."""
    words = [str(command), f"endpoint={server.url}", "model=tiny", *settings]
    return Table.of(_run(words, folder))


def bench_serve(server: Server, folder: Path, *, prompts: int, input_tokens: int, output_tokens: int) -> Any:
    """What `vllm bench serve` saves of a run of eight streams on its own random prompts."""
    words = [str(vllm.install() / "bin" / "vllm"), "bench", "serve", "--backend", "openai", "--base-url", server.root]
    words += ["--model", "tiny", "--tokenizer", str(model.folder(TinyModel())), "--dataset-name", "random"]
    words += ["--random-input-len", str(input_tokens), "--random-output-len", str(output_tokens), "--ignore-eos"]
    words += ["--num-prompts", str(prompts), "--max-concurrency", "8", "--save-result", "--disable-tqdm"]
    words += ["--percentile-metrics", "ttft,tpot,itl,e2el", "--metric-percentiles", "50,90,99"]
    _run([*words, "--result-dir", str(folder), "--result-filename", "bench.json"], folder)
    return json.loads((folder / "bench.json").read_text())


def _run(words: list[str], folder: Path) -> str:
    given = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        words,
        cwd=folder,
        env={**given, **QUIET},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    return done.stdout + done.stderr
