"""Other load-generating clients, each in an environment of its own: how it is driven, and how its report is read.

A peer is found through an environment variable that names the bin folder of the environment it is installed in. All
are kept off the network; those that count tokens take the tokenizer of the folder that TRIE_BENCH_TOKENIZER names.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from clients import Client, Load, Report, Server
from harness import TOKENIZER, run

QUIET = {
    "HF_ENDPOINT": "http://127.0.0.1:9",  # no hub can be reached, whatever a peer makes of the names below
    "DO_NOT_TRACK": "1",
    "OPENAI_API_KEY": "none",  # OpenAI's own library insists on one
    "VLLM_NO_USAGE_STATS": "1",
    "COLUMNS": "200",  # tables that are read must not be cut
    "NO_COLOR": "1",
}
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
Figures = dict[str, float | None]  # of Report: ttft_p50_ms, ttft_p99_ms, tpot_p50_ms


@dataclass(frozen=True)
class Peer:
    """A peer's command line for a load, and what it reported, from its stdout and the files in its folder."""

    name: str
    program: str
    command: Callable[[Server, Load, Path, str], list[str]]  # the folder to write in, and the tokenizer's
    read: Callable[[Path, str], Figures]
    needs_tokenizer: bool = True
    exact: bool = True
    offline: bool = True  # told so by OFFLINE; some then refuse a tokenizer that is a folder

    @property
    def variable(self) -> str:
        return "TRIE_BENCH_" + re.sub(r"\W", "_", self.name).upper()

    def missing(self) -> str | None:
        """Why it can't take part, if it can't."""
        folder = os.environ.get(self.variable)
        if not folder:
            return f"{self.name}: left out; {self.variable} names no bin folder"
        if not (Path(folder) / self.program).exists():
            return f"{self.name}: left out; no {self.program} in {self.variable}={folder}"
        if self.needs_tokenizer and not os.environ.get(TOKENIZER):
            return f"{self.name}: left out; {TOKENIZER} names no folder with a tokenizer.json"
        return None

    def drive(self, at: Server, load: Load, folder: Path) -> Report:
        program = Path(os.environ[self.variable]) / self.program
        words = self.command(at, load, folder, os.environ.get(TOKENIZER, ""))
        child = run([program, *words], folder, env=QUIET | (OFFLINE if self.offline else {}))
        return Report(child, **self.read(folder, child.stdout), exact=self.exact)


def peers() -> tuple[list[Client], list[str]]:
    """The peers that are installed, and for each other one a line that says what is missing."""
    here = [peer for peer in PEERS if peer.missing() is None]
    return [Client(peer.name, peer.drive) for peer in here], [
        peer.missing() or "" for peer in PEERS if peer not in here
    ]


def options(**values: object) -> list[str]:
    """`name=value` as --name value; True as a flag alone."""
    words: list[str] = []
    for name, value in values.items():
        words.append("--" + name.replace("_", "-"))
        words.extend([] if value is True else [str(value)])
    return words


def root(at: Server) -> str:
    return at.url.removesuffix("/v1")


# ---- tokenspeed-trie: until a deadline; a trace of one request


def _tokenspeed(at: Server, load: Load, folder: Path, tokenizer: str) -> list[str]:
    lists = {key: [] for key in ("assistant_response_length", "tool_call_output_length", "tool_call_latency")}
    trace = {"num_turns": 0, "input_prompt_length": load.prompt_tokens, "final_assistant_response_length": load.tokens}
    (folder / "load.jsonl").write_text(json.dumps(trace | lists) + "\n")
    return [f"workload_path={folder}/load.jsonl", f"endpoint={at.url}", "model=sim", f"tokenizer_model={tokenizer}",
            f"concurrency={load.streams}", f"duration={load.deadline_s:.3f}", "stream=True"]  # fmt: skip


def _read_tokenspeed(_: Path, stdout: str) -> Figures:
    """From the rows of its table: latency, TTFT, TTFAT (s), decode speed (tok/s)."""
    rows = {}
    for line in stdout.splitlines():
        cells = [cell.strip() for cell in re.split("[│|┃]", line) if cell.strip()]
        if cells and cells[0] in ("p50", "p99"):
            rows[cells[0]] = [float(cell.replace(",", "")) for cell in cells[1:5]]
    return {
        "ttft_p50_ms": rows["p50"][1] * 1e3,
        "ttft_p99_ms": rows["p99"][1] * 1e3,
        "tpot_p50_ms": 1e3 / rows["p50"][3],
    }


# ---- agentic-bench


