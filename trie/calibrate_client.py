"""How far this client can be trusted on this machine: its error at a load, and the highest load it can carry.

The embedded endpoint writes down when it wrote the first and the last chunk of each answer, on the clock that both
processes share. A request is stamped where it is handed to the kernel, so what can falsify its TTFT is that its first
chunk is read late: the client's first token less the endpoint's first write, kernel and loopback included.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from trie.config import (
    ConcurrencyConfig,
    EndpointConfig,
    ProgressStyle,
    PromptConfig,
    RunConfig,
    SimConfig,
    WorkloadConfig,
)
from trie.config.run import ONE_WORKER
from trie.errors import ConfigError, RunDirError
from trie.metrics.evaluate_run import evaluate
from trie.replay.event_loop import in_loop
from trie.run import Result, execute_async
from trie.sim.process import embedded
from trie.storage.manifest import ClientCalibration, Manifest
from trie.storage.run_dir import RunDir
from trie.workload.load import from_traces
from trie.workload.trace import Trace

if TYPE_CHECKING:
    import pandas as pd

PROMPT_TOKENS = 2000
TTFT_S = 0.05  # of the endpoint at the load asked for
CEILING_TOKENS = 500  # of an answer while the highest rate is looked for
ANSWER_S, ANSWERS = 2.0, 4  # about as long an answer lasts at that load; so many after each other at least
NEED_S, NEED_REQUESTS = 1.0, 20  # below this a figure would be chance


@dataclass(frozen=True, slots=True)
class Load:
    """What to measure the client under.

    Raises:
        ConfigError: for a load that is none.
    """

    concurrency: int
    chunks_s: float  # of all streams together
    seconds: float = 10.0  # of each of the two measurements
    workers: str = ONE_WORKER  # processes of the client

    def __post_init__(self) -> None:
        for name, value, least in (("concurrency", self.concurrency, 1), ("rate", self.chunks_s, 1)):
            if not value >= least:
                raise ConfigError(f"{name}={value:g}: must be {least} or more")
        if not NEED_S <= self.seconds <= 600:
            raise ConfigError(f"seconds={self.seconds:g}: must be between {NEED_S:g} and 600")


def load_of(run: RunDir) -> Load:
    """The load that a run put on its client: its concurrency, and its chunks over its wall time.

    Raises:
        RunDirError: for a run that streamed nothing.
    """
    import pyarrow.compute as pc

    finished = evaluate(run)
    chunks, end = pc.sum(finished.rows.column("chunks")).as_py() or 0, finished.manifest.end
    if not chunks or end is None or not end.wall_time_s:
        raise RunDirError(f"{run.path}: streamed nothing to its end; say --concurrency and --rate instead")
    rate, workers = max(chunks / end.wall_time_s, 1.0), str(len(end.workers) or ONE_WORKER)
    return Load(finished.manifest.settings.concurrency.value, rate, workers=workers)


def calibrate(load: Load) -> ClientCalibration:
    """Measure this client on this machine, twice `load.seconds` long: at the load, and at the most it can read."""
    return in_loop(_calibrate(load))


async def _calibrate(load: Load) -> ClientCalibration:
    per_stream = load.chunks_s / load.concurrency
    undelayed = SimConfig(
        profile="calibration",
        prefill_tok_s=1e12,
        decode_base_s=0.0,
        decode_per_request_s=0.0,
        request_overhead_s=0.0,
        max_running=1 << 17,
        cache_blocks=0,
    )
    paced = replace(undelayed, decode_base_s=1.0 / per_stream, request_overhead_s=TTFT_S)
    tokens = round(min(max(per_stream * min(ANSWER_S, load.seconds / ANSWERS), 4), 2000))
    with tempfile.TemporaryDirectory(prefix="trie-calibrate-") as folder:
        at_load, truth = await _measure(load, paced, tokens, Path(folder) / "load")
        at_most, _ = await _measure(load, undelayed, CEILING_TOKENS, Path(folder) / "most")
        errors = _errors(at_load.rows, truth, at_load.manifest)
        ceiling_chunks_s = _rate(at_most)
        return ClientCalibration(
            concurrency=load.concurrency,
            chunks_s=load.chunks_s,
            reached_chunks_s=_rate(at_load),
            requests=len(errors),
            ttft_p50_s=float(errors.ttft.quantile(0.5)),
            ttft_p99_s=float(errors.ttft.quantile(0.99)),
            decode_p50=float(errors.decode.abs().quantile(0.5)),
            decode_p99=float(errors.decode.abs().quantile(0.99)),
            cpu_share=_cpu(at_load),
            ceiling_chunks_s=ceiling_chunks_s,
            ceiling_cpu_share=_cpu(at_most),
            share_of_ceiling=load.chunks_s / ceiling_chunks_s,
        )


async def _measure(load: Load, sim: SimConfig, tokens: int, folder: Path) -> tuple[Result, pd.DataFrame]:
    """A run of single requests, each of so many tokens, and what the endpoint says of them."""
    import pandas as pd

    log = folder.with_suffix(".csv")
    trace = Trace(PROMPT_TOKENS, (), (), (), tokens)
    async with embedded(replace(sim, log=str(log))) as url:
        config = RunConfig(
            workload=WorkloadConfig("calibration", path="(calibration)"),
            endpoint=EndpointConfig(base_url=url),
            concurrency=ConcurrencyConfig(load.concurrency),
            duration=load.seconds,
            html=False,
            progress=ProgressStyle.none,
            prompts=PromptConfig(calibrate=False),
            max_retries=0,
            workers=load.workers,
        )
        result = await execute_async(config, folder, workload=from_traces([trace]))
    return result, await asyncio.to_thread(pd.read_csv, log, dtype={"request_id": str})


def _errors(rows: pd.DataFrame, truth: pd.DataFrame, manifest: Manifest) -> pd.DataFrame:
    """Each request's errors: `ttft` in seconds, `decode` relative.

    Raises:
        ConfigError: when too few requests ended to say anything.
    """
    rows = rows[rows.outcome == "ok"]
    ids = [f"{manifest.seed:x}-{session}-{turn}" for session, turn in zip(rows.session_id, rows.turn, strict=True)]
    both = rows.assign(request_id=ids).merge(truth, on="request_id", validate="one_to_one")
    if len(both) < NEED_REQUESTS:
        raise ConfigError(f"only {len(both)} requests ended: more --seconds are needed at this rate")
    assert manifest.end is not None  # it ran to its end
    began_s = manifest.end.began_monotonic_s
    assert began_s is not None
    ttft = both.first_token_s + began_s - both.first_chunk_s
    decode = both.last_chunk_s - both.first_chunk_s
    return both.assign(ttft=ttft, decode=(both.last_token_s - both.first_token_s) / decode - 1.0)


def _rate(result: Result) -> float:
    """Chunks per second over the run's wall time."""
    return float(result.rows.chunks.sum()) / result.summary.wall_time_s


def _cpu(result: Result) -> float:
    share = result.summary.client.cpu_share
    assert share is not None  # the run has its end
    return share
