"""The composition root: one run from its settings to its summary, put together here and only here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console

from trie.config import RunConfig
from trie.endpoint.connection import Connections
from trie.endpoint.request import Requester
from trie.endpoint.request_body import RECORDED, RequestFormat
from trie.engines.counters import Meter
from trie.errors import ReportError
from trie.metrics.checks.circumstances import LIMITS
from trie.metrics.evaluate_run import EvaluatedRun, evaluate
from trie.metrics.summary import SUSPECT_LAG_S, Summary
from trie.preflight.limits import allow_open_files
from trie.preflight.prompt_lengths import LengthCheck
from trie.preflight.steps import Prepared, prepared
from trie.prompts.builder import Prompts, Script
from trie.replay.counters import Live
from trie.replay.event_loop import LoopGate, LoopHealth
from trie.replay.failure_policy import Backoff, FailureWatch
from trie.replay.prompt_queue import ScriptsAhead
from trie.replay.run_state import Setting
from trie.replay.scheduler import Engine
from trie.report.page import write_page
from trie.report.progress import follow
from trie.report.terminal import complete_line, render, starting_line
from trie.signals import Signals, handled
from trie.storage import manifest as facts
from trie.storage.manifest import state as repository_state
from trie.storage.parquet_parts import Recorder, warm_up
from trie.storage.run_dir import RunDir
from trie.workload.load import describe
from trie.workload.load import load as load_workload
from trie.workload.trace import Trace, Workload

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

log = logging.getLogger("trie")
INTERRUPTED, ENDPOINT_DIED = "interrupted", "endpoint_died"  # why a run ended, beside its deadline
EXTRA_SCRIPTS = 8  # kept ready beyond one for each slot


@dataclass(frozen=True, slots=True)
class Result:
    """A finished run."""

    directory: Path
    summary: Summary
    manifest: Mapping[str, Any]

    @property
    def rows(self) -> pd.DataFrame:
        """One row for each request that started; columns as docs/records.md has them, and `suspect` beside them."""
        frame: pd.DataFrame = RunDir.open(self.directory).records().to_pandas()
        return frame.assign(suspect=frame.loop_lag_s > SUSPECT_LAG_S)

    def show(self, console: Console | None = None) -> None:
        """Print the tables and the verdict."""
        render(self.summary, self.manifest, console or Console())

    @property
    def interrupted(self) -> bool:
        return bool(self.manifest["end"]["reason"] == INTERRUPTED)

    @property
    def endpoint_died(self) -> str | None:
        """How the embedded endpoint ended in mid-run, for people; None when it did not."""
        end = self.manifest["end"]
        return str(end["detail"]) if end["reason"] == ENDPOINT_DIED else None

    @property
    def stopped(self) -> str | None:
        """Which limit on failures ended the run early, if one did."""
        reason = self.manifest["end"]["reason"]
        return reason if reason in LIMITS else None

    @property
    def all_failed(self) -> bool:
        """Requests were made, and not one of them ended well."""
        return not self.summary.requests["ok"] and self.summary.requests["failed"] > 0


def execute(
    config: RunConfig, directory: Path, *, api_key: str | None = None, experiments: Path | None = None
) -> Result:
    """Run in an event loop of its own; SIGINT and SIGTERM end the run in order, a second one at once.

    Raises:
        TrieError: for what the user can mend.
        KeyboardInterrupt: for a signal before or after the replay, and for a second one.
    """

    async def with_signals() -> Result:
        with handled() as signals:
            return await execute_async(config, directory, api_key=api_key, experiments=experiments, signals=signals)

    try:
        return in_loop(with_signals())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def in_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in an event loop of its own, the fastest there is here."""
    runner = asyncio.run
    with suppress(ImportError):
        import uvloop  # not there on every platform

        runner = uvloop.run
    return runner(main)