def _agentic(at: Server, load: Load, folder: Path, _: str) -> list[str]:
    return ["run", *options(
        base_url=root(at), model="sim", backend="openai", dataset_name="random", turns=1,
        input_increment=load.prompt_tokens, output_len=load.tokens, num_sessions=load.requests,
        max_concurrency=load.streams, gap_policy="zero", no_gaps=True, system_prompt_len=0, warmup_requests=0,
        disable_tqdm=True, progress_interval=0, metrics_interval=0, output_file=folder / "agentic.jsonl",
    )]  # fmt: skip


def _read_agentic(folder: Path, _: str) -> Figures:
    """From its own record of each turn: its summary leaves out what it holds for start and end."""
    turns = [turn for session in _json(folder / "agentic.jsonl")["sessions"] for turn in session["turns"]]
    ttft, tpot = pd.Series([turn["ttft"] for turn in turns]) * 1e3, pd.Series([turn["tpot_ms"] for turn in turns])
    return {"ttft_p50_ms": ttft.median(), "ttft_p99_ms": ttft.quantile(0.99), "tpot_p50_ms": tpot.median()}


# ---- vllm bench serve


def _vllm(at: Server, load: Load, folder: Path, tokenizer: str) -> list[str]:
    return ["bench", "serve", *options(
        backend="openai", base_url=root(at), endpoint="/v1/completions", model="sim", tokenizer=tokenizer,
        dataset_name="random", random_input_len=load.prompt_tokens, random_output_len=load.tokens,
        num_prompts=load.requests, max_concurrency=load.streams, ignore_eos=True, disable_tqdm=True,
        save_result=True, result_dir=folder, result_filename="vllm.json", percentile_metrics="ttft,tpot",
        metric_percentiles="50,99",
    )]  # fmt: skip


def _read_vllm(folder: Path, _: str) -> Figures:
    found = _json(folder / "vllm.json")
    return {"ttft_p50_ms": found["median_ttft_ms"], "ttft_p99_ms": found["p99_ttft_ms"],
            "tpot_p50_ms": found["median_tpot_ms"]}  # fmt: skip


# ---- aiperf


def _aiperf(at: Server, load: Load, folder: Path, tokenizer: str) -> list[str]:
    return ["profile", *options(
        model="sim", url=root(at), endpoint_type="completions", streaming=True, tokenizer=tokenizer,
        use_server_token_count=True, use_legacy_max_tokens=True, concurrency=load.streams,
        request_count=load.requests, synthetic_input_tokens_mean=load.prompt_tokens, output_tokens_mean=load.tokens,
        num_dataset_entries=100, ui="none", no_gpu_telemetry=True, no_server_metrics=True, export_level="summary",
        artifact_dir=folder / "aiperf",
    )]  # fmt: skip


def _read_aiperf(folder: Path, _: str) -> Figures:
    found = _json(folder / "aiperf" / "profile_export_aiperf.json")
    ttft, tpot = found["time_to_first_token"], found.get("inter_token_latency") or {}
    return {"ttft_p50_ms": ttft["p50"], "ttft_p99_ms": ttft["p99"], "tpot_p50_ms": tpot.get("p50")}


# ---- guidellm


def _guidellm(at: Server, load: Load, folder: Path, tokenizer: str) -> list[str]:
    return ["run", *options(
        backend=f"kind=openai_http,target={root(at)},model=sim,request_format=/v1/completions,stream=true",
        profile=f"kind=concurrent,streams={load.streams}", constraint=f"kind=max_requests,count={load.requests}",
        data=f"kind=synthetic_text,prompt_tokens={load.prompt_tokens},output_tokens={load.tokens}",
        tokenizer=f"kind=hf_auto,model={tokenizer}", output=f"kind=json,path={folder}/guidellm.json",
        disable_console=True,
    )]  # fmt: skip


def _read_guidellm(folder: Path, _: str) -> Figures:
    metrics = _json(folder / "guidellm.json")["benchmarks"][0]["metrics"]
    ttft, tpot = (metrics[name]["successful"]["percentiles"] for name in
                  ("time_to_first_token_ms", "inter_token_latency_ms"))  # fmt: skip
    return {"ttft_p50_ms": ttft["p50"], "ttft_p99_ms": ttft["p99"], "tpot_p50_ms": tpot["p50"]}


def _json(path: Path) -> dict:
    return json.loads(path.read_text())


PEERS = (
    Peer("tokenspeed-trie", "trie", _tokenspeed, _read_tokenspeed, exact=False),
    Peer("agentic-bench", "abench", _agentic, _read_agentic, needs_tokenizer=False),
    Peer("vllm", "vllm", _vllm, _read_vllm),
    Peer("aiperf", "aiperf", _aiperf, _read_aiperf, offline=False),
    Peer("guidellm", "guidellm", _guidellm, _read_guidellm),
)