async def execute_async(
    config: RunConfig,
    directory: Path,
    *,
    api_key: str | None = None,
    workload: Workload | None = None,
    experiments: Path | None = None,
    signals: Signals | None = None,
) -> Result:
    """Run inside a loop; `workload` is used instead of the one that the settings name.

    `experiments` is a folder of the repository whose commit the manifest states; None: where the process stands.

    Raises:
        TrieError: for what the user can mend.
    """
    if workload is None:
        workload = await asyncio.to_thread(load_workload, config.workload)
    log.info("workload %s", describe(workload))
    allow_open_files(config.concurrency.value)
    death: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with prepared(config, workload, api_key=api_key, on_death=death.set_result) as ready:
        config = ready.config
        repository = await asyncio.to_thread(repository_state, experiments or Path.cwd(), directory)
        run, writer = RunDir.create(directory)
        manifest = facts.start(ready, repository)
        run.write_manifest(manifest)
        log.info(starting_line(manifest))
        await asyncio.to_thread(warm_up)  # imports hold the interpreter's lock: none while the clock runs
        setting, scripts = _setting(ready, Recorder(writer)), _scripts(ready)
        meter = Meter(config.endpoint, ready.beside)
        await meter.start()
        manifest["end"] = await _replay(config, setting, scripts, signals=signals, death=death)
        run.write_manifest(manifest)
        manifest["end"]["engine"] = await meter.end()
        run.write_manifest(manifest)
    return Result(directory, await asyncio.to_thread(_report, run, html=config.html), manifest)


def _report(run: RunDir, *, html: bool) -> Summary:
    """Every number of a run that has ended, from its files and into them."""
    evaluated = evaluate(run)
    run.write_summary(evaluated.summary.to_json())
    log.info(complete_line(evaluated.summary))
    if html:
        _write_page(evaluated)
    return evaluated.summary


def _write_page(evaluated: EvaluatedRun) -> None:
    """The page beside the numbers, which stand without it."""
    try:
        log.info("report %s", write_page(evaluated))
    except ReportError as error:
        log.warning("%s", error)


def _setting(ready: Prepared, recorder: Recorder) -> Setting:
    config, gate = ready.config, LoopGate()
    live = Live(duration_s=config.duration, concurrency=config.concurrency.value)
    fmt = RequestFormat(
        config.endpoint, ready.model, stream=config.stream, form=ready.prompts.form, history=config.history
    )

    def requester(connections: Connections) -> Requester:
        return Requester(
            connections,
            fmt,
            max_retries=config.max_retries,
            timeout_s=config.timeout,
            stall_s=config.stall_timeout,
            on_retry=live.count_retry,
            next_pass=gate.enter,
            worker=connections.base_url if len(ready.servers) > 1 else None,
        )

    return Setting(
        fmt=fmt,
        requesters=[requester(connections) for connections in ready.servers],
        recorder=recorder,
        health=LoopHealth(on_beat=live.beat),
        live=live,
        watch=FailureWatch(live, max_failures=config.max_failures, max_failure_rate=config.max_failure_rate),
        backoff=Backoff(live.concurrency),
        run_id=f"{ready.seed:x}",
        gate=gate,
        session_header=config.endpoint.session_header,
    )


def _scripts(ready: Prepared) -> ScriptsAhead:
    config, prompts = ready.config, ready.prompts
    bos_tokens = bos_tokens_of(config, prompts, ready.length_check)

    def script(trace: Trace, session_id: int) -> Script:
        return prompts.script(trace, session_id, bos_tokens=bos_tokens, answers=config.history == RECORDED)

    ahead = config.concurrency.value + EXTRA_SCRIPTS
    return ScriptsAhead(ready.workload.traces, script, ahead=ahead, most=config.max_traces)


async def _replay(
    config: RunConfig, setting: Setting, ahead: ScriptsAhead, *, signals: Signals | None, death: asyncio.Future[str]
) -> dict[str, Any]:
    """Replay to the end, whatever ends it; returns the manifest's `end`."""
    try:
        async with ahead as scripts:
            engine = Engine(setting, scripts)
            death.add_done_callback(lambda _: engine.stop(ENDPOINT_DIED))
            with signals.replaying(lambda: engine.stop(INTERRUPTED)) if signals else nullcontext():
                async with _shown(setting.live, config):
                    reason = await engine.run()
    finally:
        setting.watch.conclude()
        await setting.recorder.close()
    return {
        "reason": reason,
        "detail": death.result() if reason == ENDPOINT_DIED else None,
        "wall_time_s": setting.live.now_s,
        "began_monotonic_s": setting.began,
        "client": setting.health.facts(),
    }


def bos_tokens_of(config: RunConfig, prompts: Prompts, length_check: LengthCheck) -> int:
    """Tokens to take off each first prompt: as set, else as many as the server is known to add to a text."""
    if config.endpoint.bos_tokens is not None:
        return config.endpoint.bos_tokens
    if config.endpoint.api.name == "chat":
        return 0  # a template adds to every turn: stated as drift, not hidden in the first
    known = length_check.offset_tokens if length_check.verified else prompts.adds_bos
    return known or 0


@asynccontextmanager
async def _shown(live: Live, config: RunConfig) -> AsyncIterator[None]:
    task = asyncio.create_task(follow(live, config.progress))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
